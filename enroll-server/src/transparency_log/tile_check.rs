//! Holds tiles of hashes against the level above them.

use transparency::{
    BadEdge, Hash, MemoryTree, Nodes as _, ReadTile, TILE_WIDTH, Tile, TileKind, decode_tile,
};

use super::divergence::{Divergence, KeepError};
use super::folder::Folder;

/// Most tiles that are looked at in one go, between two rounds.
const TILES_AT_ONCE: usize = 512;

/// A place among the tiles of hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    level: u8,
    index: u64,
}

/// Compares full tiles of hashes, from `place` on and some at a time, with the hash that the level above has for each.
/// Gives the place of the next one. Entries are for an audit.
pub(super) fn look_through(folder: &Folder, size: u64, mut place: Place) -> Result<Option<Place>, KeepError> {
    for _ in 0..TILES_AT_ONCE {
        let Place { level, index } = place;
        if Tile::of_tree(TileKind::Hashes(level + 1), 0, size).is_none() {
            return Ok(None);
        }
        match Tile::of_tree(TileKind::Hashes(level), index, size).filter(|tile| tile.is_full()) {
            Some(tile) => {
                compare_with_above(&Hashes(folder), tile, place, size)?;
                place.index += 1;
            }
            None => place = Place { level: level + 1, index: 0 },
        }
    }
    Ok(Some(place))
}

fn compare_with_above(tiles: &Hashes<'_>, tile: Tile, place: Place, size: u64) -> Result<(), KeepError> {
    let Place { level, index } = place;
    let within = usize::try_from(index % u64::from(TILE_WIDTH)).unwrap_or_default();
    let parent = Tile::of_tree(TileKind::Hashes(level + 1), index / u64::from(TILE_WIDTH), size);
    let expected = parent.map(|parent| tiles.hashes(parent)).transpose()?;
    let expected = expected.as_ref().and_then(|row| row.get(within));
    let mut subtree = MemoryTree::default();
    tiles.hashes(tile)?.into_iter().for_each(|hash| subtree.push(hash));
    let found = subtree.node(8, 0).ok();
    if found.as_ref() == expected { Ok(()) } else { Err(Divergence::Subtree { tile }.into()) }
}

/// The hashes of the tiles of a folder.
pub(super) struct Hashes<'f>(pub(super) &'f Folder);

impl ReadTile for Hashes<'_> {
    type Error = KeepError;

    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, KeepError> {
        let bytes = self.0.read(tile)?;
        Ok(decode_tile(&bytes, tile.width()).map_err(|source| BadEdge::Tile { tile, source })?)
    }
}
