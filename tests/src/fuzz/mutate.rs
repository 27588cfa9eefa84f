//! Changes inputs the way a fuzzer without coverage would, by their bytes or by their structure: the same changes in
//! every run.

use super::structure;

/// Makes changed copies of an input.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// The changes follow from `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Xorshift stays at zero for ever.
        Self(seed | 1)
    }

    /// A copy of `input` with a few changes; a change may be a piece of `other`.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let changed = if self.below(2) == 0 { self.structure(input, other) } else { None };
        changed.unwrap_or_else(|| self.bytes(input, other))
    }

    /// A copy of `input` with one to three changes of its structure, if it has one that is known here.
    pub fn structure(&mut self, input: &[u8], other: &[u8]) -> Option<Vec<u8>> {
        structure::mutate(input, other, self)
    }

    /// A copy of `input` with one to four changes that look at no structure.
    pub(super) fn bytes(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            // Values at the edges of lengths and of CBOR and DER heads.
            4 if at < bytes.len() => {
                bytes[at] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0x81, 0x82, 0xff][self.below(9)]
            }
            5 if at < bytes.len() => {
                let end = at + self.below(bytes.len() - at).min(64);
                let copy = bytes[at..=end].to_vec();
                bytes.splice(at..at, copy);
            }
            6 if !other.is_empty() => {
                let from = self.below(other.len());
                let to = from + self.below(other.len() - from).min(128);
                bytes.splice(at..at, other[from..=to].iter().copied());
            }
            // A character in place of as many bytes.
            7 => {
                let character = ["\u{e9}", "\u{2014}", "\u{1f511}"][self.below(3)].as_bytes();
                if let Some(there) = bytes.get_mut(at..at + character.len()) {
                    there.copy_from_slice(character);
                }
            }
            _ if at < bytes.len() => bytes[at] = self.byte(),
            _ => {}
        }
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[3]
    }

    /// A number below `limit`; zero where there is none.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).expect("fits: it is below a usize")
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
