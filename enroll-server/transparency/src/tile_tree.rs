//! The tree of a checkpoint, read from tiles.

use crate::hash::{Hash, node_hash};
use crate::tile::{TILE_WIDTH, Tile, TileKind};
use crate::tree::{Nodes, OutOfTree};

/// Gives the hashes of tiles: as many as the tile is wide.
pub trait ReadTile {
    /// Why it cannot be read.
    type Error: From<OutOfTree>;

    /// Reads a tile of hashes.
    ///
    /// # Errors
    /// Where it is missing or broken.
    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// A tree of a certain size over tiles.
#[derive(Debug)]
pub struct TileTree<'a, R> {
    tiles: &'a R,
    size: u64,
}

impl<'a, R> TileTree<'a, R> {
    /// The tree of the first `size` leaves.
    #[must_use]
    pub const fn new(tiles: &'a R, size: u64) -> Self {
        Self { tiles, size }
    }
}

impl<R: ReadTile> Nodes for TileTree<'_, R> {
    type Error = R::Error;

    fn node(&self, height: u8, index: u64) -> Result<Hash, R::Error> {
        let missing = OutOfTree { height, index, size: self.size };
        let (level, within) = (height / 8, height % 8);
        let first = index.checked_mul(1 << within).ok_or(missing)?;
        let width = u64::from(TILE_WIDTH);
        let tile = Tile::of_tree(TileKind::Hashes(level), first / width, self.size).ok_or(missing)?;
        let hashes = self.tiles.hashes(tile)?;
        let begin = usize::try_from(first % width).map_err(|_| missing)?;
        let mut row = hashes.get(begin..begin + (1 << within)).ok_or(missing)?.to_vec();
        while row.len() > 1 {
            row = row
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(node_hash(left, right)),
                    _ => None,
                })
                .collect();
        }
        Ok(row.first().copied().ok_or(missing)?)
    }
}
