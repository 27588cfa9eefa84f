//! Control of a running agent by the same user: a Unix socket of mode 0600 in the state directory.
//!
//! One line of JSON asks, one line of JSON answers. The socket can ask for what an MQTT command can ask for, and
//! for a snapshot; it cannot read keys or change settings.

mod client;
mod server;

use serde::{Deserialize, Serialize};

use crate::live::{Renewal, Snapshot};

pub use client::{ControlError, ask};
pub use server::{Listener, serve};

/// Longest line either way, in bytes.
const MAX_LINE: u64 = 4096;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command", deny_unknown_fields)]
pub enum Question {
    /// How the agent is.
    Status,
    /// To renew now, and to tell how it came out.
    Renew,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How it is.
    Status(Snapshot),
    /// How the renewal came out.
    Renewal(Renewal),
    /// The renewal is under way, and takes longer than a client may wait.
    StillRenewing,
    /// The question was not understood.
    BadQuestion(String),
}

#[cfg(test)]
mod tests {
    use super::{Answer, Listener, Question, ask, serve};
    use crate::live::{Live, Renewal};
    use crate::state_dir::StateDir;
    use agent_core::flow::Control;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    /// Runs `client` on a thread while the socket is served.
    async fn with_server<T: Send + 'static>(
        live: &Live,
        client: impl FnOnce(StateDir) -> T + Send + 'static,
    ) -> T {
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        let lock = dir.lock().unwrap();
        let listener = Listener::bind(&dir, &lock).unwrap();
        let mode = std::fs::metadata(dir.control_socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = tokio::task::spawn_blocking({
            let dir = dir.clone();
            move || client(dir)
        });
        let outcome = tokio::select! {
            outcome = client => outcome.unwrap(),
            () = serve(&listener, Arc::new(Control::new()), live.clone()) => unreachable!("serves for ever"),
        };
        drop(listener);
        assert!(!dir.control_socket().exists());
        outcome
    }

    fn say(dir: &StateDir, text: &[u8]) -> String {
        let mut stream = UnixStream::connect(dir.control_socket()).unwrap();
        // A server that has heard enough may close before it has read everything.
        let _partly = stream.write_all(text);
        let mut line = String::new();
        let _reset = BufReader::new(stream).read_line(&mut line);
        line
    }

    #[tokio::test]
    async fn nonsense_is_answered_and_bounded() {
        let live = Live::new();
        let (wrong, unknown, long) = with_server(&live, |dir| {
            (say(&dir, b"nonsense\n"), say(&dir, b"{\"command\":\"shutdown\"}\n"), say(&dir, &[b'x'; 10_000]))
        })
        .await;
        assert!(wrong.contains("bad-question") && unknown.contains("bad-question"), "{wrong}{unknown}");
        assert!(long.is_empty() || long.contains("bad-question"), "{long}");
    }

    #[tokio::test]
    async fn status_and_renewal_are_answered() {
        let live = Live::new();
        live.change(|snapshot| (snapshot.connected, snapshot.published) = (true, 7));
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        assert!(ask(&dir, Question::Status).await.unwrap().is_none());
        let lock = dir.lock().unwrap();
        let listener = Listener::bind(&dir, &lock).unwrap();
        let control = Arc::new(Control::new());
        let questions = async {
            let status = ask(&dir, Question::Status).await.unwrap().unwrap();
            assert_eq!(status, Answer::Status(live.snapshot()));
            let (renewal, ()) = tokio::join!(ask(&dir, Question::Renew), async {
                while live.listeners() == 0 {
                    tokio::task::yield_now().await;
                }
                live.renewal(Renewal::Refused { code: 61 });
            });
            assert_eq!(renewal.unwrap(), Some(Answer::Renewal(Renewal::Refused { code: 61 })));
        };
        tokio::select! {
            () = questions => {}
            () = serve(&listener, control, live.clone()) => unreachable!("serves for ever"),
        }
        // A socket that a killed agent left behind means that none runs.
        drop(listener);
        drop(std::os::unix::net::UnixListener::bind(dir.control_socket()).unwrap());
        assert!(ask(&dir, Question::Status).await.unwrap().is_none());
    }

    /// The kernel takes the connection of a program that is stopped, or hangs.
    #[tokio::test(start_paused = true)]
    async fn an_agent_that_hangs_is_not_waited_for_as_long_as_a_renewal() {
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        let _hangs = std::os::unix::net::UnixListener::bind(dir.control_socket()).unwrap();
        for (question, most) in [(Question::Status, 10), (Question::Renew, 150)] {
            let began = tokio::time::Instant::now();
            ask(&dir, question).await.unwrap_err();
            assert!(began.elapsed().as_secs() < most, "{question:?}: {:?}", began.elapsed());
        }
    }
}
