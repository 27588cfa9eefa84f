//! How the log stands, and what may be wrong with it.

use transparency::{BadEdge, CheckpointError, OutOfTree, Tile};

use super::folder::FolderError;
use crate::store::StoreError;

/// How the log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was not looked at yet.
    Unknown,
    /// The checkpoint that is out has this size.
    Good {
        /// Its size.
        size: u64,
    },
    /// A round failed and is tried again.
    Failing(String),
    /// Database and files contradict each other: no checkpoint is signed until an operator has put that right.
    Diverged(String),
}

impl Status {
    /// Whether checkpoints come as they should, and why not.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Good { .. } => Ok(()),
            Self::Unknown => Err("was not looked at yet".to_owned()),
            Self::Failing(why) => Err(format!("no checkpoint, is tried again: {why}")),
            Self::Diverged(why) => Err(format!("no checkpoint until this is put right: {why}")),
        }
    }
}

/// Database and files of the log contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    /// The database does not know of a checkpoint that is out.
    #[error(
        "the checkpoint that is out has {published} leaves and the database knows of {known}: the database is an older \
         one"
    )]
    OlderDatabase {
        /// Size of the checkpoint that is out.
        published: u64,
        /// Size of the last one that the database knows of.
        known: u64,
    },
    /// The database has another history.
    #[error("the tree of {size} leaves that was published is not that of the database")]
    OtherHistory {
        /// Size of the checkpoint that is out.
        size: u64,
    },
    /// The files are not those of the last checkpoint.
    #[error("the tiles are not those of the checkpoint over {size} leaves")]
    OtherTiles {
        /// Its size.
        size: u64,
    },
    /// A tile that never changes has changed, or belongs to other leaves.
    #[error("a tile is not what it was")]
    Tile(#[source] FolderError),
    /// A tile is not made of the tiles below it.
    #[error("{tile} does not have the hash that the tree has for it")]
    Subtree {
        /// Which.
        tile: Tile,
    },
    /// A tile at the edge is broken.
    #[error("a tile at the edge is broken")]
    Edge(#[from] BadEdge),
    /// The checkpoint that is out is not this log's.
    #[error("the checkpoint that is out cannot be taken")]
    Published(#[source] CheckpointError),
    /// The checkpoint in the database is not this log's.
    #[error("the checkpoint in the database cannot be taken")]
    Stored(#[source] CheckpointError),
    /// The database has fewer leaves than were logged.
    #[error("the database has {leaves} leaves, and {logged} were logged")]
    LeavesGone {
        /// How many it has.
        leaves: u64,
        /// How many were logged.
        logged: u64,
    },
    /// Tiles are missing, and cannot be made again.
    #[error(
        "tiles are missing, and the leaves in the database do not make the tree of the checkpoint over {size} leaves: put the files \
         back from a backup"
    )]
    NotMadeAgain {
        /// Its size.
        size: u64,
    },
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Folder(FolderError),
    /// The log contradicts itself.
    #[error("the log contradicts itself")]
    Diverged(#[from] Divergence),
    /// A leaf is longer than the format allows.
    #[error("a leaf cannot be logged")]
    Leaf(#[source] transparency::BadBundle),
    /// The tree has fewer leaves than its size says.
    #[error(transparent)]
    Tree(#[from] OutOfTree),
    /// Nothing is signed before tiles that are missing are there again.
    #[error("tiles are missing, and are being written again from the database")]
    Rewriting,
    /// The writing task was lost.
    #[error("the writing task ended without a result")]
    Gone,
}

impl KeepError {
    pub(super) fn is_missing_tile(&self) -> bool {
        matches!(self, Self::Diverged(Divergence::Tile(error)) if error.is_missing())
    }
}

impl From<FolderError> for KeepError {
    fn from(error: FolderError) -> Self {
        // A tile that should be there and is not is as bad as another one.
        if matches!(error, FolderError::Differs { .. } | FolderError::Long { .. }) || error.is_missing() {
            Self::Diverged(Divergence::Tile(error))
        } else {
            Self::Folder(error)
        }
    }
}

impl From<BadEdge> for KeepError {
    fn from(error: BadEdge) -> Self {
        Self::Diverged(error.into())
    }
}
