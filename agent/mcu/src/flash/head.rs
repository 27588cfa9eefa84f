//! The head item of a record: whether there is one, and where its content is.

use zeroize::Zeroizing;

/// Longest content that stands in the head itself: the state and the keys.
pub(super) const INLINE: usize = 256;
/// Kind, generation, length.
pub(super) const HEADER: usize = 4;
/// Longest head item.
pub(super) const LONGEST: usize = HEADER + INLINE;

const ABSENT: u8 = 0;
const SHORT: u8 = 1;
const LONG: u8 = 2;

/// A head. The generation says which of two sets of chunk keys is or was last in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one operation; there is no allocator")]
pub(super) enum Head {
    /// There is no record.
    Absent { generation: bool },
    /// The content stands here. It may be a key.
    Short { generation: bool, length: u16, content: Zeroizing<[u8; INLINE]> },
    /// The content stands in chunks.
    Long { generation: bool, length: u16 },
}

impl Head {
    /// What a blank flash says.
    pub(super) const ABSENT: Self = Self::Absent { generation: false };

    /// A head with `content`, if it is short enough.
    pub(super) fn short(generation: bool, content: &[u8]) -> Option<Self> {
        let mut inline = Zeroizing::new([0; INLINE]);
        inline.get_mut(..content.len())?.copy_from_slice(content);
        Some(Self::Short { generation, length: u16::try_from(content.len()).ok()?, content: inline })
    }

    pub(super) const fn generation(&self) -> bool {
        match self {
            Self::Absent { generation } | Self::Short { generation, .. } | Self::Long { generation, .. } => {
                *generation
            }
        }
    }

    /// Reads an item. One that makes no sense is no record: the map's checksum has let it pass, so it was written
    /// by something else.
    pub(super) fn decode(item: &[u8]) -> Self {
        let Some((&[kind, generation, low, high], content)) = item.split_first_chunk() else {
            return Self::ABSENT;
        };
        let generation = generation == 1;
        let length = u16::from_le_bytes([low, high]);
        match kind {
            SHORT if content.len() == usize::from(length) => {
                Self::short(generation, content).unwrap_or(Self::ABSENT)
            }
            LONG => Self::Long { generation, length },
            _ => Self::Absent { generation },
        }
    }

    /// Writes the item; returns its length.
    pub(super) fn encode(&self, out: &mut [u8; LONGEST]) -> usize {
        let (kind, length, content) = match self {
            Self::Absent { .. } => (ABSENT, 0, &[][..]),
            Self::Short { length, content, .. } => {
                (SHORT, *length, content.get(..usize::from(*length)).unwrap_or_default())
            }
            Self::Long { length, .. } => (LONG, *length, &[][..]),
        };
        let [low, high] = length.to_le_bytes();
        let header = [kind, u8::from(self.generation()), low, high];
        for (place, byte) in out.iter_mut().zip(header.iter().chain(content)) {
            *place = *byte;
        }
        HEADER + content.len()
    }
}
