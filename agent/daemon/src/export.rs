//! PEM files for other programs: key, certificate, chain and trust anchors, changed as one.
//!
//! Each change makes a new directory `set-N` and lets the symbolic link `current` point to it, by one rename: a
//! program that opens the files of `current/` sees a key and the certificate that belongs to it. The set
//! before stays until the next change, for programs that are reading it; older ones are erased, and so is one that
//! did not come to be in force.

mod place;
mod sets;

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
use sets::Sets;

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

const NEW_LINK: &str = ".current.new";

/// The name of a file, and what is to stand in it.
type Content = (&'static str, Zeroizing<String>);

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
        self.change(&[
            (KEY_FILE, identity.key.clone()),
            (CERTIFICATE_FILE, Zeroizing::new(pem::certificates(chain.clone().take(1)))),
            (CHAIN_FILE, Zeroizing::new(pem::certificates(chain))),
            (TRUST_FILE, Zeroizing::new(pem::certificates(identity.anchors.iter().map(Vec::as_slice)))),
        ])
    }

    fn change(&self, contents: &[Content]) -> io::Result<bool> {
        let root = self.directory();
        // The directory itself stays the agent's, also where the files are another user's.
        let named = self.settings.owner.as_ref().map(|owner| owner.look_up().map_err(io::Error::other));
        let mode = self.directory_mode(named.transpose()?.unwrap_or_default());
        DirBuilder::new().recursive(true).mode(mode).create(root)?;
        place::check(root)?;
        let ids = self.ids()?;
        let sets = Sets::look(root)?;
        if sets.current().is_some() {
            // What a power cut left has the key in it. Where no set is known to be in force, none is given up for a new
            // one that may fail.
            sets.erase_all_but_two();
            if self.is_in_force(contents, ids)? {
                return Ok(false);
            }
        }
        let new = sets.next();
        if let Err(error) = self.put_in_force(&new, contents, ids) {
            // It is tried again for ever, and each attempt would leave the key once more.
            sets::erase_or_warn(&root.join(new));
            return Err(error);
        }
        File::open(root)?.sync_all()?;
        sets.erase_all_but_current();
        Ok(true)
    }

    /// Where this fails, what was in force is in force.
    fn put_in_force(&self, new: &str, contents: &[Content], ids: Ids) -> io::Result<()> {
        let root = self.directory();
        self.write_set(&root.join(new), contents, ids)?;
        let link = root.join(NEW_LINK);
        remove_if_there(&link)?;
        symlink(new, &link)?;
        std::fs::rename(&link, root.join(CURRENT))
    }

    fn try_clear(&self) -> io::Result<()> {
        let root = self.directory();
        if !root.exists() {
            return Ok(());
        }
        remove_if_there(&root.join(CURRENT))?;
        remove_if_there(&root.join(NEW_LINK))?;
        Sets::look(root)?.erase_all()?;
        File::open(root)?.sync_all()
    }

    /// Until the last line nobody but the agent can enter the set: at no moment can a file be read by more than are to.
    fn write_set(&self, set: &Path, contents: &[Content], ids: Ids) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(set)?;
        for (name, content) in contents {
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

    fn is_in_force(&self, contents: &[Content], ids: Ids) -> io::Result<bool> {
        let current = self.directory().join(CURRENT);
        for (name, content) in contents {
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

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{CERTIFICATE_FILE, CHAIN_FILE, CURRENT, Content, Exporter, Identity, KEY_FILE, TRUST_FILE};
    use crate::config::Export;
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use zeroize::Zeroizing;

    const FILES: [&str; 4] = [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, TRUST_FILE];

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

    /// What cannot be done as a whole: the last file has no place.
    fn no_room_for_the_last() -> Vec<Content> {
        let names = [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, "no-such-directory/trust.pem"];
        names.map(|name| (name, Zeroizing::new("secret\n".to_owned()))).into()
    }

    fn names(exporter: &Exporter) -> Vec<String> {
        let entries = fs::read_dir(exporter.directory()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_export_that_fails_again_and_again_leaves_no_key_behind() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        for _ in 0..3 {
            exporter.change(&no_room_for_the_last()).unwrap_err();
            assert_eq!(sets(&exporter), 0, "the first one fails");
        }
        put(&exporter, 1);
        put(&exporter, 2);
        let before = names(&exporter);
        for _ in 0..3 {
            exporter.change(&no_room_for_the_last()).unwrap_err();
            assert_eq!(names(&exporter), before);
            assert!(!put(&exporter, 2), "the old one is in force, and whole");
        }
    }

    #[test]
    fn a_set_that_cannot_be_put_in_force_is_erased() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        // A directory in the place of the link cannot be renamed over.
        fs::create_dir_all(exporter.directory().join(CURRENT)).unwrap();
        for _ in 0..3 {
            let key = Zeroizing::new("key 1\n".to_owned());
            exporter.put(&Identity { key: &key, chain: &[], anchors: &[] }).unwrap_err();
            assert!(!names(&exporter).iter().any(|name| name.starts_with("set-")), "{:?}", names(&exporter));
        }
    }

    /// Also where nothing is to be changed, as at a start after a power cut.
    #[test]
    fn what_a_power_cut_left_goes_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        let exporter = exporter(root.path(), false);
        for mark in 1..=3 {
            put(&exporter, mark);
        }
        assert_eq!(names(&exporter), [CURRENT, "set-2", "set-3"]);
        for left in ["set-1", "set-4", "set-17"] {
            fs::create_dir(exporter.directory().join(left)).unwrap();
            fs::write(exporter.directory().join(left).join(KEY_FILE), "secret\n").unwrap();
        }
        assert!(!put(&exporter, 3));
        assert_eq!(names(&exporter), [CURRENT, "set-2", "set-3"]);
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
