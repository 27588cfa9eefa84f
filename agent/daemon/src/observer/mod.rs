//! Makes of the core's notices what people and programs see: log lines, the service manager's status, exported
//! files, hook commands, the live state. Decides nothing.

mod exports;
mod known;
mod log;

use agent_core::flow::{Notice, Peer};
use agent_core::platform::Observer;
use shared::Reject;

use crate::export::Exporter;
use crate::hook::{Change, Hooks};
use crate::in_use::owned;
use crate::live::{Live, Renewal};
use crate::storage::FileStorage;
use crate::systemd::Notifier;
use exports::Exports;

/// The daemon's [`Observer`].
#[derive(Debug)]
pub struct DaemonObserver {
    exports: Exports,
    hooks: Hooks,
    notifier: Notifier,
    live: Live,
}

impl DaemonObserver {
    /// An observer; `storage` is only read, for the key that is exported.
    #[must_use]
    pub fn new(
        storage: FileStorage,
        exporter: Option<Exporter>,
        hooks: Hooks,
        notifier: Notifier,
        live: Live,
    ) -> Self {
        Self { exports: Exports::new(storage, exporter, hooks.clone()), hooks, notifier, live }
    }

    /// The live state that it keeps.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// Has the hook command run for a change that the core does not tell of.
    pub fn changed(&self, change: Change) {
        self.hooks.changed(change);
    }

    /// Reads from the records what is in force, and brings exported files in line with it: they may be missing
    /// or old where the agent was stopped between a change and its export, or where the configuration changed.
    pub async fn catch_up(&mut self, provisioned_trust: &[u8]) {
        self.exports.catch_up(provisioned_trust).await;
    }

    /// What a client of the control socket sees, and the service manager's status line.
    fn tell(&self, notice: &Notice<'_>) {
        match notice {
            Notice::Started { phase } => {
                self.notifier.status(&format!("started: {}", phase.name()));
                self.notifier.notify("READY=1");
            }
            Notice::BrokerAccepted { .. } => {
                self.live.change(|live| (live.connected, live.trouble) = (true, None));
                self.notifier.status("connected to the broker");
            }
            Notice::Disconnected => {
                self.live.change(|live| live.connected = false);
                self.notifier.status("disconnected from the broker");
            }
            Notice::Published { .. } => self.live.change(|live| live.published += 1),
            Notice::Unreachable { peer, error } => {
                let trouble = format!("{}: {error}", name(*peer));
                self.notifier.status(&trouble);
                self.live.change(|live| {
                    live.connected &= *peer != Peer::Broker;
                    live.trouble = Some(trouble);
                });
            }
            Notice::Refused { reject, message, .. } => {
                let reason = reject.map_or("unknown reason", |reject| reject.name());
                let trouble = format!("refused by the enrollment server ({reason}): {}", harmless(message));
                self.notifier.status(&trouble);
                self.live.change(|live| live.trouble = Some(trouble));
            }
            Notice::Pending { .. } => self.notifier.status("waiting for an operator's approval"),
            Notice::Enrolled { .. } | Notice::IdentityActivated { .. } => {
                self.live.change(|live| live.trouble = None);
            }
            _ => {}
        }
    }

    /// How a renewal that somebody asked for came out.
    fn tell_renewal(&self, notice: &Notice<'_>) {
        let failed = |reason: String| Renewal::Failed { reason };
        self.live.renewal(match notice {
            Notice::IdentityActivated { .. } => Renewal::Renewed,
            Notice::Pending { .. } => Renewal::Pending,
            // It goes on with evidence.
            Notice::Refused { reject: Some(Reject::EvidenceWanted), .. } => return,
            Notice::Refused { code, .. } => Renewal::Refused { code: *code },
            Notice::Unreachable { peer: Peer::EnrollmentServer, error } => failed(error.to_string()),
            Notice::BadAnswer(error) => failed(error.to_string()),
            Notice::AttestFailed(error) => failed(error.to_string()),
            Notice::KeyFailed(error) => failed(error.to_string()),
            Notice::StorageFailed(error) => failed(error.to_string()),
            Notice::TrialFailed { .. } => failed("the broker refused the new identity".to_owned()),
            _ => return,
        });
    }
}

impl Observer for DaemonObserver {
    fn notice(&mut self, notice: &Notice<'_>) {
        log::log(notice);
        self.tell(notice);
        self.tell_renewal(notice);
        match notice {
            // A first identity is of use to other programs at once; a renewed one when the broker has taken it.
            Notice::Enrolled { slot, chain, renewal: false, .. } => {
                self.exports.identity((*slot, owned(chain)), Change::Enrolled);
            }
            Notice::IdentityActivated { slot, chain } => {
                self.exports.identity((*slot, owned(chain)), Change::Renewed);
            }
            Notice::TrustChanged { anchors, .. } => self.exports.anchors(owned(anchors)),
            _ => {}
        }
    }
}

/// A sentence that comes from the network: its control characters must not reach a terminal, by the log or by `agent status`.
fn harmless(sentence: &str) -> String {
    sentence.escape_debug().to_string()
}

const fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::EnrollmentServer => "enrollment server",
        Peer::Broker => "broker",
    }
}

#[cfg(test)]
mod tests {
    use super::DaemonObserver;
    use crate::hook;
    use crate::live::Live;
    use crate::state_dir::StateDir;
    use crate::storage::FileStorage;
    use crate::systemd::Notifier;
    use agent_core::flow::Notice;
    use agent_core::platform::Observer as _;
    use shared::{DeviceId, Reject};

    #[tokio::test]
    async fn a_servers_sentence_cannot_write_to_the_terminal_that_shows_the_status() {
        let parent = tempfile::tempdir().unwrap();
        let storage = FileStorage::new(StateDir::open(&parent.path().join("state")).unwrap());
        let (hooks, _worker) = hook::start(None, DeviceId::new("SN-1").unwrap(), None);
        let mut observer = DaemonObserver::new(storage, None, hooks, Notifier::silent(), Live::new());
        let message = "no\u{1b}]0;title\u{7}\nstate running";
        let reject = Some(Reject::EvidenceWanted);
        observer.notice(&Notice::Refused { code: 61, reject, message, is_final: true });
        let trouble = observer.live().snapshot().trouble.unwrap();
        assert!(!trouble.chars().any(char::is_control) && trouble.contains("title"), "{trouble:?}");
    }
}
