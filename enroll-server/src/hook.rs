//! An operator's command that runs after something was written, and has programs read it again.
//!
//! What is to be said of one that failed is its caller's: what was written stands.

use core::time::Duration;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

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
    command.args(arguments).stdin(Stdio::null());
    // So that what the hook itself has started ends with it.
    command.process_group(0);
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
    let unstarted = |source| HookError::Unstarted { program: program.clone(), source };
    let mut running = Running(command.spawn().map_err(unstarted)?);
    match tokio::time::timeout(limit, running.0.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HookError::Failed { program, status }),
        Ok(Err(source)) => Err(HookError::Unstarted { program, source }),
        Err(_) => Err(HookError::Slow { program, limit }),
    }
}

/// A hook in a process group of its own, which ends when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for has no number: that may be another's by now.
        let group = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::warn!(%error, "a hook that is not waited for any more was not killed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HookError, command, run};
    use core::time::Duration;

    #[tokio::test]
    async fn a_hook_that_takes_too_long_ends_with_everything_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let (pid, done) = (folder.path().join("pid"), folder.path().join("done"));
        let script = format!("sleep 600 & echo $! > {}; wait; echo > {}", pid.display(), done.display());
        let hook = ["/bin/sh", "-c", script.as_str()].map(str::to_owned);
        let ended = run(command(&hook).unwrap(), Duration::from_secs(2)).await;
        assert!(matches!(ended, Err(HookError::Slow { .. })), "{ended:?}");
        let number = std::fs::read_to_string(&pid).unwrap();
        // Dead, or not yet collected by whoever inherits it.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", number.trim()));
        let gone = || state().map_or(true, |stat| stat.contains(") Z "));
        tokio::time::timeout(Duration::from_secs(10), async {
            while !gone() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("what the hook started is dead");
        assert!(!done.exists(), "and so is the hook");
    }
}
