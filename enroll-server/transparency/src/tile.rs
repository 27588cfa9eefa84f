//! Tiles (C2SP tlog-tiles): their paths, and what is in them.

use core::fmt;
use core::str::FromStr;

use crate::hash::Hash;

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Longest entry, in bytes: its length is two bytes.
pub const MAX_ENTRY: usize = u16::MAX as usize;
/// Longest bundle, in bytes.
pub const MAX_BUNDLE: usize = TILE_WIDTH as usize * (2 + MAX_ENTRY);
/// Highest level that a tree with fewer than 2^64 leaves has, and that a path may name.
const MAX_LEVEL: u8 = 63;
/// Longest path, in bytes; a longer one is none.
const MAX_PATH: usize = 64;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of this level: each stands for 256^level leaves.
    Hashes(u8),
    /// The entries of 256 leaves.
    Entries,
}

/// The name of one tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// The text is no tile's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no path of a tile; expected tile/LEVEL/N or tile/entries/N, such as tile/0/x001/067.p/12")]
pub struct BadPath;

/// A tile of hashes is not as long as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes, found {found}")]
pub struct BadTile {
    /// The length by its name.
    pub expected: usize,
    /// The length it has.
    pub found: usize,
}

/// A bundle is not as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// It ends within an entry, or has fewer than there should be.
    #[error("it ends in the entry {entry} of {expected}")]
    Short {
        /// Where.
        entry: usize,
        /// How many there should be.
        expected: u16,
    },
    /// It goes on after its last entry.
    #[error("{extra} bytes follow the last of {expected} entries")]
    Long {
        /// How many bytes.
        extra: usize,
        /// How many entries there should be.
        expected: u16,
    },
    /// An entry to be written is too long.
    #[error("an entry has {found} bytes, {MAX_ENTRY} are the limit")]
    Entry {
        /// Its length.
        found: usize,
    },
}

impl Tile {
    /// The `index`-th tile of its kind in a tree of `size` leaves: full, partial, or none.
    #[must_use]
    pub fn of_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let hashes = match kind {
            TileKind::Entries => size,
            TileKind::Hashes(level) => size.checked_shr(u32::from(level) * 8).unwrap_or(0),
        };
        let begin = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.checked_sub(begin)?.min(u64::from(TILE_WIDTH));
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { kind, index, width })
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(self) -> TileKind {
        self.kind
    }

    /// Its place among those of its kind.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has: 1 to 256.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Whether it will never change.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same tile once it is full.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// Most bytes it can have.
    #[must_use]
    pub const fn max_length(self) -> usize {
        match self.kind {
            TileKind::Hashes(_) => self.width as usize * Hash::LENGTH,
            TileKind::Entries => self.width as usize * (2 + MAX_ENTRY),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut left = self.index / 1000;
        while left > 0 {
            groups.push(left % 1000);
            left /= 1000;
        }
        for (place, group) in groups.iter().enumerate().rev() {
            if place > 0 { write!(f, "x{group:03}/")? } else { write!(f, "{group:03}")? }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = BadPath;

    fn from_str(path: &str) -> Result<Self, BadPath> {
        let tile = read(path).ok_or(BadPath)?;
        // One spelling only: what is written again is the same.
        if tile.to_string() == path { Ok(tile) } else { Err(BadPath) }
    }
}

fn read(path: &str) -> Option<Tile> {
    if path.len() > MAX_PATH {
        return None;
    }
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(level.parse().ok().filter(|level| *level <= MAX_LEVEL)?),
    };
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => {
            (groups, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
        }
        None => (rest, TILE_WIDTH),
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let number: u64 = digits.parse().ok().filter(|_| digits.len() == 3)?;
        index = index.checked_mul(1000)?.checked_add(number)?;
    }
    Some(Tile { kind, index, width })
}

/// The contents of a tile of hashes.
#[must_use]
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile of `width` hashes.
///
/// # Errors
/// Where its length is another one.
pub fn decode_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash>, BadTile> {
    let expected = usize::from(width) * Hash::LENGTH;
    if bytes.len() != expected {
        return Err(BadTile { expected, found: bytes.len() });
    }
    let hash = |chunk: &[u8]| chunk.try_into().map(Hash).ok();
    Ok(bytes.chunks_exact(Hash::LENGTH).filter_map(hash).collect())
}

/// The contents of a bundle of entries.
///
/// # Errors
/// Where an entry is too long.
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, BadBundle> {
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| BadBundle::Entry { found: entry.len() })?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// Reads a bundle of `width` entries.
///
/// # Errors
/// Where it has more or fewer.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, BadBundle> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while entries.len() < usize::from(width) {
        let short = BadBundle::Short { entry: entries.len(), expected: width };
        let (length, behind) = rest.split_first_chunk::<2>().ok_or(short)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, behind) = behind.split_at_checked(length).ok_or(short)?;
        entries.push(entry);
        rest = behind;
    }
    if rest.is_empty() { Ok(entries) } else { Err(BadBundle::Long { extra: rest.len(), expected: width }) }
}

