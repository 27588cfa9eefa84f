//! The COSE_Sign1 of a PSA token (RFC 9783, section 5.1.1; RFC 9052, section 4.2), taken apart and verified.
//!
//! What the token says is read elsewhere. COSE_Mac0 is refused: its keys would have to be shared with the server.

use minicbor::Decoder;
use minicbor::data::Type;
use shared::limits::{MAX_CHAIN, MAX_EVIDENCE};

use super::cbor::{self, CborError, Map};
use super::key::{Algorithm, AttestationKey};

/// A token as found, its signature not yet checked.
#[derive(Clone, Debug)]
pub(super) struct Token<'b> {
    algorithm: Algorithm,
    protected: &'b [u8],
    payload: &'b [u8],
    signature: &'b [u8],
    chain: Vec<&'b [u8]>,
}

/// Why bytes are no PSA token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// Too long.
    #[error("a token of {found} bytes; {MAX_EVIDENCE} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not the CBOR that RFC 9783 allows.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A COSE_Mac0.
    #[error("a token in COSE_Mac0 (tag 17); this server verifies signed tokens, COSE_Sign1 (tag 18), only")]
    Mac0,
    /// No COSE_Sign1.
    #[error("no COSE_Sign1 with tag 18")]
    NotSign1,
    /// A header that says something this verifier does not understand.
    #[error("a COSE header with {what}")]
    Header {
        /// What it has, or lacks.
        what: &'static str,
    },
    /// Another algorithm.
    #[error("the COSE algorithm {found}; ES256 (-7), ES384 (-35) or ES512 (-36) is wanted")]
    Algorithm {
        /// Its number.
        found: i64,
    },
    /// A claim is not there.
    #[error("no claim {claim}, which RFC 9783 demands")]
    Missing {
        /// Its name.
        claim: &'static str,
    },
    /// A claim has another form.
    #[error("the claim {claim} is not {wanted}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// Another profile.
    #[error(
        "the profile {found:?}; this server knows \"tag:psacertified.org,2023:psa#tfm\" and \"PSA_IOT_PROFILE_1\""
    )]
    Profile {
        /// The profile.
        found: String,
    },
}

impl<'b> Token<'b> {
    /// Takes a token apart.
    pub(super) fn parse(bytes: &'b [u8]) -> Result<Self, TokenError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(TokenError::TooLong { found: bytes.len() });
        }
        let mut whole = Decoder::new(bytes);
        cbor::item(&mut whole, 1)?;
        cbor::end(&whole)?;

        let not_sign1 = |_| TokenError::NotSign1;
        let mut d = Decoder::new(bytes);
        match d.tag().map_err(not_sign1)?.as_u64() {
            COSE_SIGN1 => {}
            COSE_MAC0 => return Err(TokenError::Mac0),
            _ => return Err(TokenError::NotSign1),
        }
        if d.array().map_err(not_sign1)? != Some(4) {
            return Err(TokenError::NotSign1);
        }
        let protected = d.bytes().map_err(not_sign1)?;
        let start = d.position();
        cbor::item(&mut d, 2)?;
        let unprotected = bytes.get(start..d.position()).ok_or(TokenError::NotSign1)?;
        let payload = d.bytes().map_err(not_sign1)?;
        let signature = d.bytes().map_err(not_sign1)?;

        let algorithm = algorithm(&Map::read(protected)?)?;
        let chain = chain(&Map::read(unprotected)?)?;
        Ok(Self { algorithm, protected, payload, signature, chain })
    }

    /// The algorithm that its header names.
    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The payload, to be believed only after [`signed_with`](Self::signed_with).
    pub(super) const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The certificates in its x5chain header (RFC 9360, section 2), leaf first; none where there is no such header.
    pub(super) fn unverified_chain(&self) -> &[&'b [u8]] {
        &self.chain
    }

    /// Whether it is signed with `key`, with the algorithm that belongs to the key.
    pub(super) fn signed_with(&self, key: &AttestationKey) -> bool {
        self.algorithm == key.algorithm() && key.signed(&self.signed_bytes(), self.signature)
    }

    /// The Sig_structure of RFC 9052, section 4.4, with empty external data, in the encoding of its section 9.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut signed = b"\x84\x6aSignature1".to_vec();
        bytes_head(&mut signed, self.protected.len());
        signed.extend_from_slice(self.protected);
        signed.push(0x40);
        bytes_head(&mut signed, self.payload.len());
        signed.extend_from_slice(self.payload);
        signed
    }
}

const COSE_SIGN1: u64 = 18;
const COSE_MAC0: u64 = 17;
/// COSE header parameters (RFC 9052, table 3; RFC 9360, table 1).
const ALG: i64 = 1;
const CRIT: i64 = 2;
const X5CHAIN: i64 = 33;

fn algorithm(protected: &Map<'_>) -> Result<Algorithm, TokenError> {
    // RFC 9052, section 3.1: what is critical has to be understood.
    if protected.get(CRIT).is_some() {
        return Err(TokenError::Header { what: "critical parameters that this server does not understand" });
    }
    let Some(mut value) = protected.get(ALG) else {
        return Err(TokenError::Header { what: "no algorithm in its protected part" });
    };
    let number = value.i64().map_err(|_| TokenError::Header { what: "an algorithm that is no number" })?;
    Algorithm::from_cose(number).ok_or(TokenError::Algorithm { found: number })
}

fn chain<'b>(unprotected: &Map<'b>) -> Result<Vec<&'b [u8]>, TokenError> {
    if unprotected.get(ALG).is_some() || unprotected.get(CRIT).is_some() {
        return Err(TokenError::Header {
            what: "an unprotected algorithm or unprotected critical parameters",
        });
    }
    let Some(mut d) = unprotected.get(X5CHAIN) else { return Ok(Vec::new()) };
    let broken =
        |_| TokenError::Header { what: "an x5chain that is neither a certificate nor a list of them" };
    if d.datatype().map_err(broken)? == Type::Bytes {
        return Ok(vec![d.bytes().map_err(broken)?]);
    }
    let length = d.array().map_err(broken)?.and_then(|length| usize::try_from(length).ok());
    match length {
        Some(length @ 1..=MAX_CHAIN) => (0..length).map(|_| d.bytes().map_err(broken)).collect(),
        _ => Err(TokenError::Header { what: "an x5chain of no certificate, or of more than 4" }),
    }
}

/// The head of a byte string in its shortest form.
fn bytes_head(to: &mut Vec<u8>, length: usize) {
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..24 => to.push(0x40 | low),
        24..0x100 => to.extend([0x58, low]),
        // A token has 2048 bytes at most.
        _ => to.extend([0x59, high, low]),
    }
}
