//! The certificate with which a maker signs releases: firmware manifests and lists of reference values.
//!
//! It leads to the maker's CA as devices' certificates do, so it has to say what it is for: else every device
//! could sign for its maker. What it signs is for the crate `reference-values` to read.

use shared::{UnixTime, limits};
use webpki::KeyUsage;

use crate::maker::{Endorsements, Maker};
use crate::path::{self, PathError, PathRules};
use crate::revocation;

/// A certificate that may sign releases of a known maker; made by [`signer`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSigner {
    maker: Maker,
    subject: String,
    spki: Vec<u8>,
}

impl ReleaseSigner {
    /// For whom it signs.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The subject, for people to read.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The SubjectPublicKeyInfo in DER; which keys may sign is not looked at here.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

/// Verifies a chain in DER, leaf first, trust anchor left out: the leaf has the extended key usage codeSigning
/// (RFC 5280, section 4.2.1.12), may sign, and is no CA.
///
/// # Errors
/// Says what is wrong with it.
pub fn signer(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<ReleaseSigner, ReleaseSignerError> {
    let rules = PathRules {
        algorithms: path::ECDSA,
        usage: KeyUsage::required(CODE_SIGNING),
        max_chain: limits::MAX_CHAIN,
        max_certificate: limits::MAX_CERTIFICATE,
    };
    let endorsed = path::verify(chain, makers, &rules, now)?;
    if let Some(found) = revocation::look_up(endorsed.links(), makers, now).revoked() {
        return Err(ReleaseSignerError::Revoked { found: found.into() });
    }
    let leaf = endorsed.leaf();
    let usage = leaf.key_usage().map_err(|_| PathError::Malformed)?;
    let signs = usage.is_none_or(|u| u.value.digital_signature() && !u.value.key_cert_sign());
    if leaf.is_ca() || !signs {
        return Err(ReleaseSignerError::KeyUsage);
    }
    Ok(ReleaseSigner {
        maker: endorsed.ca().maker().clone(),
        subject: leaf.subject().to_string(),
        spki: leaf.public_key().raw.to_vec(),
    })
}

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// Why a certificate may not sign releases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseSignerError {
    /// It does not lead to a known maker, or is not for signing code.
    #[error("its chain is not that of a maker's release signer (extended key usage codeSigning)")]
    Path(#[from] PathError),
    /// The maker took it back.
    #[error("its chain holds {found}")]
    Revoked {
        /// Which, and by which list.
        found: String,
    },
    /// It is a CA, or its key usage does not allow signatures.
    #[error("it is a CA's certificate, or its key usage lacks digitalSignature")]
    KeyUsage,
}
