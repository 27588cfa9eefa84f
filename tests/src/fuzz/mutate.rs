//! Changes inputs the way a fuzzer without coverage would: the same changes in every run.

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

    /// A copy of `input` with one to four changes; a change may be a piece of `other`.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
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
            _ if at < bytes.len() => bytes[at] = self.byte(),
            _ => {}
        }
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[3]
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).expect("fits: it is below a usize")
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
