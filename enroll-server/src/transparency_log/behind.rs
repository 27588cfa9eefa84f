//! What a log has behind the last checkpoint that a database knows of: reads that and no more, however large the log is.

use transparency::{BadEdge, Checkpoint, Edge, TILE_WIDTH, Tile, TileKind, decode_bundle};

use super::divergence::{Divergence, KeepError};
use super::folder::Folder;
use super::key::LogKey;
use crate::store::LogHead;

/// The edge of the log at the size of `head`, found to be that of its checkpoint where it has one, which is given too.
///
/// # Errors
/// Where tiles cannot be read, or belong to another checkpoint.
pub(super) fn known(
    folder: &Folder,
    key: &LogKey,
    head: &LogHead,
) -> Result<(Edge, Option<Checkpoint>), KeepError> {
    let edge = Edge::load(head.size, |tile| folder.read(tile).map_err(KeepError::from))?;
    let Some(note) = &head.note else { return Ok((edge, None)) };
    let stored = Checkpoint::open(note.as_bytes(), key.verifier()).map_err(Divergence::Stored)?;
    if (stored.size, stored.root) != (edge.size(), edge.root()) {
        return Err(Divergence::OtherTiles { size: head.size }.into());
    }
    Ok((edge, Some(stored)))
}

/// The entries from the size of `head` to that of `published`, which is larger, found to be those of both checkpoints.
///
/// # Errors
/// Where tiles cannot be read, or belong to other checkpoints.
pub fn behind(
    folder: &Folder,
    key: &LogKey,
    head: &LogHead,
    published: &Checkpoint,
) -> Result<Vec<Vec<u8>>, KeepError> {
    let (mut edge, _) = known(folder, key, head)?;
    let (width, mut leaves) = (u64::from(TILE_WIDTH), Vec::new());
    for index in head.size / width.. {
        let Some(tile) = Tile::of_tree(TileKind::Entries, index, published.size) else { break };
        let bytes = folder.read(tile)?;
        let entries =
            decode_bundle(&bytes, tile.width()).map_err(|source| BadEdge::Bundle { tile, source })?;
        let skipped = usize::try_from(head.size.saturating_sub(index.saturating_mul(width)));
        for entry in entries.into_iter().skip(skipped.unwrap_or(usize::MAX)) {
            edge.push(entry.to_vec()).map_err(KeepError::Leaf)?;
            leaves.push(entry.to_vec());
        }
    }
    if (edge.size(), edge.root()) == (published.size, published.root) {
        Ok(leaves)
    } else {
        Err(Divergence::OtherTiles { size: published.size }.into())
    }
}
