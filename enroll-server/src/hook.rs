//! An operator's command that runs after something was written, and has programs read it again.
//!
//! What is to be said of one that failed is its caller's: what was written stands.

use core::time::Duration;
use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

use crate::config::Crl;

/// How long a hook of a server may run.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How long after a hook of a server that failed it is run again.
pub(crate) const AGAIN: Duration = Duration::from_secs(60);

/// Why a hook did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It cannot be run.
    #[error("the hook {program} cannot be run")]
    Unstarted {
        /// Its program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It failed.
    #[error("the hook {program} failed: {status}")]
    Failed {
        /// Its program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It takes too long.
    #[error("the hook {program} took longer than {limit:?} and was killed")]
    Slow {
        /// Its program.
        program: String,
        /// How long it may take.
        limit: Duration,
    },
}

/// The command of a setting, which gets no input; `None` where there is none.
pub(crate) fn command(hook: &[String]) -> Option<Command> {
    let (program, arguments) = hook.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    Some(command)
}

/// As [`command`], for a server, whose output is its log.
pub(crate) fn silent(hook: &[String]) -> Option<Command> {
    let mut command = command(hook)?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Some(command)
}

/// The one that has brokers read the revocation lists, and the CAs with them.
pub(crate) fn of_lists(settings: &Crl) -> Option<Command> {
    let mut command = silent(&settings.hook)?;
    command.env("CRL_DER", &settings.der).env("CRL_PEM", &settings.pem);
    Some(command)
}

/// Runs it, for `limit` at most.
///
/// # Errors
/// Where it does not end well in time.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Result<(), HookError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    match tokio::time::timeout(limit, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HookError::Failed { program, status }),
        Ok(Err(source)) => Err(HookError::Unstarted { program, source }),
        Err(_) => Err(HookError::Slow { program, limit }),
    }
}
