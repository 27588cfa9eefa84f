//! The right edge of a log: all that is needed to add leaves and to say the root, whatever the log's size.

use crate::hash::{Hash, leaf_hash, node_hash};
use crate::tile::{
    BadBundle, BadTile, TILE_WIDTH, Tile, TileKind, decode_bundle, decode_tile, encode_bundle, encode_tile,
};

/// The tiles that are not full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// The hashes of the partial tile of each level; fewer than 256 each.
    levels: Vec<Vec<Hash>>,
    /// The entries of the partial bundle.
    entries: Vec<Vec<u8>>,
}

/// A tile and its contents.
pub type TileBytes = (Tile, Vec<u8>);

/// A tile of the edge is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEdge {
    /// A tile of hashes.
    #[error("{tile}")]
    Tile {
        /// Which.
        tile: Tile,
        /// What is wrong with it.
        source: BadTile,
    },
    /// The bundle of entries.
    #[error("{tile}")]
    Bundle {
        /// Which.
        tile: Tile,
        /// What is wrong with it.
        source: BadBundle,
    },
    /// An entry does not have the hash that stands in the tree.
    #[error("{tile}: the entry {entry} does not have the hash that the tree has for it")]
    Entry {
        /// The bundle.
        tile: Tile,
        /// Which entry of it.
        entry: usize,
    },
}

impl Edge {
    /// Reads the edge of a log of `size` leaves from its partial tiles.
    ///
    /// # Errors
    /// Where a tile cannot be read, or is not as it should be.
    pub fn load<E: From<BadEdge>>(
        size: u64,
        mut read: impl FnMut(Tile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut edge = Self { size, ..Self::default() };
        for level in 0_u8..8 {
            let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            if hashes == 0 {
                break;
            }
            let last = Tile::of_tree(TileKind::Hashes(level), hashes / u64::from(TILE_WIDTH), size);
            edge.levels.push(match last {
                Some(tile) => decode_tile(&read(tile)?, tile.width())
                    .map_err(|source| BadEdge::Tile { tile, source })?,
                None => Vec::new(),
            });
        }
        if let Some(tile) = Tile::of_tree(TileKind::Entries, size / u64::from(TILE_WIDTH), size) {
            let bytes = read(tile)?;
            let entries =
                decode_bundle(&bytes, tile.width()).map_err(|source| BadEdge::Bundle { tile, source })?;
            edge.entries = entries.into_iter().map(<[u8]>::to_vec).collect();
            let hashes = edge.entries.iter().map(|entry| leaf_hash(entry));
            if let Some(entry) = hashes.zip(edge.level(0)).position(|(found, expected)| found != *expected) {
                return Err(BadEdge::Entry { tile, entry }.into());
            }
        }
        Ok(edge)
    }

    /// How many leaves the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Gives the tiles that became full by it.
    ///
    /// # Errors
    /// Where the entry is too long.
    pub fn push(&mut self, entry: Vec<u8>) -> Result<Vec<TileBytes>, BadBundle> {
        if entry.len() > crate::tile::MAX_ENTRY {
            return Err(BadBundle::Entry { found: entry.len() });
        }
        let mut full = Vec::new();
        let mut hash = leaf_hash(&entry);
        self.entries.push(entry);
        self.size += 1;
        if self.entries.len() == usize::from(TILE_WIDTH) {
            let tile = Tile::of_tree(TileKind::Entries, (self.size - 1) / u64::from(TILE_WIDTH), self.size);
            full.extend(tile.zip(encode_bundle(&core::mem::take(&mut self.entries)).ok()));
        }
        for level in 0_u8.. {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(place) else { break };
            row.push(hash);
            if row.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let row = core::mem::take(row);
            let hashes = self.size >> (u32::from(level) * 8);
            let tile =
                Tile::of_tree(TileKind::Hashes(level), (hashes - 1) / u64::from(TILE_WIDTH), self.size);
            full.extend(tile.map(|tile| (tile, encode_tile(&row))));
            hash = joined(subtrees(&row));
        }
        Ok(full)
    }

    /// The tiles that are not full and not empty.
    #[must_use]
    pub fn partial(&self) -> Vec<TileBytes> {
        let width = u64::from(TILE_WIDTH);
        let mut tiles = Vec::new();
        for (level, row) in (0_u8..).zip(&self.levels) {
            let hashes = self.size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            let tile = Tile::of_tree(TileKind::Hashes(level), hashes / width, self.size);
            tiles.extend(tile.map(|tile| (tile, encode_tile(row))));
        }
        let tile = Tile::of_tree(TileKind::Entries, self.size / width, self.size);
        // None is too long: they were looked at when they were added.
        tiles.extend(tile.zip(encode_bundle(&self.entries).ok()));
        tiles
    }

    /// The root of the log's tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        if self.size == 0 {
            return Hash::of_empty_tree();
        }
        joined(self.levels.iter().rev().flat_map(|row| subtrees(row)).collect())
    }

    fn level(&self, level: usize) -> &[Hash] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }
}

