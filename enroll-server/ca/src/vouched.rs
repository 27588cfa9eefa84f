//! The certificate of an issuing CA as it comes back from the root: checked before it is put to use.
//!
//! Whoever signed it, this software or another, it has to be one that this CA can work under: below the root that
//! devices trust, for the key that is here, with no more rights and no longer life than an issuing CA has.

use shared::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use crate::certificate::{CaCertificate, CaCertificateError};
use crate::hierarchy::ISSUING_LIFETIME;
use crate::lint::LintError;
use crate::parse_back::{check_algorithm, check_signature};
use crate::profile::{BACKDATE, Validity};

/// A certificate that an issuing CA can work under; made by [`vouched`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched(CaCertificate);

impl Vouched {
    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.0
    }
}

/// Why a certificate is not taken for the issuing CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VouchedError {
    /// Not the certificate of a CA at all, such as a device's.
    #[error("it is not that of a CA")]
    NotACa(#[from] CaCertificateError),
    /// It is for another key.
    #[error("it is for another key than the issuing CA has here")]
    OtherKey,
    /// It is a root itself.
    #[error("it is that of a root, not of a CA below one")]
    Root,
    /// Another CA signed it.
    #[error(
        "the root of this server did not sign it: it names {found:?} as its issuer, the root is {root:?}"
    )]
    OtherRoot {
        /// The issuer that it names.
        found: String,
        /// The root's subject.
        root: String,
    },
    /// It names the root, and its signature is another one's.
    #[error("its signature does not verify under the root's key")]
    Signature,
    /// The root is over.
    #[error("the root cannot vouch for it")]
    RootNotValid(#[from] LintError),
    /// It is over, or not begun.
    #[error("it is valid from {} to {}; now it is {now}", life.not_before, life.not_after)]
    NotCurrent {
        /// Its life.
        life: Validity,
        /// The time.
        now: UnixTime,
    },
    /// It lives too long.
    #[error("it lives from {} to {}: longer than its root, or than {} days", life.not_before, life.not_after, ISSUING_LIFETIME.as_secs() / 86_400)]
    TooLong {
        /// Its life.
        life: Validity,
    },
    /// Its path length is not 0.
    #[error("its path length is {found:?}; an issuing CA has 0, so that no CA can be made below it")]
    PathLength {
        /// What it is.
        found: Option<u32>,
    },
    /// Another organisation.
    #[error("its organisation (O) is not {expected:?}, as the settings have it")]
    Organization {
        /// The tenant.
        expected: String,
    },
    /// A field or extension that does not belong there.
    #[error("{what}")]
    Form {
        /// What is wrong.
        what: &'static str,
    },
}

/// Checks that `der` is a certificate by `root` for an issuing CA of `organization` with the key `point`.
///
/// # Errors
/// Says what does not fit.
pub fn vouched(
    der: &[u8],
    point: &[u8; 65],
    root: &CaCertificate,
    organization: &str,
    now: UnixTime,
) -> Result<Vouched, VouchedError> {
    let ca = CaCertificate::from_der(der)?;
    if ca.public_point() != point {
        return Err(VouchedError::OtherKey);
    }
    if ca.is_self_issued() {
        return Err(VouchedError::Root);
    }
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CaCertificateError::Malformed)?;
    check_root(&certificate, der, root)?;
    check_life(ca.validity(), root, now)?;
    if ca.path_length() != Some(0) {
        return Err(VouchedError::PathLength { found: ca.path_length() });
    }
    if ca.organization().as_deref() != Some(organization) {
        return Err(VouchedError::Organization { expected: organization.into() });
    }
    check_form(&certificate, root)?;
    Ok(Vouched(ca))
}

