//! The root's own list: a file that the operator brings now and then. It is published beside the server's lists, for
//! verifiers that check every CA of a chain (nginx does).

use core::time::Duration;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ca::{CaCertificate, RootList};
use shared::UnixTime;

use crate::ceremony::{CeremonyError, read_list};
use crate::issuance::chain;

/// How long before its end the operator is reminded of the next list.
const REMIND: Duration = Duration::from_secs(30 * 86_400);

/// The root's list, as published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCrl {
    /// What it says; its signature was verified.
    pub list: RootList,
    /// The list in DER.
    pub der: Bytes,
}

/// Where the list comes from.
#[derive(Clone, Debug)]
pub struct RootSource {
    path: PathBuf,
    root: CaCertificate,
    seen: Option<Stamp>,
    held: Option<Arc<RootCrl>>,
}

/// What tells one file from the next under the same name.
type Stamp = (u64, i64, i64, u64);

impl RootSource {
    /// The file `path`, which `root` has signed. It need not be there.
    #[must_use]
    pub const fn new(path: PathBuf, root: CaCertificate) -> Self {
        Self { path, root, seen: None, held: None }
    }

    /// Reads the file if it has changed.
    ///
    /// # Errors
    /// Where it is no list of the root.
    pub fn read(&mut self) -> Result<Option<Arc<RootCrl>>, CeremonyError> {
        let stamp = fs::metadata(&self.path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.len()));
        if stamp != self.seen {
            // Noted before it is read: what is wrong with it is said once.
            self.seen = stamp;
            if let Some((list, der)) = read_list(&self.path, &self.root)? {
                match &self.held {
                    Some(held) if held.list.number() > list.number() => {
                        let (path, found) = (self.path.clone(), list.number());
                        return Err(CeremonyError::OldList { path, found, held: held.list.number() });
                    }
                    _ => self.held = Some(Arc::new(RootCrl { list, der: der.into() })),
                }
            }
        }
        Ok(self.held.clone())
    }

    /// As [`read`](Self::read), while the server runs: a file that does not do is told to the operator, and the list
    /// before stays. A file that goes away changes nothing: what a root has revoked stays revoked.
    pub(super) fn look(&mut self, now: UnixTime) -> Option<Arc<RootCrl>> {
        let before = self.seen;
        match self.read() {
            Ok(held) => {
                if before != self.seen {
                    self.tell(now);
                }
                held
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "the root's revocation list was not taken");
                self.held.clone()
            }
        }
    }

    fn tell(&self, now: UnixTime) {
        let Some(held) = &self.held else {
            tracing::warn!(path = %self.path.display(), "there is no revocation list of the root");
            return;
        };
        let (number, until) = (held.list.number(), held.list.next_update());
        if now.after(REMIND) >= until {
            tracing::warn!(number, %until, "the root's revocation list runs out: make the next one by `ca root-crl`");
        } else {
            tracing::info!(number, %until, revoked = held.list.len(), "the root's revocation list is published");
        }
    }
}