/// The hashes of the complete subtrees that a row falls into, the largest first.
fn subtrees(row: &[Hash]) -> Vec<Hash> {
    let mut hashes = Vec::new();
    let mut rest = row;
    while !rest.is_empty() {
        let width = 1 << rest.len().ilog2();
        let (subtree, behind) = rest.split_at_checked(width).unwrap_or((rest, &[]));
        let mut nodes = subtree.to_vec();
        while nodes.len() > 1 {
            let pair = |pair: &[Hash]| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            };
            nodes = nodes.chunks(2).filter_map(pair).collect();
        }
        hashes.extend(nodes);
        rest = behind;
    }
    hashes
}

/// The root over complete subtrees, the largest first.
fn joined(subtrees: Vec<Hash>) -> Hash {
    let joined = subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or_else(Hash::of_empty_tree)
}

#[cfg(test)]
mod tests {
    use super::{BadEdge, Edge};
    use crate::tile::{Tile, TileKind, decode_bundle, decode_tile};
    use crate::tree::{MemoryTree, root};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Grows a log in steps, as a keeper does, and reads the edge again between them.
    fn grow(steps: &[u64]) -> (Edge, MemoryTree, BTreeMap<String, Vec<u8>>) {
        let (mut edge, mut tree, mut files) = (Edge::default(), MemoryTree::default(), BTreeMap::new());
        for step in steps {
            for _ in 0..*step {
                let entry = edge.size().to_string().into_bytes();
                tree.push_entry(&entry);
                for (tile, bytes) in edge.push(entry).unwrap() {
                    assert!(tile.is_full());
                    files.insert(tile.to_string(), bytes);
                }
            }
            for (tile, bytes) in edge.partial() {
                assert!(!tile.is_full());
                files.insert(tile.to_string(), bytes);
            }
            let read = |tile: Tile| Ok::<_, BadEdge>(files[&tile.to_string()].clone());
            assert_eq!(Edge::load(edge.size(), read).unwrap().root(), edge.root());
        }
        (edge, tree, files)
    }

    #[test]
    fn every_tile_of_a_log_is_written_and_right() {
        let (edge, tree, files) = grow(&[0, 1, 254, 1, 1, 300, 65_000, 4_443]);
        let size = edge.size();
        assert_eq!((size, edge.root()), (70_000, root(&tree, 70_000).unwrap()));
        for kind in [TileKind::Hashes(0), TileKind::Hashes(1), TileKind::Hashes(2), TileKind::Entries] {
            for index in 0.. {
                let Some(tile) = Tile::of_tree(kind, index, size) else { break };
                let bytes = &files[&tile.to_string()];
                let first = usize::try_from(index * 256).unwrap();
                let range = first..first + usize::from(tile.width());
                match kind {
                    TileKind::Hashes(level) => {
                        let expected = &tree.level(level * 8)[range];
                        assert_eq!(decode_tile(bytes, tile.width()).unwrap(), expected, "{tile}");
                    }
                    TileKind::Entries => {
                        let entries = decode_bundle(bytes, tile.width()).unwrap();
                        assert_eq!(entries[0], first.to_string().as_bytes());
                    }
                }
            }
        }
    }

    #[test]
    fn a_broken_edge_is_refused() {
        let (_, _, files) = grow(&[300]);
        for (path, at) in [("tile/entries/001.p/44", 4), ("tile/0/001.p/44", 40)] {
            let read = |tile: Tile| {
                let mut bytes = files[&tile.to_string()].clone();
                if tile.to_string() == path {
                    bytes[at] ^= 1;
                }
                Ok::<_, BadEdge>(bytes)
            };
            assert!(matches!(Edge::load(300, read), Err(BadEdge::Entry { .. })), "{path}");
        }
        assert!(Edge::default().push(vec![0; 65_536]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_root_is_that_of_the_tree(steps in prop::collection::vec(0_u64..400, 1..6)) {
            let (edge, tree, _) = grow(&steps);
            prop_assert_eq!(edge.root(), root(&tree, edge.size()).unwrap());
        }
    }
}