fn check_root(
    certificate: &X509Certificate<'_>,
    der: &[u8],
    root: &CaCertificate,
) -> Result<(), VouchedError> {
    // RFC 5280, section 6.1.3 (a)(4): name chaining, byte for byte.
    if certificate.issuer().as_raw() != root.subject_der() {
        let found = certificate.issuer().to_string();
        return Err(VouchedError::OtherRoot { found, root: root.subject().into() });
    }
    check_algorithm(&certificate.tbs_certificate.signature)
        .map_err(|_| VouchedError::Form { what: "it is not signed with ecdsa-with-SHA256" })?;
    let (signed, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    check_signature(der, signed, signature, root.public_point()).map_err(|_| VouchedError::Signature)
}

fn check_life(life: Validity, root: &CaCertificate, now: UnixTime) -> Result<(), VouchedError> {
    root.check_valid_at(now)?;
    if now < life.not_before || now >= life.not_after {
        return Err(VouchedError::NotCurrent { life, now });
    }
    let within = root.validity().not_before <= life.not_before && life.not_after <= root.validity().not_after;
    if !within || life.not_after.since(life.not_before) > ISSUING_LIFETIME + BACKDATE {
        return Err(VouchedError::TooLong { life });
    }
    Ok(())
}

/// RFC 5280, section 4.2, for what devices and strict verifiers look at; what else is there has to be known and
/// harmless.
fn check_form(certificate: &X509Certificate<'_>, root: &CaCertificate) -> Result<(), VouchedError> {
    let wrong = |what| Err(VouchedError::Form { what });
    if certificate.version() != X509Version::V3 {
        return wrong("it is not an X.509 version 3 certificate");
    }
    let serial = certificate.raw_serial();
    if serial.len() > 20
        || serial.iter().all(|byte| *byte == 0)
        || serial.first().is_none_or(|byte| *byte >= 0x80)
    {
        return wrong("its serial number is not positive, or longer than 20 bytes");
    }
    let mut authority = false;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(_) if extension.critical => {}
            ParsedExtension::KeyUsage(usage) if extension.critical => {
                // Bits 5 and 6: keyCertSign and cRLSign.
                if usage.flags != 0b110_0000 {
                    return wrong("its key usage is more or less than keyCertSign and cRLSign");
                }
            }
            ParsedExtension::BasicConstraints(_) | ParsedExtension::KeyUsage(_) => {
                return wrong("its basic constraints or key usage are not critical");
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().is_some_and(|id| id.0 == root.key_id());
            }
            ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::AuthorityInfoAccess(_)
            | ParsedExtension::CertificatePolicies(_)
                if !extension.critical => {}
            _ => return wrong("it has an extension that an issuing CA's certificate does not have here"),
        }
    }
    if authority { Ok(()) } else { wrong("its authority key identifier is missing, or not that of the root") }
}

#[cfg(test)]
mod tests {
    use super::{VouchedError, vouched};
    use crate::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, issuing_ca, root_ca};
    use crate::issuer::Issuer;
    use core::time::Duration;
    use shared::UnixTime;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_is_taken_while_it_and_its_root_live() {
        let (root, key) = root_ca("Acme", ROOT_LIFETIME, NOW).unwrap();
        let root = Issuer::new(root, Box::new(key)).unwrap();
        let (issuing, _) = issuing_ca("Acme", &root, ISSUING_LIFETIME, NOW).unwrap();
        let check = |tenant: &str, at: UnixTime| {
            vouched(issuing.der(), issuing.public_point(), root.certificate(), tenant, at)
        };
        let taken = check("Acme", NOW).unwrap();
        assert_eq!(taken.certificate().der(), issuing.der());
        assert!(matches!(check("Other", NOW), Err(VouchedError::Organization { .. })));
        let late = check("Acme", NOW.after(ISSUING_LIFETIME + DAY));
        assert!(matches!(late, Err(VouchedError::NotCurrent { .. })), "{late:?}");
        let early = check("Acme", NOW.before(DAY * 30));
        assert!(matches!(early, Err(VouchedError::RootNotValid(_))), "{early:?}");
        let rootless = check("Acme", NOW.after(ROOT_LIFETIME + DAY));
        assert!(matches!(rootless, Err(VouchedError::RootNotValid(_))), "{rootless:?}");
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let (root, key) = root_ca("Acme", ROOT_LIFETIME, NOW).unwrap();
        let root = Issuer::new(root, Box::new(key)).unwrap();
        let (issuing, _) = issuing_ca("Acme", &root, ISSUING_LIFETIME, NOW).unwrap();
        for at in 0..issuing.der().len() {
            let mut der = issuing.der().to_vec();
            der[at] ^= 0x55;
            let found = vouched(&der, issuing.public_point(), root.certificate(), "Acme", NOW);
            assert!(found.is_err(), "byte {at} does not matter");
            let cut = vouched(&issuing.der()[..at], issuing.public_point(), root.certificate(), "Acme", NOW);
            assert!(cut.is_err());
        }
    }
}
