//! The body of simpleenroll and simplereenroll (RFC 7030, section 4.2.1): a CSR in DER, in base64.
//!
//! RFC 8951, section 3.1: whatever a Content-Transfer-Encoding header says, the body is base64 (RFC 4648, section 4);
//! line breaks and blanks in it are no part of it. Reads and bounds; who may ask is said elsewhere.

use appraisal::CheckedCsr;
use appraisal::csr::{Asked, CsrError, CsrEvidenceError, EvidenceInCsr, MAX_CSR_WITH_EVIDENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::Reject;

/// Longest body: the longest CSR in base64, with a CR and LF after every 32 symbols.
pub const MAX_BODY: usize = MAX_CSR_WITH_EVIDENCE.div_ceil(3) * 4 / 32 * 34 + 64;

/// What a body held: a CSR that proves possession of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs10 {
    /// The key.
    pub csr: CheckedCsr,
    /// The names and the challengePassword in it; none of it reaches a certificate.
    pub asked: Asked,
    /// The evidence in it, where there is some of a kind that this server knows.
    pub evidence: Option<EvidenceInCsr>,
}

/// Why a body cannot be used. Says what helps whoever writes a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing came.
    #[error("the body is empty; a PKCS#10 request in base64 is wanted")]
    Empty,
    /// Too long.
    #[error("the body has {found} bytes; {MAX_BODY} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// DER as it is.
    #[error(
        "the body is DER; it has to be base64 (RFC 8951, section 3.1): openssl req -outform DER | openssl base64"
    )]
    Binary,
    /// PEM.
    #[error("the body is PEM; leave out the lines that begin with '-----'")]
    Pem,
    /// Not base64.
    #[error("the body is not base64 (RFC 4648, section 4), from byte {at} on")]
    Base64 {
        /// Position in the body, from 0.
        at: usize,
    },
    /// No CSR, or none that is taken.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The evidence in the CSR cannot be read.
    #[error(transparent)]
    Evidence(#[from] CsrEvidenceError),
}

impl BodyError {
    /// What it counts as.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::TooLong { .. } => Reject::TooLarge,
            Self::Empty | Self::Binary | Self::Pem | Self::Base64 { .. } => Reject::MalformedMessage,
            Self::Csr(error) => error.reject(),
            Self::Evidence(_) => Reject::BadEvidence,
        }
    }
}

/// Reads a body.
///
/// # Errors
/// Says what is wrong with it.
pub fn read(body: &[u8]) -> Result<Pkcs10, BodyError> {
    let der = decode(body)?;
    // The signature first: it covers everything that is read after it.
    let csr = appraisal::csr::check_with_evidence(&der)?;
    let asked = appraisal::csr::asked(&der)?;
    let evidence = appraisal::csr::evidence(&der)?;
    Ok(Pkcs10 { csr, asked, evidence })
}

fn decode(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLong { found: body.len() });
    }
    match body.trim_ascii() {
        [] => return Err(BodyError::Empty),
        // A SEQUENCE of more than 127 bytes: no text begins so.
        [0x30, 0x81 | 0x82, ..] => return Err(BodyError::Binary),
        text if text.starts_with(b"-----") => return Err(BodyError::Pem),
        _ => {}
    }
    let symbols: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(&symbols).map_err(|error| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
        let symbol = match error {
            InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
            InvalidLength(_) | InvalidPadding => symbols.len().saturating_sub(1),
        };
        let mut places = body.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
        BodyError::Base64 { at: places.nth(symbol).map_or(body.len(), |(at, _)| at) }
    })
}

#[cfg(test)]
mod tests {
    use super::{BodyError, MAX_BODY, read};
    use appraisal::csr::{CsrError, MAX_CSR_WITH_EVIDENCE};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn csr() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
    }

    fn in_lines(der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(32).map(|line| core::str::from_utf8(line).unwrap()).collect();
        lines.join("\r\n") + "\r\n"
    }

    #[test]
    fn takes_base64_in_one_line_and_in_many() {
        let der = csr();
        let one = STANDARD.encode(&der);
        let wanted = read(one.as_bytes()).unwrap();
        assert_eq!(read(in_lines(&der).as_bytes()).unwrap(), wanted);
        let ragged: String = one.chars().flat_map(|symbol| [symbol, '\n', ' ', '\t']).collect();
        assert_eq!(read(ragged.as_bytes()).unwrap(), wanted);
        assert_eq!((wanted.evidence, wanted.asked.other_name("rcgen self signed cert")), (None, None));
    }

    #[test]
    fn says_what_is_wrong() {
        let der = csr();
        assert_eq!(read(b""), Err(BodyError::Empty));
        assert_eq!(read(b" \r\n"), Err(BodyError::Empty));
        assert_eq!(read(&der), Err(BodyError::Binary));
        assert_eq!(read(b"-----BEGIN CERTIFICATE REQUEST-----\n"), Err(BodyError::Pem));
        assert_eq!(read(b"AA\r\nA*"), Err(BodyError::Base64 { at: 5 }));
        assert_eq!(read(b"AAAAA"), Err(BodyError::Base64 { at: 4 }));
        assert_eq!(read(b"AAAA"), Err(CsrError::Malformed.into()));
        let cut = STANDARD.encode(&der[..der.len() - 3]);
        assert_eq!(read(cut.as_bytes()), Err(CsrError::Malformed.into()));
        assert_eq!(read(&vec![b'A'; MAX_BODY + 1]), Err(BodyError::TooLong { found: MAX_BODY + 1 }));
        // What is allowed as a CSR fits, in lines.
        assert!(in_lines(&[0; MAX_CSR_WITH_EVIDENCE]).len() <= MAX_BODY);
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
            prop_assert!(read(STANDARD.encode(&bytes).as_bytes()).is_err());
        }
    }
}
