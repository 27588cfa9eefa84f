//! What a running agent is doing right now: kept by the observer, asked through the control socket.
//!
//! What is durable (identities, refusals, trust) is in the records, not here.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// A snapshot of a running agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its process.
    pub process: u32,
    /// Whether the broker has accepted the connection that is open now.
    pub connected: bool,
    /// Publications that the broker acknowledged since the start.
    pub published: u64,
    /// The last thing that went wrong, if nothing has gone right since.
    pub trouble: Option<String>,
}

/// How a renewal that was asked for came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Renewal {
    /// Another identity is in use.
    Renewed,
    /// The server holds the request for approval.
    Pending,
    /// The server refused with this code.
    Refused {
        /// The wire code of [`shared::Reject`].
        code: u16,
    },
    /// It failed otherwise and will be tried again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The live state of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Live {
    snapshot: Arc<Mutex<Snapshot>>,
    renewals: broadcast::Sender<Renewal>,
}

impl Live {
    /// Of this process.
    #[must_use]
    pub fn new() -> Self {
        let snapshot = Snapshot { process: std::process::id(), ..Snapshot::default() };
        Self { snapshot: Arc::new(Mutex::new(snapshot)), renewals: broadcast::Sender::new(8) }
    }

    /// How it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hears how renewals come out, from now on.
    #[must_use]
    pub fn renewals(&self) -> broadcast::Receiver<Renewal> {
        self.renewals.subscribe()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How many wait for a renewal.
    #[cfg(test)]
    pub(crate) fn listeners(&self) -> usize {
        self.renewals.receiver_count()
    }

    pub(crate) fn renewal(&self, renewal: Renewal) {
        if self.renewals.send(renewal).is_err() {
            tracing::trace!("nobody asked for this renewal");
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}