#[cfg(test)]
mod tests {
    use super::{BadBundle, Tile, TileKind, decode_bundle, decode_tile, encode_bundle, encode_tile};
    use crate::hash::leaf_hash;
    use proptest::prelude::*;

    fn path(kind: TileKind, index: u64, size: u64) -> String {
        Tile::of_tree(kind, index, size).unwrap().to_string()
    }

    /// The examples that the specification prints.
    #[test]
    fn paths_are_those_of_the_specification() {
        let size = (1_234_067 + 1) * 256;
        assert_eq!(path(TileKind::Hashes(0), 1_234_067, size), "tile/0/x001/x234/067");
        // "a tree of size 70,000".
        let of = |level, index| path(TileKind::Hashes(level), index, 70_000);
        assert_eq!(of(0, 272), "tile/0/272");
        assert_eq!(of(0, 273), "tile/0/273.p/112");
        assert_eq!(of(1, 0), "tile/1/000");
        assert_eq!(of(1, 1), "tile/1/001.p/17");
        assert_eq!(of(2, 0), "tile/2/000.p/1");
        assert_eq!(Tile::of_tree(TileKind::Hashes(3), 0, 70_000), None);
        assert_eq!(Tile::of_tree(TileKind::Hashes(0), 274, 70_000), None);
        // "a tree of size 256".
        assert_eq!(path(TileKind::Hashes(0), 0, 256), "tile/0/000");
        assert_eq!(path(TileKind::Hashes(1), 0, 256), "tile/1/000.p/1");
        assert_eq!(path(TileKind::Entries, 1, 300), "tile/entries/001.p/44");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "",
            "tile/0",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/000/000",
            "tile/0/x000/000",
            "tile/0/x001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001.p/+1",
            "tile/0/+01",
            "tile/0/001.p/1/",
            "tile/entries/../../log.key",
            "/tile/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            bad.parse::<Tile>().unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(size in 1_u64.., level in 0_u8..8, place in any::<prop::sample::Index>()) {
            let hashes = size >> (8 * u32::from(level));
            prop_assume!(hashes > 0);
            let tiles = usize::try_from(hashes.div_ceil(256)).unwrap();
            let tile = Tile::of_tree(TileKind::Hashes(level), place.index(tiles) as u64, size).unwrap();
            prop_assert_eq!(tile.to_string().parse::<Tile>(), Ok(tile));
        }

        #[test]
        fn any_text_is_a_path_or_refused(text in "(tile/)?(entries|[0-9]{0,3})(/x?[0-9]{0,4}){0,5}(\\.p/[0-9]*)?") {
            if let Ok(tile) = text.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), text);
            }
        }

        #[test]
        fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
            let bytes = encode_bundle(&entries).unwrap();
            let width = u16::try_from(entries.len()).unwrap();
            prop_assert_eq!(decode_bundle(&bytes, width).unwrap(), entries);
            prop_assert!(decode_bundle(&bytes, width + 1).is_err());
            prop_assert!(decode_bundle(&bytes, width - 1).is_err());
            prop_assert!(decode_bundle(&bytes[..bytes.len() - 1], width).is_err());
        }
    }

    #[test]
    fn lengths_are_held() {
        let hashes = [leaf_hash(b"a"), leaf_hash(b"b")];
        let bytes = encode_tile(&hashes);
        assert_eq!(decode_tile(&bytes, 2).unwrap(), hashes);
        decode_tile(&bytes, 1).unwrap_err();
        decode_tile(&bytes[..63], 2).unwrap_err();
        let long = vec![0; 65_536];
        assert_eq!(encode_bundle(&[long]), Err(BadBundle::Entry { found: 65_536 }));
    }
}
