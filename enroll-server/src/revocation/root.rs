//! A root's own list: a file that the operator brings now and then. It is published beside the server's lists, for
//! verifiers that check every CA of a chain (nginx does).

use core::time::Duration;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ca::{CaCertificate, RootList};
use shared::UnixTime;

use crate::ceremony::{CeremonyError, read_list};
use crate::issuance::chain;
use crate::rollover::Root;

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
pub(crate) struct RootSource {
    path: PathBuf,
    root: CaCertificate,
    seen: Option<Stamp>,
    held: Option<Arc<RootCrl>>,
    unread: Option<Unread>,
    /// Whether it was told how it stands.
    is_told: bool,
}

/// A file that is there and cannot be read.
#[derive(Clone, Debug)]
struct Unread {
    since: UnixTime,
    /// What was told.
    why: String,
}

/// What tells one file from the next under the same name.
type Stamp = (u64, i64, i64, u64);

/// How a list is read; tests have one that fails.
type ReadList = fn(&Path, &CaCertificate) -> Result<Option<(RootList, Vec<u8>)>, CeremonyError>;

impl RootSource {
    /// The file `path`, which `root` has signed. It need not be there.
    pub(crate) const fn new(path: PathBuf, root: CaCertificate) -> Self {
        Self { path, root, seen: None, held: None, unread: None, is_told: false }
    }

    /// Whether it is the list of this root.
    pub(super) fn is_of(&self, root: &Root) -> bool {
        self.path == root.list && self.root.der() == root.certificate.der()
    }

    /// Reads the file if it has changed.
    ///
    /// # Errors
    /// Where it cannot be read, or is no list of the root.
    pub(crate) fn read(&mut self) -> Result<Option<Arc<RootCrl>>, CeremonyError> {
        self.read_by(read_list)
    }

