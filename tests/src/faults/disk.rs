//! A disk that keeps what was synced and may lose the rest: what POSIX promises, and no more.
//!
//! A file's bytes are safe after a sync of the file, a name after a sync of its folder. Of everything else, any part may be
//! there after the power was cut, and the last write may be there in part.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use firmware_sim::chance::Dice;

use super::trace::Event;

/// What is lost with the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not synced.
    All,
    /// Half of the bytes of the last write: a page is torn.
    Torn,
    /// Of each file some of the writes that were not synced, half of the bytes of the last of them, and the last of the
    /// changes of names; by this seed.
    Some(u64),
}

/// A disk.
#[derive(Debug)]
pub(super) struct Disk {
    before: PathBuf,
    files: HashMap<u32, File>,
    /// Names that are safe.
    safe: BTreeMap<String, Node>,
    /// Names as the program sees them.
    seen: BTreeMap<String, Node>,
    /// Changes of names that are not safe yet.
    renamed: Vec<Change>,
    /// The object of the last write.
    last: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    /// A file that the program has not written.
    Untouched,
    Object(u32),
}

/// A change of names that happens as a whole.
#[derive(Clone, Debug)]
struct Change {
    gone: Option<String>,
    put: Option<(String, Node)>,
}

#[derive(Debug, Default)]
struct File {
    safe: Vec<u8>,
    pending: Vec<Edit>,
}

#[derive(Clone, Debug)]
enum Edit {
    Write(usize, Vec<u8>),
    Size(usize),
}

impl Disk {
    /// A disk with the files of a folder on it, all safe.
    pub(super) fn of(before: &Path) -> Self {
        let mut names = BTreeMap::new();
        walk(before, "", &mut names);
        let (files, renamed, seen) = (HashMap::new(), Vec::new(), names.clone());
        Self { before: before.to_owned(), files, safe: names, seen, renamed, last: None }
    }

    /// Does what the program did.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Create { object, path } => {
                self.files.insert(*object, File::default());
                self.change(Change { gone: None, put: Some((path.clone(), Node::Object(*object))) });
            }
            Event::Exists { object, path } => self.touch(*object, path),
            Event::Write { object, offset, bytes } => {
                self.last = Some(*object);
                self.file(*object).pending.push(Edit::Write(*offset, bytes.clone()));
            }
            Event::Size { object, length } => self.file(*object).pending.push(Edit::Size(*length)),
            Event::Sync { object } => {
                let file = self.file(*object);
                core::mem::take(&mut file.pending).iter().for_each(|edit| edit.on(&mut file.safe));
            }
            Event::SyncFolder { path } => {
                let (now, later) = core::mem::take(&mut self.renamed)
                    .into_iter()
                    .partition(|change: &Change| change.touches(path));
                self.renamed = later;
                let now: Vec<Change> = now;
                now.iter().for_each(|change| change.on(&mut self.safe));
            }
            Event::Rename { from, to } => {
                let node = self.seen[from];
                self.change(Change { gone: Some(from.clone()), put: Some((to.clone(), node)) });
            }
            Event::Link { from, to } => {
                let node = self.seen[from];
                self.change(Change { gone: None, put: Some((to.clone(), node)) });
            }
            Event::Unlink { path } | Event::Rmdir { path } => {
                self.change(Change { gone: Some(path.clone()), put: None });
            }
            Event::Mkdir { path } => {
                self.change(Change { gone: None, put: Some((path.clone(), Node::Folder)) });
            }
            Event::Mark(_) => {}
        }
    }

    /// Writes what is there after a loss of power into `folder`, which is empty.
    pub(super) fn cut(&self, loss: Loss, folder: &Path) {
        let mut dice = Dice::new(if let Loss::Some(seed) = loss { seed } else { 0 }, "disk", 0);
        let mut names = self.safe.clone();
        let kept = match loss {
            Loss::All => 0,
            Loss::Torn => self.renamed.len(),
            Loss::Some(_) => usize::try_from(dice.below(self.renamed.len() as u64 + 1)).expect("few"),
        };
        self.renamed[..kept].iter().for_each(|change| change.on(&mut names));
        fs::create_dir_all(folder).expect("to make a folder");
        for (path, node) in &names {
            let target = folder.join(path);
            match node {
                Node::Folder => fs::create_dir_all(&target).expect("to make a folder"),
                // A name can be safe whose folder is not: it is lost with that.
                _ if !target.parent().is_some_and(Path::is_dir) => {}
                Node::Untouched => drop(fs::copy(self.before.join(path), &target).expect("to copy a file")),
                Node::Object(object) => {
                    let bytes = self.files[object].after(loss, self.last == Some(*object), &mut dice);
                    fs::write(&target, bytes).expect("to write a file");
                    mode_of(&self.before.join(path), &target);
                }
            }
        }
    }

    fn file(&mut self, object: u32) -> &mut File {
        self.files.get_mut(&object).expect("an object that was opened")
    }

    /// From now on the program writes a file that was there before.
    fn touch(&mut self, object: u32, path: &str) {
        let safe = fs::read(self.before.join(path)).expect("a file that was there before");
        self.files.insert(object, File { safe, pending: Vec::new() });
        for names in [&mut self.safe, &mut self.seen] {
            if let Some(node) = names.get_mut(path) {
                *node = Node::Object(object);
            }
        }
    }

    fn change(&mut self, change: Change) {
        change.on(&mut self.seen);
        self.renamed.push(change);
    }
}

