//! PEM files for other programs: key, certificate, chain and trust anchors, changed as one.
//!
//! Each change makes a new directory `set-N` and lets the symbolic link `current` point to it, by one rename: a
//! program that opens the files of `current/` sees a key and the certificate that belongs to it. The set
//! before stays until the next change, for programs that are reading it; older ones are erased.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, symlink,
};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Export;
use crate::owner::Ids;
use crate::pem;

/// The private key: PKCS#8.
pub const KEY_FILE: &str = "key.pem";
/// The device's certificate.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// The device's certificate and its issuing CAs, leaf first, without the trust anchor.
pub const CHAIN_FILE: &str = "chain.pem";
/// The trust anchors for the broker and the enrollment server.
pub const TRUST_FILE: &str = "trust.pem";
/// The link to the set in force.
pub const CURRENT: &str = "current";

const FILES: [&str; 4] = [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, TRUST_FILE];
const PREFIX: &str = "set-";
const NEW_LINK: &str = ".current.new";

/// What the files say.
#[derive(Debug)]
pub struct Identity<'a> {
    /// The private key in PEM.
    pub key: &'a Zeroizing<String>,
    /// Certificates in DER, leaf first.
    pub chain: &'a [Vec<u8>],
    /// Trust anchors in DER.
    pub anchors: &'a [Vec<u8>],
}

/// Keeps the files of one directory.
#[derive(Clone, Debug)]
pub struct Exporter {
    settings: Export,
}

