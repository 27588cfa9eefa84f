//! Who has the device's session at the broker. A login under the device's name would end it, so none is tried where the session
//! is in good hands; where the agent that runs is not logged in, the login is what has to be looked at.

use core::time::Duration;

use doctor::{Cause, Finding, Report, Step};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::Config;
use crate::control::{Answer, ControlError, Question, ask};
use crate::live::Snapshot;
use crate::proxy::address::Listen;
use crate::state_dir::StateDir;

/// Longest time for the proxy of this machine to take a connection.
const PROXY: Duration = Duration::from_secs(1);

/// What is known of the programs that could be logged in as the device.
#[derive(Debug)]
pub(super) enum Session {
    /// An agent runs.
    Agent(Snapshot),
    /// An agent runs, and does not say how it is.
    Mute(String),
    /// No agent runs; programs can connect to the proxy at this place.
    Proxy(String),
    /// Nobody's.
    Free,
}

impl Session {
    /// Asks the agent that runs, or looks for a proxy where there is none.
    pub(super) async fn look(config: &Config) -> Self {
        // What is wrong with the directory was told with the device's files.
        let Ok(Some(dir)) = StateDir::look(&config.state_dir) else { return Self::Free };
        match ask(&dir, Question::Status).await {
            Ok(Some(Answer::Status(running))) => Self::Agent(running),
            Ok(Some(_)) => Self::Mute("an answer to another question".to_owned()),
            Err(error @ (ControlError::Io(_) | ControlError::Answer(_))) => {
                Self::Mute(crate::cli::causes(&error))
            }
            Ok(None) => match &config.proxy {
                Some(proxy) if listens(&proxy.listen).await => Self::Proxy(proxy.listen.to_string()),
                _ => Self::Free,
            },
        }
    }

    /// Why nobody is to log in, if so.
    pub(super) fn leave_out(&self) -> Option<String> {
        let why = match self {
            Self::Agent(running) if running.connected => "an agent runs, and is logged in at the broker",
            Self::Agent(_) | Self::Free => return None,
            Self::Mute(_) => "an agent runs, and may be logged in at the broker",
            Self::Proxy(place) => {
                return Some(format!(
                    "agent proxy listens at {place}, and a program behind it may be logged in; --login tries it all the same"
                ));
            }
        };
        Some(format!("{why}; --login tries it all the same"))
    }

    /// Adds what is to be said of an agent that runs to what was found on the device.
    pub(super) fn tell(&self, report: &mut Report) {
        match self {
            Self::Agent(running) => {
                let state = if running.connected { "is" } else { "is not" };
                let trouble =
                    running.trouble.as_ref().map(|trouble| format!("; its last trouble: {trouble}"));
                let trouble = trouble.unwrap_or_default();
                report.notes.push(format!("an agent runs, and {state} logged in at the broker{trouble}"));
            }
            Self::Mute(found) => {
                let (subject, expected) = ("the agent that runs", "an answer on its control socket");
                report.fail(Step::Files, Finding::new(Cause::AgentSilent, subject, found.clone(), expected));
            }
            Self::Proxy(_) | Self::Free => {}
        }
    }
}

/// Whether somebody takes a connection there. The proxy calls the broker only when the program has said something.
async fn listens(place: &Listen) -> bool {
    let connect = async {
        match place {
            Listen::Tcp(address) => TcpStream::connect(address.address()).await.is_ok(),
            Listen::Unix(path) => UnixStream::connect(path).await.is_ok(),
        }
    };
    timeout(PROXY, connect).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{Session, listens};
    use crate::live::Snapshot;
    use crate::proxy::address::Listen;
    use doctor::Report;

    #[test]
    fn a_login_is_left_out_only_where_it_would_end_a_session() {
        let agent = |connected| {
            Session::Agent(Snapshot {
                connected,
                trouble: Some("broker: refused".to_owned()),
                ..Snapshot::default()
            })
        };
        for (session, left_out, says, fine) in [
            (agent(true), true, "is logged in", true),
            (agent(false), false, "is not logged in at the broker; its last trouble: broker: refused", true),
            (Session::Mute("timed out".to_owned()), true, "", false),
            (Session::Proxy("127.0.0.1:1883".to_owned()), true, "", true),
            (Session::Free, false, "", true),
        ] {
            assert_eq!(session.leave_out().is_some(), left_out, "{session:?}");
            let mut report = Report::new("this device");
            session.tell(&mut report);
            assert_eq!(report.is_fine(), fine, "{session:?}");
            assert!(report.notes.concat().contains(says), "{report:?}");
        }
    }

    #[tokio::test]
    async fn a_proxy_is_found_where_it_listens() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place: Listen = port.local_addr().unwrap().to_string().parse().unwrap();
        assert!(listens(&place).await);
        drop(port);
        assert!(!listens(&place).await);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        let place = Listen::Unix(path.clone());
        assert!(!listens(&place).await);
        let _socket = tokio::net::UnixListener::bind(&path).unwrap();
        assert!(listens(&place).await);
    }
}
