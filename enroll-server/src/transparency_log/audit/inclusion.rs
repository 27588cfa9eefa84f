//! The proof that one certificate is in the log, from the few tiles that it takes.

use std::collections::HashMap;

use ca::Serial;
use transparency::{
    BadBundle, BadTile, Checkpoint, CheckpointError, Hash, Leaf, NotProved, OutOfTree, ProofFile, ReadTile,
    TILE_WIDTH, Tile, TileKind, TileTree, VerifierKey, decode_bundle, decode_tile, inclusion, leaf_hash,
    verify_inclusion,
};

use super::record::serial_of;
use crate::store::{Store, StoreError};
use crate::transparency_log::source::{Source, SourceError};

/// A certificate in the log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The leaf as it was logged.
    pub entry: Vec<u8>,
    /// The proof, with the checkpoint it leads to.
    pub proof: ProofFile,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum InclusionError {
    /// The database knows of no such leaf.
    #[error("the database knows of no certificate {serial} that was issued")]
    Unknown {
        /// The serial number.
        serial: Serial,
    },
    /// It waits for the next checkpoint.
    #[error(
        "the certificate is leaf {index}, and the checkpoint that is out has {size}: try again in a moment"
    )]
    Waits {
        /// Its place.
        index: u64,
        /// Leaves of the checkpoint.
        size: u64,
    },
    /// The leaf tells of something else.
    #[error("leaf {index} is not about this certificate: enroll-server audit verify")]
    Other {
        /// Its place.
        index: u64,
    },
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Source(#[from] SourceError),
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tile is broken.
    #[error("{tile} is broken")]
    Tile {
        /// Which.
        tile: Tile,
        /// What is wrong with it.
        source: BadTile,
    },
    /// A bundle is broken.
    #[error("{tile} is broken")]
    Bundle {
        /// Which.
        tile: Tile,
        /// What is wrong with it.
        source: BadBundle,
    },
    /// The tree is smaller than it says.
    #[error(transparent)]
    Tree(#[from] OutOfTree),
    /// The tiles do not lead to the checkpoint's root.
    #[error("the tiles do not lead to the checkpoint")]
    NotProved(#[from] NotProved),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Proves that the certificate `serial` was logged when it was issued.
///
/// # Errors
/// Says why there is no proof.
pub async fn prove(
    store: &dyn Store,
    source: &Source,
    key: &VerifierKey,
    serial: Serial,
) -> Result<Logged, InclusionError> {
    let leaves = store.leaves_of(serial).await?;
    let index = leaves.iter().find(|leaf| leaf.kind == "issued").map(|leaf| leaf.position);
    let index = index.ok_or(InclusionError::Unknown { serial })?;
    let note = source.checkpoint().await?;
    let Checkpoint { size, root, .. } = Checkpoint::open(&note, key)?;
    let waits = InclusionError::Waits { index, size };
    let width = u64::from(TILE_WIDTH);
    let bundle =
        Tile::of_tree(TileKind::Entries, index / width, size).filter(|_| index < size).ok_or(waits)?;
    let bytes = source.tile(bundle).await?;
    let entries = decode_bundle(&bytes, bundle.width());
    let entries = entries.map_err(|source| InclusionError::Bundle { tile: bundle, source })?;
    let place = usize::try_from(index % width).unwrap_or_default();
    let entry = entries.get(place).copied().unwrap_or_default().to_vec();
    match Leaf::decode(&entry) {
        Ok(Leaf::Issued { certificate, .. })
            if serial_of(certificate).is_some_and(|found| found == serial.as_bytes()) => {}
        _ => return Err(InclusionError::Other { index }),
    }
    let path = path(source, index, size).await?;
    verify_inclusion(&leaf_hash(&entry), index, size, &path, &root)?;
    let checkpoint = String::from_utf8_lossy(&note).into_owned();
    Ok(Logged { entry, proof: ProofFile { index, path, checkpoint } })
}

/// The inclusion proof. Which tiles it takes is found out by asking for it until none is missing.
async fn path(source: &Source, index: u64, size: u64) -> Result<Vec<Hash>, InclusionError> {
    let mut fetched = Fetched::default();
    loop {
        match inclusion(&TileTree::new(&fetched, size), index, size) {
            Ok(path) => return Ok(path),
            Err(Missing::Tree(error)) => return Err(error.into()),
            Err(Missing::Tile(tile)) => {
                let bytes = source.tile(tile).await?;
                let hashes = decode_tile(&bytes, tile.width());
                fetched.0.insert(tile, hashes.map_err(|source| InclusionError::Tile { tile, source })?);
            }
        }
    }
}

#[derive(Default)]
struct Fetched(HashMap<Tile, Vec<Hash>>);

enum Missing {
    Tile(Tile),
    Tree(OutOfTree),
}

impl From<OutOfTree> for Missing {
    fn from(error: OutOfTree) -> Self {
        Self::Tree(error)
    }
}

impl ReadTile for Fetched {
    type Error = Missing;

    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, Missing> {
        self.0.get(&tile).cloned().ok_or(Missing::Tile(tile))
    }
}