    fn read_by(&mut self, read_list: ReadList) -> Result<Option<Arc<RootCrl>>, CeremonyError> {
        let stamp = stamp(&self.path)?;
        if stamp != self.seen {
            let read = read_list(&self.path, &self.root);
            // What is wrong with a list itself is said once. What kept it from being read may pass and leave the file as
            // it was: it is tried again, or what the root has revoked would not be known until the next list.
            if !read.as_ref().is_err_and(is_unread) {
                self.seen = stamp;
            }
            if let Some((list, der)) = read? {
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
        self.look_by(read_list, now)
    }

    fn look_by(&mut self, read_list: ReadList, now: UnixTime) -> Option<Arc<RootCrl>> {
        let before = self.seen;
        match self.read_by(read_list) {
            Ok(_) => {
                let was_unread = self.unread.take().is_some();
                if was_unread || before != self.seen || !self.is_told {
                    self.is_told = true;
                    self.tell(now);
                }
            }
            Err(error) if is_unread(&error) => self.note_unread(chain(&error), now),
            Err(error) => {
                self.unread = None;
                tracing::error!(error = chain(&error), "the root's revocation list was not taken");
            }
        }
        self.held.clone()
    }

    /// Since when the file could not be read; `None` where it could.
    pub(super) fn unread_since(&self) -> Option<UnixTime> {
        self.unread.as_ref().map(|unread| unread.since)
    }

    /// Tells it once, and again where there is another reason.
    fn note_unread(&mut self, why: String, now: UnixTime) {
        let before = self.unread.take();
        if before.as_ref().is_none_or(|unread| unread.why != why) {
            tracing::error!(error = why, "the root's revocation list cannot be read, and is tried again");
        }
        self.unread = Some(Unread { since: before.map_or(now, |unread| unread.since), why });
    }

    fn tell(&self, now: UnixTime) {
        let Some(held) = &self.held else {
            tracing::warn!(
                path = %self.path.display(),
                root = self.root.subject(),
                "there is no revocation list of the root, and verifiers that check every CA of a chain let nobody in: make it \
                 where the root's key is, by `ca root-crl`, and put it there"
            );
            return;
        };
        let (number, until, root) = (held.list.number(), held.list.next_update(), self.root.subject());
        if now.after(REMIND) >= until {
            tracing::warn!(root, number, %until, "the root's revocation list runs out: make the next one by `ca root-crl`");
        } else {
            tracing::info!(root, number, %until, revoked = held.list.len(), "the root's revocation list is published");
        }
    }
}

/// `None` where there is no file.
fn stamp(path: &Path) -> Result<Option<Stamp>, CeremonyError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CeremonyError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Whether the system did not give the file. Its length is its own.
fn is_unread(error: &CeremonyError) -> bool {
    matches!(error, CeremonyError::Unreadable { source, .. } if source.kind() != ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::io::{Error, ErrorKind};
    use std::path::{Path, PathBuf};

    use ca::crl::Reason;
    use ca::{CaCertificate, RootList};
    use shared::UnixTime;

    use super::{RootSource, read_list};
    use crate::ceremony::{CeremonyError, ListOptions, RootFolder, list};
    use crate::issuance::tests::new_server;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn later(seconds: u64) -> UnixTime {
        NOW.after(Duration::from_secs(seconds))
    }

    type Read = Result<Option<(RootList, Vec<u8>)>, CeremonyError>;

    fn refused(path: &Path, _: &CaCertificate) -> Read {
        Err(CeremonyError::Unreadable { path: path.into(), source: ErrorKind::PermissionDenied.into() })
    }

    fn broken(path: &Path, _: &CaCertificate) -> Read {
        // EIO
        Err(CeremonyError::Unreadable { path: path.into(), source: Error::from_raw_os_error(5) })
    }

    /// A root, its list and an issuing CA.
    fn root(folder: &Path) -> (RootSource, PathBuf, PathBuf) {
        let files = new_server(folder, "").files;
        let root = RootFolder::open(&folder.join("server")).unwrap();
        let source = RootSource::new(files.root_crl.clone(), root.certificate().clone());
        (source, files.root_crl, files.issuing_certificate)
    }

    #[test]
    fn a_list_that_could_not_be_read_once_is_read_although_the_file_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (mut source, path, issuing) = root(folder.path());
        let first = source.look(NOW).unwrap();
        let (root, revoke) = (folder.path().join("server"), vec![issuing]);
        let options = ListOptions {
            root,
            first: false,
            revoke,
            reason: Reason::KeyCompromise,
            valid: Duration::from_secs(86_400),
        };
        list(&options, |_| unreachable!(), NOW).unwrap();
        for (reader, seconds) in [(refused as super::ReadList, 0), (refused, 1), (broken, 2)] {
            let held = source.look_by(reader, later(seconds)).unwrap();
            assert_eq!((held.list.number(), source.unread_since()), (first.list.number(), Some(NOW)));
        }
        let next = source.look(later(3)).unwrap();
        assert_eq!((next.list.number(), next.list.len()), (first.list.number() + 1, 1));
        assert_eq!(source.unread_since(), None);

        // Neither is the start deceived by a folder that does not let it look.
        let hidden = path.join("root-ca.crl.pem");
        let mut source = RootSource::new(hidden, source.root);
        assert!(source.look(NOW).is_none());
        assert_eq!(source.unread_since(), Some(NOW));
        source.read().unwrap_err();
    }

    #[test]
    fn what_is_wrong_with_a_list_itself_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut source, path, _) = root(folder.path());
        source.look(NOW).unwrap();
        for wrong in [b"not a list".to_vec(), vec![b'x'; 1 << 20]] {
            std::fs::write(&path, &wrong).unwrap();
            source.read().unwrap_err();
            assert!(source.read().unwrap().is_some(), "the list before stays");
            assert!(source.look_by(read_list, NOW).is_some());
            assert_eq!(source.unread_since(), None);
        }
    }
}
