//! Writes tiles again that are missing: the folder is lost, or is an older one than the database.
//!
//! The database makes every leaf again, and has the checkpoint that was signed last. The leaves are gone through twice: nothing is
//! written before the tree that they make has been found to be that of the checkpoint. Nothing is signed here.

use transparency::{Checkpoint, Edge, Hash};

use super::divergence::{Divergence, KeepError};
use super::folder::Folder;
use super::key::LogKey;
use crate::store::LogHead;

/// How far tiles were written again.
#[derive(Debug)]
pub(super) struct Rewriting {
    /// Where it begins: of a smaller checkpoint whose tiles are there, or of an empty log.
    start: Edge,
    edge: Edge,
    /// Of the last checkpoint.
    size: u64,
    root: Hash,
    /// The checkpoint that is out, whose tiles are wanted too.
    published: Option<(u64, Hash)>,
    /// Whether the leaves were found to be those of the last checkpoint.
    is_proved: bool,
}

impl Rewriting {
    /// Of the log that the database knows; `None` where no checkpoint says what it has to become.
    pub(super) fn begin(
        folder: &Folder,
        key: &LogKey,
        head: &LogHead,
        published: Option<&Checkpoint>,
    ) -> Result<Option<Self>, KeepError> {
        let Some(note) = &head.note else { return Ok(None) };
        let Checkpoint { size, root, .. } =
            Checkpoint::open(note.as_bytes(), key.verifier()).map_err(Divergence::Stored)?;
        let start = published.and_then(|published| whole(folder, published));
        // A tile within the log may be missing too, and its edge does not say which.
        let start = start.filter(|edge| edge.size() < size).unwrap_or_default();
        let published = published.map(|published| (published.size, published.root));
        Ok(Some(Self { edge: start.clone(), start, size, root, published, is_proved: false }))
    }

    /// The leaf that is wanted next.
    pub(super) const fn next(&self) -> u64 {
        self.edge.size()
    }

    /// The size of the log that is written.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is the whole log that is written.
    pub(super) const fn is_whole(&self) -> bool {
        self.start.size() == 0
    }

    /// Takes the next leaves. Tells whether all is written.
    pub(super) fn take(&mut self, folder: &Folder, leaves: Vec<Vec<u8>>) -> Result<bool, KeepError> {
        let taken = self.push(folder, leaves);
        if taken.is_err() {
            // Not all that the edge has went past is written.
            self.edge = self.start.clone();
        }
        taken
    }

    fn push(&mut self, folder: &Folder, leaves: Vec<Vec<u8>>) -> Result<bool, KeepError> {
        let before = self.edge.size();
        let left = usize::try_from(self.size - before).unwrap_or(usize::MAX);
        for leaf in leaves.into_iter().take(left) {
            for (tile, bytes) in self.edge.push(leaf).map_err(KeepError::Leaf)? {
                if self.is_proved {
                    folder.write(tile, &bytes)?;
                }
            }
            if let Some((size, root)) = self.published.filter(|(size, _)| *size == self.edge.size()) {
                if root != self.edge.root() {
                    return Err(Divergence::OtherHistory { size }.into());
                }
                self.write_partial(folder)?;
            }
        }
        if self.edge.size() < self.size {
            let more = self.edge.size() > before;
            return if more { Ok(false) } else { Err(Divergence::NotMadeAgain { size: self.size }.into()) };
        }
        if self.edge.root() != self.root {
            return Err(Divergence::NotMadeAgain { size: self.size }.into());
        }
        if self.is_proved {
            self.write_partial(folder)?;
            return Ok(true);
        }
        self.is_proved = true;
        self.edge = self.start.clone();
        Ok(false)
    }

    fn write_partial(&self, folder: &Folder) -> Result<(), KeepError> {
        if self.is_proved {
            for (tile, bytes) in self.edge.partial() {
                folder.write(tile, &bytes)?;
            }
        }
        Ok(())
    }
}

/// The edge of a checkpoint, where its tiles are there and are its own.
fn whole(folder: &Folder, checkpoint: &Checkpoint) -> Option<Edge> {
    let edge = Edge::load(checkpoint.size, |tile| folder.read(tile).map_err(KeepError::from)).ok()?;
    (edge.root() == checkpoint.root).then_some(edge)
}
