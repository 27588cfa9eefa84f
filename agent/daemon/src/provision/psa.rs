//! The platform's PSA attestation service, behind a command: platforms differ in how it is reached from Linux (an
//! OP-TEE client, a vendor's tool), and a command is what all of them can be wrapped in.
//!
//! Bounds the command in time and in what it says; what it says is for the server to verify.

use core::time::Duration;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use agent_core::evidence::{AttestationService, PsaChallenge};
use agent_core::platform::AttestError;
use shared::limits::MAX_EVIDENCE;

use crate::hook::{PATH, kill_group};

/// A command that makes PSA tokens: it is given the challenge in hexadecimal as its last argument, and writes the
/// token to its standard output.
///
/// It runs without a shell, with nothing of the agent's environment, and the agent waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCommand {
    /// The program, by absolute path.
    pub program: PathBuf,
    /// Its arguments before the challenge.
    pub arguments: Vec<String>,
    /// When it is killed.
    pub timeout: Duration,
}

/// Why a command gave no token.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("it could not be started")]
    Start(#[source] std::io::Error),
    #[error("its output could not be read")]
    Read(#[source] std::io::Error),
    #[error("it took longer than {} seconds and was killed", .0.as_secs())]
    Slow(Duration),
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    #[error("it wrote nothing, or more than {MAX_EVIDENCE} bytes")]
    Length,
}

impl AttestationService for ServiceCommand {
    fn token(&mut self, challenge: &PsaChallenge, out: &mut [u8]) -> Result<usize, AttestError> {
        let token = self.run(challenge).map_err(|error| {
            let program = self.program.display();
            let source = core::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%program, %error, source, "the attestation command gave no token");
            AttestError::Service
        })?;
        out.get_mut(..token.len()).ok_or(AttestError::TooLong)?.copy_from_slice(&token);
        Ok(token.len())
    }
}

impl ServiceCommand {
    fn run(&self, challenge: &PsaChallenge) -> Result<Vec<u8>, CommandError> {
        let mut hex = String::with_capacity(challenge.len() * 2);
        for byte in challenge {
            hex += &format!("{byte:02x}");
        }
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(hex)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A group of its own, so that what the command started goes with it.
            .process_group(0)
            .spawn()
            .map_err(CommandError::Start)?;
        let group = child.id();
        let (done, result) = mpsc::channel();
        // Ends with the command, which is killed when its time is over.
        std::thread::spawn(move || done.send(read(child)));
        match result.recv_timeout(self.timeout) {
            Ok(token) => token,
            Err(_) => {
                kill_group(Some(group));
                Err(CommandError::Slow(self.timeout))
            }
        }
    }
}

/// Reads what the command writes, to its end.
fn read(mut child: Child) -> Result<Vec<u8>, CommandError> {
    let mut token = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let most = MAX_EVIDENCE as u64 + 1;
        // The pipe closes after that, and whoever writes on is told so.
        stdout.take(most).read_to_end(&mut token).map_err(CommandError::Read)?;
    }
    let status = child.wait().map_err(CommandError::Read)?;
    if (1..=MAX_EVIDENCE).contains(&token.len()) && status.success() {
        return Ok(token);
    }
    if token.len() > MAX_EVIDENCE || status.success() {
        return Err(CommandError::Length);
    }
    Err(CommandError::Failed(status))
}

#[cfg(test)]
mod tests {
    use super::ServiceCommand;
    use agent_core::evidence::AttestationService as _;
    use agent_core::platform::AttestError;
    use core::time::Duration;
    use std::time::Instant;

    fn run(script: &str, seconds: u64) -> Result<Vec<u8>, AttestError> {
        let arguments = ["-c", script, "sh"].map(ToOwned::to_owned).to_vec();
        let timeout = Duration::from_secs(seconds);
        let mut service = ServiceCommand { program: "/bin/sh".into(), arguments, timeout };
        let mut out = [0; 2048];
        service.token(&[0xab; 64], &mut out).map(|length| out[..length].to_vec())
    }

    #[test]
    fn the_command_is_given_the_challenge_and_nothing_else() {
        assert_eq!(run("printf %s \"$1\"", 20), Ok("ab".repeat(64).into_bytes()));
        let environment = String::from_utf8(run("env", 20).unwrap()).unwrap();
        assert!(!environment.contains("CARGO") && environment.contains("PATH="), "{environment}");
    }

    #[test]
    fn a_command_that_fails_or_says_nothing_or_too_much_gives_no_token() {
        for script in ["exit 3", "printf x; exit 3", "true", "head -c 2049 /dev/zero", "cat /dev/zero"] {
            assert_eq!(run(script, 20), Err(AttestError::Service), "{script}");
        }
        assert_eq!(run("head -c 2048 /dev/zero", 20).unwrap().len(), 2048);
        let mut missing =
            ServiceCommand { program: "/no/such".into(), arguments: vec![], timeout: Duration::from_secs(1) };
        assert_eq!(missing.token(&[0; 64], &mut [0; 2048]), Err(AttestError::Service));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures real time")]
    fn a_slow_command_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let begin = Instant::now();
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        assert_eq!(run(&script, 1), Err(AttestError::Service));
        assert!(begin.elapsed() < Duration::from_secs(20));
        let stat = format!("/proc/{}/stat", std::fs::read_to_string(pid).unwrap().trim());
        // A signal takes its time; gone, or dead and not yet buried.
        while std::fs::read_to_string(&stat).is_ok_and(|state| !state.contains(") Z ")) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the child lives on");
            std::thread::yield_now();
        }
    }
}
