//! Keys outside and inside of the TPM.

use shared::tpm2::{MAX_PUBLIC, Reader, Tpm2Error};

use super::TpmError;

/// A key as it lies on the disk: encrypted by its TPM, useless to any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlob {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// The content of TPM2B_PRIVATE.
    pub private: Vec<u8>,
}

/// Longest private part that is taken.
const MAX_PRIVATE: usize = 512;

impl KeyBlob {
    /// As TPM2B_PUBLIC and TPM2B_PRIVATE.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&length(&self.public), self.public.as_slice(), &length(&self.private), self.private.as_slice()]
            .concat()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Tpm2Error> {
        let mut r = Reader::new("key", bytes);
        let public = r.sized(MAX_PUBLIC, "public area")?.to_vec();
        let private = r.sized(MAX_PRIVATE, "private part")?.to_vec();
        r.finish()?;
        Ok(Self { public, private })
    }

    /// The public half as an uncompressed point.
    ///
    /// # Errors
    /// Where it is no P-256 key.
    pub fn point(&self) -> Result<[u8; 65], TpmError> {
        let area = super::public(&self.public)?;
        let wrong = Tpm2Error::Unsupported { structure: "public area", field: "type", found: 0 };
        Ok(area.point().ok_or(wrong)?)
    }
}

/// An object that is loaded in the TPM.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its handle.
    pub handle: u32,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
}