impl Change {
    fn on(&self, names: &mut BTreeMap<String, Node>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, node)) = &self.put {
            names.insert(path.clone(), *node);
        }
    }

    fn touches(&self, folder: &str) -> bool {
        let lies_there = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent) == folder;
        self.gone.as_deref().is_some_and(lies_there)
            || self.put.as_ref().is_some_and(|(path, _)| lies_there(path))
    }
}

impl File {
    fn after(&self, loss: Loss, is_last: bool, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        let mut kept: Vec<Edit> = match loss {
            Loss::All => Vec::new(),
            Loss::Torn => self.pending.clone(),
            Loss::Some(_) => self.pending.iter().filter(|_| dice.below(2) == 0).cloned().collect(),
        };
        if (loss != Loss::Torn || is_last)
            && let Some(Edit::Write(_, torn)) = kept.last_mut()
        {
            torn.truncate(torn.len().div_ceil(2));
        }
        kept.iter().for_each(|edit| edit.on(&mut bytes));
        bytes
    }
}

impl Edit {
    fn on(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::Size(length) => bytes.resize(*length, 0),
        }
    }
}

fn walk(folder: &Path, prefix: &str, names: &mut BTreeMap<String, Node>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_str().expect("a name in UTF-8"));
        if entry.file_type().expect("a file's type").is_dir() {
            names.insert(path.clone(), Node::Folder);
            walk(&entry.path(), &format!("{path}/"), names);
        } else {
            names.insert(path, Node::Untouched);
        }
    }
}

/// Gives a file the mode that it had before: a key that others may read is refused.
fn mode_of(before: &Path, now: &Path) {
    if let Ok(found) = fs::metadata(before) {
        fs::set_permissions(now, found.permissions()).expect("to set a file's mode");
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, Loss};
    use crate::faults::trace::Event;
    use std::fs;

    /// What is left of a file that is replaced by a rename, after each step of it.
    #[test]
    fn only_what_was_synced_is_safe() {
        let before = tempfile::tempdir().unwrap();
        fs::write(before.path().join("a"), "old").unwrap();
        let path = |name: &str| name.to_owned();
        let steps = [
            Event::Create { object: 1, path: path("a.new") },
            Event::Write { object: 1, offset: 0, bytes: b"new!".to_vec() },
            Event::Sync { object: 1 },
            Event::Rename { from: path("a.new"), to: path("a") },
            Event::SyncFolder { path: path("") },
        ];
        let mut disk = Disk::of(before.path());
        let mut seen = Vec::new();
        for step in &steps {
            disk.apply(step);
            seen.push([Loss::All, Loss::Torn].map(|loss| {
                let after = tempfile::tempdir().unwrap();
                disk.cut(loss, after.path());
                let read = |name: &str| fs::read_to_string(after.path().join(name)).ok();
                (read("a").unwrap(), read("a.new"))
            }));
        }
        let old = |new: Option<&str>| (path("old"), new.map(path));
        let renamed = (path("new!"), None);
        assert_eq!(
            seen,
            [
                [old(None), old(Some(""))],
                [old(None), old(Some("ne"))],
                [old(None), old(Some("new!"))],
                // The name is lost, or the whole change is there.
                [old(None), renamed.clone()],
                [renamed.clone(), renamed],
            ]
        );
    }
}
