//! The structures of a TPM 2.0 that go over the wire of this protocol (TPM 2.0 Library, part 2): public areas,
//! attestations, signatures. Bytes in, views out; nothing is hashed or verified here.
//!
//! Strict: what a device of this protocol does not need is refused by name, nothing may follow a structure, and
//! every length is checked before it is used. Only what the protocol needs is read: P-256 and RSA keys with
//! SHA-256 names, ECDSA signatures, certifications and quotes.

mod attest;
pub mod attribute;
pub mod event_log;
mod pcr;
mod public;
mod reader;
mod signature;

pub use attest::{Attest, Attested, MAGIC};
pub use pcr::{Bank, MAX_PCRS, PcrSet};
pub use public::{Key, PublicArea, Symmetric};
pub use reader::Reader;
pub use signature::ecdsa_signature;

/// Why bytes are not the structure that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tpm2Error {
    /// They end too early.
    #[error("the {structure} ends early, in its {field}")]
    Truncated {
        /// The structure.
        structure: &'static str,
        /// The field that is not all there.
        field: &'static str,
    },
    /// Something follows.
    #[error("{left} bytes follow the {structure}")]
    Trailing {
        /// The structure.
        structure: &'static str,
        /// Bytes that follow.
        left: usize,
    },
    /// A field holds something that this protocol does not take.
    #[error("the {structure} has {found:#x} as its {field}, which is not supported here")]
    Unsupported {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// What it holds.
        found: u32,
    },
}

/// Algorithm identifiers (TPM 2.0 Library, part 2, section 6.3).
pub mod algorithm {
    /// RSA.
    pub const RSA: u16 = 0x0001;
    /// AES.
    pub const AES: u16 = 0x0006;
    /// SHA-1: never trusted; it occurs in event logs.
    pub const SHA1: u16 = 0x0004;
    /// SHA-256.
    pub const SHA256: u16 = 0x000b;
    /// SHA-384.
    pub const SHA384: u16 = 0x000c;
    /// SHA-512.
    pub const SHA512: u16 = 0x000d;
    /// Nothing.
    pub const NULL: u16 = 0x0010;
    /// SM3-256: never trusted; it occurs in event logs.
    pub const SM3_256: u16 = 0x0012;
    /// ECDSA.
    pub const ECDSA: u16 = 0x0018;
    /// Elliptic curves.
    pub const ECC: u16 = 0x0023;
    /// Cipher feedback.
    pub const CFB: u16 = 0x0043;
    /// The curve P-256 (part 2, section 6.4, TPM_ECC_NIST_P256).
    pub const NIST_P256: u16 = 0x0003;
}

/// Length of the name of an object whose name algorithm is SHA-256: the algorithm, then the digest of the public
/// area (TPM 2.0 Library, part 1, section 16).
pub const NAME: usize = 2 + 32;
/// Longest public area: an RSA-4096 key with a policy.
pub const MAX_PUBLIC: usize = 640;
/// Longest attestation structure.
pub const MAX_ATTEST: usize = 512;
/// Longest ECDSA signature structure on P-256.
pub const MAX_SIGNATURE: usize = 80;
/// Most bytes of RSA moduli.
pub const MAX_MODULUS: usize = 512;
/// Longest qualifying data in an attestation.
pub const MAX_EXTRA_DATA: usize = 64;
