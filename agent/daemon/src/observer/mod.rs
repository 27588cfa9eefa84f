//! Makes of the core's notices what people and programs see: log lines, the service manager's status, exported
//! files, hook commands, the live state. Decides nothing.

mod known;
mod log;

use agent_core::flow::{Notice, Peer};
use agent_core::platform::{Observer, Slot};
use shared::Reject;
use zeroize::Zeroizing;

use crate::export::{Exporter, Identity};
use crate::hook::{Change, Hooks};
use crate::in_use::owned;
use crate::keystore::{FileKey, KEY_RECORD_LENGTH, key_record};
use crate::live::{Live, Renewal};
use crate::storage::FileStorage;
use crate::systemd::Notifier;
use known::Known;

/// The daemon's [`Observer`].
#[derive(Debug)]
pub struct DaemonObserver {
    storage: FileStorage,
    exporter: Option<Exporter>,
    hooks: Hooks,
    notifier: Notifier,
    live: Live,
    known: Known,
}

impl DaemonObserver {
    /// An observer; `storage` is only read, for the key that is exported.
    #[must_use]
    pub const fn new(
        storage: FileStorage,
        exporter: Option<Exporter>,
        hooks: Hooks,
        notifier: Notifier,
        live: Live,
    ) -> Self {
        Self { storage, exporter, hooks, notifier, live, known: Known::NOTHING }
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
        self.known = Known::read(&mut self.storage, provisioned_trust).await;
        if self.export() {
            self.hooks.changed(Change::Renewed);
        }
    }

    /// Brings the exported files in line with what is known; whether that was a change.
    fn export(&mut self) -> bool {
        let (Some(exporter), Some((slot, chain))) = (&self.exporter, &self.known.identity) else {
            return false;
        };
        if self.known.anchors.is_empty() {
            return false;
        }
        let Some(key) = read_key(&mut self.storage, *slot) else {
            tracing::error!("the key of the identity in use could not be read for the export");
            return false;
        };
        match exporter.put(&Identity { key: &key, chain, anchors: &self.known.anchors }) {
            Ok(changed) => {
                if changed {
                    tracing::info!(directory = %exporter.directory().display(), "files exported");
                }
                changed
            }
            Err(error) => {
                let cause = core::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "the export failed; other programs have the old files");
                false
            }
        }
    }

    fn identity_in_use(&mut self, slot: Slot, chain: &[&[u8]], change: Change) {
        let identity = Some((slot, owned(chain)));
        if self.known.identity == identity {
            return;
        }
        self.known.identity = identity;
        self.export();
        self.hooks.changed(change);
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
                let trouble = format!("refused by the enrollment server ({reason}): {message}");
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
                self.identity_in_use(*slot, chain, Change::Enrolled);
            }
            Notice::IdentityActivated { slot, chain } => self.identity_in_use(*slot, chain, Change::Renewed),
            Notice::TrustChanged { anchors, .. } => {
                self.known.anchors = owned(anchors);
                self.export();
                self.hooks.changed(Change::TrustChanged);
            }
            _ => {}
        }
    }
}

/// The key of a slot in PEM.
fn read_key(storage: &mut FileStorage, slot: Slot) -> Option<Zeroizing<String>> {
    let mut record = Zeroizing::new([0; KEY_RECORD_LENGTH]);
    let length = storage.read(key_record(slot), record.as_mut_slice()).ok()??;
    FileKey::from_record(record.get(..length)?).ok()?.private_key_pem().ok()
}

const fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::EnrollmentServer => "enrollment server",
        Peer::Broker => "broker",
    }
}
