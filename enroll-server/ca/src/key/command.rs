//! A key behind a command of the operator's own: for whatever keeps keys and is neither a file nor PKCS#11.
//!
//! The command gets what is to be signed on its standard input and writes an ECDSA-Sig-Value in DER to its standard
//! output. It has a time limit, its output is bounded, and its signature is verified before anybody sees it, so that
//! a command which misbehaves costs certificates and nothing else.

use core::fmt;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{IssuerKey, KeyError};

/// How long a command may take for one signature.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest ECDSA-Sig-Value on P-256 in DER (RFC 3279, section 2.2.3).
const MAX_SIGNATURE: u64 = 72;

/// A P-256 key that a command signs with.
pub struct CommandKey {
    command: Vec<String>,
    point: [u8; 65],
    limit: Duration,
}

/// Why a command gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no program.
    #[error("no command is given")]
    Empty,
    /// It cannot be started, or its pipes broke.
    #[error("{program}: cannot be run")]
    Run {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program}: gave no signature within {limit:?}, and was stopped")]
    TooSlow {
        /// The program.
        program: String,
        /// What was allowed.
        limit: Duration,
    },
    /// It failed.
    #[error("{program}: {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl CommandKey {
    /// A key whose public half is `point`: that of the CA's certificate, since the command has no way to say it.
    ///
    /// # Errors
    /// Where `command` is empty.
    pub fn new(command: Vec<String>, point: [u8; 65]) -> Result<Self, KeyError> {
        if command.first().is_none_or(String::is_empty) {
            return Err(unavailable(CommandError::Empty));
        }
        Ok(Self { command, point, limit: LIMIT })
    }

    fn run(&self, message: &[u8]) -> Result<Vec<u8>, CommandError> {
        let [program, arguments @ ..] = self.command.as_slice() else { return Err(CommandError::Empty) };
        let failed = |source| CommandError::Run { program: program.clone(), source };
        // What the command writes to its standard error goes to the server's own: it is the operator's.
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // So that what the command itself has started ends with it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let group = Pid::from_child(&child);
        let (done, answer) = mpsc::sync_channel(1);
        let message = message.to_vec();
        // The thread owns the child and waits for it, so that none is left behind.
        std::thread::Builder::new()
            .name("sign-command".into())
            .spawn(move || {
                // Whoever waited may have given up; then nobody reads what comes.
                let _late = done.send(converse(child, &message)).is_err();
            })
            .map_err(failed)?;
        match answer.recv_timeout(self.limit) {
            Ok(Ok((signature, status))) if status.success() => Ok(signature),
            Ok(Ok((_, status))) => Err(CommandError::Failed { program: program.clone(), status }),
            Ok(Err(source)) => Err(failed(source)),
            Err(_) => {
                let stopped = kill_process_group(group, Signal::KILL);
                tracing::warn!(program, stopped = stopped.is_ok(), "the signing command took too long");
                Err(CommandError::TooSlow { program: program.clone(), limit: self.limit })
            }
        }
    }
}

/// Hands the message over, reads the signature and waits for the end.
fn converse(mut child: Child, message: &[u8]) -> io::Result<(Vec<u8>, ExitStatus)> {
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(mut input), Some(output)) = (input, output) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    // A command that fails before it has read everything is judged by its status.
    let written = input.write_all(message);
    drop(input);
    let mut signature = Vec::new();
    let read = output.take(MAX_SIGNATURE + 1).read_to_end(&mut signature);
    let status = child.wait()?;
    if status.success() {
        written?;
        read?;
    }
    Ok((signature, status))
}

impl IssuerKey for CommandKey {
    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.run(message).map_err(unavailable)?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        public.verify(message, &signature).map_err(|_| KeyError::Signing)?;
        Ok(signature)
    }
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The arguments may hold what is nobody's business.
        write!(f, "CommandKey({:?})", self.command.first())
    }
}

fn unavailable(error: CommandError) -> KeyError {
    KeyError::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::{CommandKey, IssuerKey as _, KeyError};
    use crate::FileKey;
    use core::time::Duration;

    fn shell(script: &str, point: [u8; 65]) -> CommandKey {
        CommandKey::new(["sh", "-c", script].map(str::to_owned).to_vec(), point).unwrap()
    }

    #[test]
    fn openssl_signs_for_the_ca() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        let key = FileKey::generate().unwrap();
        key.save(&path).unwrap();
        let command = ["openssl", "dgst", "-sha256", "-sign", path.to_str().unwrap()].map(str::to_owned);
        let remote = CommandKey::new(command.to_vec(), *key.public_point()).unwrap();
        let signature = remote.sign(b"message").expect("openssl; to have it: apt-get install openssl");
        assert!(signature.starts_with(&[0x30]));
        assert!(!format!("{remote:?}").contains("ca.key"), "{remote:?}");

        // The same command for a CA with another key: its signature is thrown away.
        let other = CommandKey::new(command.to_vec(), *FileKey::generate().unwrap().public_point()).unwrap();
        assert!(matches!(other.sign(b"message"), Err(KeyError::Signing)));
    }

    #[test]
    fn a_command_that_misbehaves_gives_no_signature() {
        let point = *FileKey::generate().unwrap().public_point();
        for (script, expected) in [
            ("cat >/dev/null", "did not sign"),
            ("cat >/dev/null; head -c 100000 /dev/zero", "cannot be reached"),
            ("cat >/dev/null; echo secret; exit 3", "cannot be reached"),
            ("exit 1", "cannot be reached"),
        ] {
            let error = shell(script, point).sign(&vec![7; 100_000]).unwrap_err();
            assert!(error.to_string().contains(expected), "{script}: {error:?}");
        }
        assert!(CommandKey::new(Vec::new(), point).is_err());
        let missing = CommandKey::new(vec!["/nonexistent".into()], point).unwrap();
        assert!(matches!(missing.sign(b"m"), Err(KeyError::Unavailable(_))));
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        let point = *FileKey::generate().unwrap().public_point();
        // It closes its output and goes on: only its end counts.
        let mut key = shell("exec >/dev/null 2>&1; sleep 600; true", point);
        key.limit = Duration::from_millis(300);
        let error = key.sign(b"message").unwrap_err();
        assert!(matches!(error, KeyError::Unavailable(_)), "{error:?}");
    }
}
