//! Reads big-endian fields one after the other.

use super::Tpm2Error;

/// What is left of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    structure: &'static str,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as the structure of this name.
    #[must_use]
    pub const fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Self { structure, left: bytes }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// Where fewer are left, as for all below.
    pub fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], Tpm2Error> {
        let truncated = Tpm2Error::Truncated { structure: self.structure, field };
        let (taken, left) = self.left.split_at_checked(length).ok_or(truncated)?;
        self.left = left;
        Ok(taken)
    }

    /// The next bytes, as many as the array has.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Tpm2Error> {
        let truncated = Tpm2Error::Truncated { structure: self.structure, field };
        self.take(N, field)?.try_into().map_err(|_| truncated)
    }

    /// A number of 8 bits.
    ///
    /// # Errors
    /// Where nothing is left.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Tpm2Error> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// A number of 16 bits.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Tpm2Error> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Tpm2Error> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Tpm2Error> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A TPM2B: a length of 16 bits, then at most `limit` bytes.
    ///
    /// # Errors
    /// Where it is longer, or fewer are left.
    pub fn sized(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], Tpm2Error> {
        let length = self.u16(field)?;
        if usize::from(length) > limit {
            return Err(self.unsupported(field, length.into()));
        }
        #[cfg(feature = "plants")]
        if crate::plant::has(crate::plant::Plant::BelievedSize) {
            let (taken, left) = self.left.split_at(length.into());
            self.left = left;
            return Ok(taken);
        }
        self.take(length.into(), field)
    }

    /// A number of 16 bits that has to be `wanted`.
    ///
    /// # Errors
    /// Where it is another one.
    pub fn expect(&mut self, wanted: u16, field: &'static str) -> Result<(), Tpm2Error> {
        match self.u16(field)? {
            found if found == wanted => Ok(()),
            found => Err(self.unsupported(field, found.into())),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Where something is.
    pub const fn finish(self) -> Result<(), Tpm2Error> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(Tpm2Error::Trailing { structure: self.structure, left }),
        }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.left
    }

    /// The error for a field with this content.
    #[must_use]
    pub const fn unsupported(&self, field: &'static str, found: u32) -> Tpm2Error {
        Tpm2Error::Unsupported { structure: self.structure, field, found }
    }
}
