//! What a TPM says about itself, to be signed by an attestation key (TPM 2.0 Library, part 2, section 10.12.12,
//! TPMS_ATTEST).

use super::{MAX_ATTEST, MAX_EXTRA_DATA, NAME, PcrSet, Reader, Tpm2Error};

/// Stands in front of all that a TPM made itself, and of nothing that a restricted key signs for others (part 2,
/// section 6.2, TPM_GENERATED_VALUE).
pub const MAGIC: u32 = 0xff54_4347;

/// Tags of the two kinds that this protocol has (part 2, section 6.9).
const CERTIFY: u16 = 0x8017;
const QUOTE: u16 = 0x8018;

/// An attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attest<'a> {
    /// As it was read; what is signed.
    pub bytes: &'a [u8],
    /// What the caller put in: here the server's nonce.
    pub extra_data: &'a [u8],
    /// How often the TPM was reset.
    pub reset_count: u32,
    /// What it is about.
    pub attested: Attested<'a>,
}

/// What an attestation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attested<'a> {
    /// TPM2_Certify: an object with this name is loaded in the TPM.
    Certify {
        /// The object's name.
        name: &'a [u8],
    },
    /// TPM2_Quote: these registers have values with this digest.
    Quote {
        /// The registers.
        registers: PcrSet,
        /// Digest over their values, one after the other, by the hash of the signature.
        digest: [u8; 32],
    },
}

impl<'a> Attest<'a> {
    /// Reads a TPMS_ATTEST.
    ///
    /// # Errors
    /// Says what is wrong with it, or not supported.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Tpm2Error> {
        const STRUCTURE: &str = "attestation";
        let mut r = Reader::new(STRUCTURE, bytes);
        if bytes.len() > MAX_ATTEST {
            return Err(Tpm2Error::Trailing { structure: STRUCTURE, left: bytes.len() - MAX_ATTEST });
        }
        let magic = r.u32("magic")?;
        if magic != MAGIC {
            return Err(r.unsupported("magic", magic));
        }
        let kind = r.u16("type")?;
        let _signer = r.sized(66, "qualified signer")?;
        let extra_data = r.sized(MAX_EXTRA_DATA, "extra data")?;
        let _clock = r.u64("clock")?;
        let reset_count = r.u32("reset count")?;
        let _restarts = r.u32("restart count")?;
        let safe = r.u8("safe flag")?;
        if safe > 1 {
            return Err(r.unsupported("safe flag", safe.into()));
        }
        let _firmware = r.u64("firmware version")?;
        let attested = match kind {
            CERTIFY => {
                let name = r.sized(NAME, "name")?;
                let _qualified = r.sized(66, "qualified name")?;
                Attested::Certify { name }
            }
            QUOTE => {
                let registers = PcrSet::read(&mut r)?;
                let digest = r.sized(32, "digest of the registers")?;
                let digest: [u8; 32] = digest.try_into().map_err(|_| {
                    r.unsupported("digest of the registers", u32::try_from(digest.len()).unwrap_or(u32::MAX))
                })?;
                Attested::Quote { registers, digest }
            }
            other => return Err(r.unsupported("type", other.into())),
        };
        r.finish()?;
        Ok(Self { bytes, extra_data, reset_count, attested })
    }
}