/// The export directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the files for other programs in {directory} could not be changed")]
pub struct ExportError {
    /// The directory.
    pub directory: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Exporter {
    /// An exporter to this place; touches nothing yet.
    #[must_use]
    pub const fn new(settings: Export) -> Self {
        Self { settings }
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Puts the identity in place of the one before; `false` where it is there already.
    ///
    /// # Errors
    /// Where the directory cannot be written; the set before is then still in force.
    pub fn put(&self, identity: &Identity<'_>) -> Result<bool, ExportError> {
        self.try_put(identity).map_err(|source| self.error(source))
    }

    /// Erases all sets.
    ///
    /// # Errors
    /// Where something could not be erased; to be called again.
    pub fn clear(&self) -> Result<(), ExportError> {
        self.try_clear().map_err(|source| self.error(source))
    }

    fn try_put(&self, identity: &Identity<'_>) -> io::Result<bool> {
        let chain = identity.chain.iter().map(Vec::as_slice);
        let contents = [
            identity.key.clone(),
            Zeroizing::new(pem::certificates(chain.clone().take(1))),
            Zeroizing::new(pem::certificates(chain)),
            Zeroizing::new(pem::certificates(identity.anchors.iter().map(Vec::as_slice))),
        ];
        let root = self.directory();
        // The directory itself stays the agent's: who could write to it could have the key written elsewhere.
        let named = self.settings.owner.as_ref().map(|owner| owner.look_up().map_err(io::Error::other));
        let mode = self.directory_mode(named.transpose()?.unwrap_or_default());
        DirBuilder::new().recursive(true).mode(mode).create(root)?;
        let ids = self.ids()?;
        let current = self.current_number();
        if current.is_some() && self.is_in_force(&contents, ids)? {
            return Ok(false);
        }
        let numbers = self.numbers()?;
        let number = numbers.iter().max().map_or(1, |most| most + 1);
        self.write_set(&root.join(format!("{PREFIX}{number}")), &contents, ids)?;

        let link = root.join(NEW_LINK);
        remove_if_there(&link)?;
        symlink(format!("{PREFIX}{number}"), &link)?;
        std::fs::rename(&link, root.join(CURRENT))?;
        File::open(root)?.sync_all()?;

        for old in numbers.into_iter().filter(|old| Some(*old) != current) {
            erase_set(&root.join(format!("{PREFIX}{old}")))?;
        }
        Ok(true)
    }

    fn try_clear(&self) -> io::Result<()> {
        let root = self.directory();
        if !root.exists() {
            return Ok(());
        }
        remove_if_there(&root.join(CURRENT))?;
        remove_if_there(&root.join(NEW_LINK))?;
        for number in self.numbers()? {
            erase_set(&root.join(format!("{PREFIX}{number}")))?;
        }
        File::open(root)?.sync_all()
    }

    /// Until the last line nobody but the agent can enter the set: at no moment can a file be read by more than are to.
    fn write_set(&self, set: &Path, contents: &[Zeroizing<String>; 4], ids: Ids) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(set)?;
        for (name, content) in FILES.iter().zip(contents) {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(set.join(name))?;
            file.write_all(content.as_bytes())?;
            file.set_permissions(Permissions::from_mode(self.file_mode()))?;
            give(&file, ids)?;
            file.sync_all()?;
        }
        let directory = File::open(set)?;
        give(&directory, Ids { user: None, ..ids })?;
        directory.set_permissions(Permissions::from_mode(self.directory_mode(ids)))?;
        directory.sync_all()
    }

    /// Who is to have the files; the group of the directory where the group may read and none is named.
    fn ids(&self) -> io::Result<Ids> {
        let mut ids = match &self.settings.owner {
            Some(owner) => owner.look_up().map_err(io::Error::other)?,
            None => Ids::default(),
        };
        if self.settings.group_readable && ids.group.is_none() {
            ids.group = Some(std::fs::metadata(self.directory())?.gid());
        }
        Ok(ids)
    }

    const fn file_mode(&self) -> u32 {
        if self.settings.group_readable { 0o640 } else { 0o600 }
    }

    /// Another user has to come through to its files, and need not see what else is there.
    const fn directory_mode(&self, ids: Ids) -> u32 {
        let for_group = if self.settings.group_readable { 0o750 } else { 0o700 };
        if ids.user.is_some() { for_group | 0o011 } else { for_group }
    }

    fn is_in_force(&self, contents: &[Zeroizing<String>; 4], ids: Ids) -> io::Result<bool> {
        let current = self.directory().join(CURRENT);
        for (name, content) in FILES.iter().zip(contents) {
            let mut found = Zeroizing::new(Vec::with_capacity(content.len() + 1));
            let file = match File::open(current.join(name)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            let of = file.metadata()?;
            let is_owner = ids.user.is_none_or(|user| user == of.uid())
                && ids.group.is_none_or(|group| group == of.gid());
            // One byte more than expected is enough to see a difference.
            file.take(content.len() as u64 + 1).read_to_end(&mut found)?;
            if found.as_slice() != content.as_bytes() || !is_owner || of.mode() & 0o777 != self.file_mode() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn current_number(&self) -> Option<u64> {
        let target = std::fs::read_link(self.directory().join(CURRENT)).ok()?;
        number(target.to_str()?)
    }

    /// The numbers of all sets, whole or not.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(self.directory())? {
            numbers.extend(entry?.file_name().to_str().and_then(number));
        }
        Ok(numbers)
    }

    fn error(&self, source: io::Error) -> ExportError {
        ExportError { directory: self.settings.directory.clone(), source }
    }
}

/// Gives a file away, unless it is there already, as below a directory with the setgid bit.
fn give(file: &File, ids: Ids) -> io::Result<()> {
    let of = file.metadata()?;
    let (user, group) = (ids.user.filter(|id| *id != of.uid()), ids.group.filter(|id| *id != of.gid()));
    if user.is_none() && group.is_none() { Ok(()) } else { fchown(file, user, group) }
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Overwrites the key, then removes the set.
fn erase_set(set: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(set.join(KEY_FILE)) {
        Ok(mut key) => {
            let length = key.metadata()?.len();
            io::copy(&mut io::repeat(0).take(length), &mut key)?;
            key.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::remove_dir_all(set)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{CURRENT, Exporter, FILES, Identity};
    use crate::config::Export;
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use zeroize::Zeroizing;

    fn put(exporter: &Exporter, mark: u8) -> bool {
        let key = Zeroizing::new(format!("key {mark}\n"));
        let chain = [vec![mark; 40], vec![mark; 50]];
        exporter.put(&Identity { key: &key, chain: &chain, anchors: &[vec![mark; 60]] }).unwrap()
    }

    fn exporter(root: &Path, group_readable: bool) -> Exporter {
        Exporter::new(Export { directory: root.join("export"), group_readable, owner: None })
    }

    fn sets(exporter: &Exporter) -> usize {
        let entries = fs::read_dir(exporter.directory()).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir()).count()
    }

    #[test]
    fn files_are_private_and_the_same_content_is_no_change() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        assert!(put(&exporter, 1));
        assert!(!put(&exporter, 1));
        for file in FILES {
            let mode = fs::metadata(exporter.directory().join(CURRENT).join(file)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!(fs::metadata(exporter.directory()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(sets(&exporter), 1);
    }

    #[test]
    fn a_group_may_read_where_the_operator_says_so() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), true);
        put(&exporter, 1);
        let current = exporter.directory().join(CURRENT);
        assert_eq!(fs::metadata(current.join("key.pem")).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(&current).unwrap().mode() & 0o777, 0o750);
    }

    /// As root the files go to another user; as anybody else that is an error that leaves the old set in force.
    #[test]
    fn files_are_given_to_their_owner_and_nothing_half_given_is_in_force() {
        let root = tempfile::tempdir().unwrap();
        let ours = exporter(root.path(), false);
        put(&ours, 1);
        let owner = Some("65534:65534".parse().unwrap());
        let theirs = Exporter::new(Export { group_readable: true, owner, ..ours.settings.clone() });
        let key = Zeroizing::new("key 1\n".to_owned());
        let chain = [vec![1; 40], vec![1; 50]];
        let outcome = theirs.put(&Identity { key: &key, chain: &chain, anchors: &[vec![1; 60]] });
        let current = ours.directory().join(CURRENT);
        let found = fs::metadata(current.join("key.pem")).unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(outcome.unwrap(), "another owner is a change");
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (65534, 65534, 0o640));
            assert_eq!(fs::metadata(&current).unwrap().mode() & 0o777, 0o751);
            assert_eq!(fs::metadata(&current).unwrap().uid(), 0, "the set stays the agent's");
        } else {
            outcome.unwrap_err();
            assert_eq!((found.uid(), found.mode() & 0o777), (rustix::process::geteuid().as_raw(), 0o600));
        }
    }

    #[test]
    fn an_owner_that_nobody_knows_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let ours = exporter(root.path(), false);
        put(&ours, 1);
        let owner = Some("no-such-user-here".parse().unwrap());
        let theirs = Exporter::new(Export { owner, ..ours.settings.clone() });
        let key = Zeroizing::new("key 2\n".to_owned());
        let error = theirs.put(&Identity { key: &key, chain: &[], anchors: &[] }).unwrap_err();
        assert!(crate::cli::causes(&error).contains("no-such-user-here is not in"), "{error:?}");
        assert_eq!(sets(&ours), 1);
    }

    #[test]
    fn the_set_before_stays_and_older_ones_go() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        for mark in 1..=5 {
            put(&exporter, mark);
        }
        assert_eq!(sets(&exporter), 2);
        // What a crash between writing and renaming left is cleared away too.
        fs::create_dir(exporter.directory().join("set-9")).unwrap();
        put(&exporter, 6);
        assert_eq!(sets(&exporter), 2);
        exporter.clear().unwrap();
        assert_eq!(fs::read_dir(exporter.directory()).unwrap().count(), 0);
    }

    /// A reader that resolves the link once never sees a key with another key's certificate, and never nothing.
    #[test]
    fn a_reader_sees_one_set_or_the_other() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        put(&exporter, 0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    let set = fs::read_link(exporter.directory().join(CURRENT)).unwrap();
                    let set = exporter.directory().join(set);
                    let Ok(key) = fs::read_to_string(set.join("key.pem")) else { continue };
                    let Ok(cert) = fs::read(set.join("cert.pem")) else { continue };
                    let mark: u8 = match key.trim_start_matches("key ").trim_end().parse() {
                        Ok(mark) => mark,
                        // Erased two changes later, while it was read.
                        Err(_) => continue,
                    };
                    let der = crate::pem::read_certificates(&cert).unwrap();
                    assert_eq!(der, [vec![mark; 40]]);
                    seen += 1;
                }
                seen
            });
            for mark in 1..=60 {
                put(&exporter, mark);
            }
            stop.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
    }
}
