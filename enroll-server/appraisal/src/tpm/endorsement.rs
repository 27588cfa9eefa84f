//! The certificate of an endorsement key, up to a TPM maker the server knows (TCG EK Credential Profile for TPM
//! Family 2.0, section 3).
//!
//! The certificate names a key and a make of TPM, not a device: which device has this TPM is for the inventory.

use aws_lc_rs::digest::{SHA256, digest};
use shared::{Reject, UnixTime, limits};
use webpki::KeyUsage;
use x509_parser::certificate::X509Certificate;

use crate::key::{SpkiHash, hex};
use crate::maker::{Endorsements, Maker};
use crate::path::{self, PathError, PathRules};
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::revocation::{self, Findings};

/// Most certificates in the chain of an endorsement key.
pub const MAX_EK_CHAIN: usize = limits::MAX_TPM_CHAIN;

/// An endorsement key that a known maker vouches for.
pub(super) struct EndorsedEk {
    pub(super) maker: Maker,
    /// SubjectPublicKeyInfo in DER.
    pub(super) spki: Vec<u8>,
    pub(super) spki_sha256: SpkiHash,
    /// What the lists of the maker say of its certificates.
    pub(super) revocation: Findings,
}

/// tcg-kp-EKCertificate, 2.23.133.8.1 (EK Credential Profile, section 3.2.16).
const EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

const RULES: PathRules<'static> = PathRules {
    algorithms: path::ECDSA_OR_RSA,
    // Of CAs on the way it is wanted only where they name usages at all; of the leaf always, below.
    usage: KeyUsage::required_if_present(EK_CERTIFICATE),
    max_chain: limits::MAX_TPM_CHAIN,
    max_certificate: limits::MAX_TPM_CERTIFICATE,
};

/// Why an endorsement key is not endorsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EkError {
    /// Its chain does not lead to a known maker.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The leaf may sign certificates.
    #[error("an EK certificate with the CA bit or key usage keyCertSign")]
    IsCa,
    /// The leaf's key usage allows no encryption to the key.
    #[error("an EK certificate whose key usage has neither keyEncipherment nor keyAgreement")]
    Usage,
    /// The leaf is no EK certificate.
    #[error("a certificate without the extended key usage of EK certificates, 2.23.133.8.1")]
    NoEkCertificate,
}

impl EkError {
    const fn reject(&self) -> Reject {
        match self {
            Self::Path(error) => error.reject(),
            Self::IsCa | Self::Usage | Self::NoEkCertificate => Reject::BadEndorsement,
        }
    }
}

pub(super) fn verify(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<EndorsedEk, Refusal> {
    let wanted = "an EK certificate that leads to a TPM maker this server knows";
    match endorsed(chain, makers, now) {
        Ok(endorsed) => {
            let found =
                format!("endorsement key {} by maker {:?}", hex(&endorsed.spki_sha256), endorsed.maker.name);
            trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
            Ok(endorsed)
        }
        Err(error) => {
            let source = core::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            Err(trail.refuse(rule::ENDORSEMENT, error.reject(), format!("{error}{source}"), wanted))
        }
    }
}

fn endorsed(chain: &[&[u8]], makers: &Endorsements, now: UnixTime) -> Result<EndorsedEk, EkError> {
    let endorsed = path::verify(chain, makers, &RULES, now)?;
    check_leaf(endorsed.leaf())?;
    let spki = endorsed.leaf().public_key().raw.to_vec();
    let mut spki_sha256 = [0; 32];
    spki_sha256.copy_from_slice(digest(&SHA256, &spki).as_ref());
    let revocation = revocation::look_up(endorsed.links(), makers, now);
    Ok(EndorsedEk { maker: endorsed.ca().maker().clone(), spki, spki_sha256, revocation })
}

fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), EkError> {
    let usage = leaf.key_usage().map_err(|_| PathError::Malformed)?.map(|usage| usage.value);
    if leaf.is_ca() || usage.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(EkError::IsCa);
    }
    // Section 3.2.14: keyEncipherment for RSA, keyAgreement for ECC.
    if usage.is_some_and(|usage| !usage.key_encipherment() && !usage.key_agreement()) {
        return Err(EkError::Usage);
    }
    // A maker's CA may sign other things than EKs; only the usage tells them apart.
    let usages = leaf.extended_key_usage().map_err(|_| PathError::Malformed)?.map(|usages| usages.value);
    let is_ek = usages.is_some_and(|usages| usages.other.iter().any(|oid| oid.as_bytes() == EK_CERTIFICATE));
    if is_ek { Ok(()) } else { Err(EkError::NoEkCertificate) }
}
