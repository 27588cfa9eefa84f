//! Makes of the core's notices what people and programs see: log lines, the service manager's status, exported
//! files, hook commands, the live state. Decides nothing.

mod log;

use agent_core::flow::{Notice, Peer};
use agent_core::platform::{Observer, Slot};
use zeroize::Zeroizing;

use crate::export::{Exporter, Identity};
use crate::hook::{Change, Hooks};
use crate::keystore::{FileKey, KEY_RECORD_LENGTH, key_record};
use crate::live::{Live, Renewal};
use crate::storage::FileStorage;
use crate::systemd::Notifier;

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

/// The identity and the trust last heard of: the exported files need both.
#[derive(Debug)]
struct Known {
    /// Slot and chain, in DER and leaf first, of the identity in use.
    identity: Option<(Slot, Vec<Vec<u8>>)>,
    /// Trust anchors in force, in DER.
    anchors: Vec<Vec<u8>>,
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
        let known = Known { identity: None, anchors: Vec::new() };
        Self { storage, exporter, hooks, notifier, live, known }
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

    /// Brings the exported files in line with what is known: after a start, and after each change.
    pub fn export(&mut self) {
        let (Some(exporter), Some((slot, chain))) = (&self.exporter, &self.known.identity) else { return };
        if self.known.anchors.is_empty() {
            return;
        }
        let mut record = Zeroizing::new([0; KEY_RECORD_LENGTH]);
        let key = match self.storage.read(key_record(*slot), record.as_mut_slice()) {
            Ok(Some(KEY_RECORD_LENGTH)) => FileKey::from_record(record.as_slice()),
            _ => {
                tracing::error!("the key of the identity in use could not be read for the export");
                return;
            }
        };
        match key.and_then(|key| key.private_key_pem()) {
            Ok(key) => match exporter.put(&Identity { key: &key, chain, anchors: &self.known.anchors }) {
                Ok(true) => tracing::info!(directory = %exporter.directory().display(), "files exported"),
                Ok(false) => {}
                Err(error) => {
                    let cause = core::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the export failed; other programs have the old files");
                }
            },
            Err(error) => tracing::error!(%error, "the key of the identity in use cannot be exported"),
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

fn owned(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|der| der.to_vec()).collect()
}

const fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::EnrollmentServer => "enrollment server",
        Peer::Broker => "broker",
    }
}
