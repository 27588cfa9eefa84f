//! The check of a certificate against what was to be signed, before anyone sees it.
//!
//! It is byte for byte where DER allows only one form. It guards against defects of the signing library, such
//! as a default serial number, and against a remote key that signs something else.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use shared::limits;
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use crate::certificate::time;
use crate::profile::Validity;
use crate::template::{ECDSA_WITH_SHA256, Template, spki};
use crate::to_be_signed::is_assembled;

/// Where a signed certificate or revocation list differs from what was to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is not what it should be at all, in DER.
    #[error("it cannot be read")]
    Malformed,
    /// Longer than devices can hold.
    #[error("{found} bytes are more than the {most} that a device can hold")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// The cap.
        most: usize,
    },
    /// Not version 3, or for a revocation list not version 2.
    #[error("the version differs")]
    Version,
    /// Another algorithm than ecdsa-with-SHA256.
    #[error("the signature algorithm differs")]
    Algorithm,
    /// Another serial number.
    #[error("the serial number differs")]
    Serial,
    /// Another issuer.
    #[error("the issuer differs")]
    Issuer,
    /// Other dates.
    #[error("the dates differ")]
    Validity,
    /// Another subject.
    #[error("the subject differs")]
    Subject,
    /// Another key.
    #[error("the key differs")]
    Key,
    /// An extension is missing, too many, or differs.
    #[error("the extensions differ")]
    Extensions,
    /// Another number, or other entries.
    #[error("the revoked certificates or the number differ")]
    Entries,
    /// The signature does not verify under the CA's key.
    #[error("the signature does not verify under the CA's key")]
    Signature,
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signer<'a> {
    pub(crate) subject: &'a [u8],
    /// Absent where a certificate signs itself.
    pub(crate) key_id: Option<&'a [u8]>,
}

/// Checks a certificate whose signed part was compared with its template before.
pub(crate) fn check_signed(
    der: &[u8],
    tbs: &[u8],
    signature: &[u8],
    point: &[u8; 65],
) -> Result<(), Mismatch> {
    let within = der.len() <= limits::MAX_CERTIFICATE;
    same(within, Mismatch::TooLong { found: der.len(), most: limits::MAX_CERTIFICATE })?;
    check_signature(der, tbs, signature, point)
}

/// Compares what is to be signed with its template.
pub(crate) fn check_tbs(tbs: &[u8], template: &Template, signer: Signer<'_>) -> Result<(), Mismatch> {
    let (rest, parsed) = TbsCertificate::from_der(tbs).map_err(|_| Mismatch::Malformed)?;
    same(rest.is_empty(), Mismatch::Malformed)?;
    check_parsed(&parsed, template, signer)
}

fn check_parsed(tbs: &TbsCertificate<'_>, template: &Template, signer: Signer<'_>) -> Result<(), Mismatch> {
    let validity = Validity {
        not_before: time(tbs.validity.not_before.timestamp()),
        not_after: time(tbs.validity.not_after.timestamp()),
    };
    same(tbs.version == X509Version::V3, Mismatch::Version)?;
    check_algorithm(&tbs.signature)?;
    same(tbs.raw_serial() == template.serial.to_der_value(), Mismatch::Serial)?;
    same(tbs.issuer.as_raw() == signer.subject, Mismatch::Issuer)?;
    same(validity == template.validity, Mismatch::Validity)?;
    same(tbs.subject.as_raw() == template.subject_der(), Mismatch::Subject)?;
    same(tbs.subject_pki.raw == spki(&template.point), Mismatch::Key)?;
    same(tbs.issuer_uid.is_none() && tbs.subject_uid.is_none(), Mismatch::Extensions)?;
    let wanted = template.extensions(signer.key_id);
    let found = tbs.extensions();
    let has = |oid: &[u8], critical, value: &[u8]| {
        found.iter().any(|e| e.oid.as_bytes() == oid && e.critical == critical && e.value == value)
    };
    let all = wanted.iter().all(|e| has(&e.oid, e.critical, &e.value));
    same(all && found.len() == wanted.len(), Mismatch::Extensions)
}

/// RFC 5758, section 3.2: the parameters are absent.
pub(crate) fn check_algorithm(found: &AlgorithmIdentifier<'_>) -> Result<(), Mismatch> {
    let right = found.algorithm.as_bytes() == ECDSA_WITH_SHA256 && found.parameters.is_none();
    same(right, Mismatch::Algorithm)
}

/// Checks the signature over `signed`, and that `der` is made of these two and the algorithm, byte for byte: the
/// parser takes other tags as well.
pub(crate) fn check_signature(
    der: &[u8],
    signed: &[u8],
    signature: &[u8],
    point: &[u8; 65],
) -> Result<(), Mismatch> {
    same(is_assembled(der, signed, signature), Mismatch::Malformed)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(signed, signature).map_err(|_| Mismatch::Signature)
}

pub(crate) const fn same(same: bool, otherwise: Mismatch) -> Result<(), Mismatch> {
    if same { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::{Mismatch, Signer, check_signed, check_tbs, same};
    use crate::distribution::DistributionPoint;
    use crate::issuer::{Issuer, Subject};
    use crate::key::{FileKey, IssuerKey as _};
    use crate::profile::{LdevidProfile, Validity};
    use crate::template::{Template, Usage};
    use crate::{Serial, hierarchy};
    use core::time::Duration;
    use rcgen::{
        CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
        PublicKeyData, SanType, SignatureAlgorithm, SigningKey,
    };
    use shared::{DeviceId, UnixTime};
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer as _;

    const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

    fn issuer() -> Issuer {
        let (certificate, key) = hierarchy::root_ca("acme", hierarchy::ROOT_LIFETIME, NOW).unwrap();
        Issuer::new(certificate, Box::new(key)).unwrap()
    }

    fn template(issuer: &Issuer) -> Template {
        let profile =
            LdevidProfile::new("acme", 32473).unwrap().with_crl_url("http://ca.example/crl").unwrap();
        let device = DeviceId::new("SN-0001").unwrap();
        Template {
            serial: Serial::random().unwrap(),
            validity: Validity::of_ldevid(NOW, Duration::from_secs(86_400), issuer.certificate()).unwrap(),
            subject: profile.unrecorded().subject(&device),
            point: *FileKey::generate().unwrap().public_point(),
            names: profile.unrecorded().names(&device).unwrap(),
            usage: Usage::Client,
            crl_url: profile.crl_url(DistributionPoint { issuer: 1, partition: 0 }),
            ocsp_url: None,
            extra: profile.unrecorded().extra(),
        }
    }

    /// The CA for the library, to sign what was not linted.
    struct Unlinted<'a>(&'a Issuer);

    impl PublicKeyData for Unlinted<'_> {
        fn der_bytes(&self) -> &[u8] {
            self.0.certificate().public_point()
        }

        fn algorithm(&self) -> &'static SignatureAlgorithm {
            &PKCS_ECDSA_P256_SHA256
        }
    }

    impl SigningKey for Unlinted<'_> {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
        }
    }

    fn by(issuer: &Issuer) -> rcgen::Issuer<'static, Unlinted<'_>> {
        let ca = issuer.certificate().to_pki();
        rcgen::Issuer::from_ca_cert_der(&ca, Unlinted(issuer)).unwrap()
    }

    /// Signs the template with a bug planted in the parameters, and checks the result.
    fn planted(bug: impl FnOnce(&mut CertificateParams)) -> Result<(), Mismatch> {
        let issuer = issuer();
        let template = template(&issuer);
        let mut params = template.params(false).unwrap();
        bug(&mut params);
        let signed = params.signed_by(&Subject(&template.point), &by(&issuer)).unwrap();
        check(signed.der(), &template, &issuer)
    }

    /// Takes a certificate apart, and checks both parts.
    fn check(der: &[u8], template: &Template, issuer: &Issuer) -> Result<(), Mismatch> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Mismatch::Malformed)?;
        same(rest.is_empty(), Mismatch::Malformed)?;
        let (ca, tbs) = (issuer.certificate(), certificate.tbs_certificate.as_ref());
        let signer = Signer { subject: ca.subject_der(), key_id: Some(ca.key_id()) };
        check_tbs(tbs, template, signer)?;
        check_signed(der, tbs, &certificate.signature_value.data, ca.public_point())
    }

    #[test]
    fn without_a_bug_nothing_differs() {
        assert_eq!(planted(|_| ()), Ok(()));
    }

    /// The plant that counts: without a serial number of ours, rcgen takes a hash of the public key.
    #[test]
    fn the_librarys_default_serial_is_found() {
        assert_eq!(planted(|params| params.serial_number = None), Err(Mismatch::Serial));
    }

    #[test]
    fn every_other_planted_bug_is_found() {
        use Mismatch::{Extensions, Subject, Validity};
        assert_eq!(planted(|p| p.not_after += time::Duration::SECOND), Err(Validity));
        assert_eq!(planted(|p| p.not_before -= time::Duration::SECOND), Err(Validity));
        assert_eq!(planted(|p| p.distinguished_name.push(rcgen::DnType::CommonName, "x")), Err(Subject));
        assert_eq!(planted(|p| p.distinguished_name.push(rcgen::DnType::LocalityName, "x")), Err(Subject));
        assert_eq!(planted(|p| p.is_ca = IsCa::NoCa), Err(Extensions));
        assert_eq!(planted(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)), Err(Extensions));
        assert_eq!(planted(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), Err(Extensions));
        assert_eq!(planted(|p| p.key_usages.clear()), Err(Extensions));
        assert_eq!(planted(|p| p.extended_key_usages.clear()), Err(Extensions));
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        assert_eq!(planted(|p| p.extended_key_usages.push(server)), Err(Extensions));
        let name = SanType::DnsName("broker.example".try_into().unwrap());
        assert_eq!(planted(|p| p.subject_alt_names.push(name)), Err(Extensions));
        assert_eq!(planted(|p| p.crl_distribution_points.clear()), Err(Extensions));
        assert_eq!(planted(|p| p.use_authority_key_identifier_extension = false), Err(Extensions));
        let method = rcgen::KeyIdMethod::PreSpecified(vec![1; 20]);
        assert_eq!(planted(|p| p.key_identifier_method = method), Err(Extensions));
    }

    #[test]
    fn another_ca_or_another_key_is_found() {
        let (issuer, other) = (issuer(), issuer());
        let template = template(&issuer);
        let params = template.params(false).unwrap();
        let sign =
            |issuer: &Issuer, point| params.signed_by(&Subject(point), &by(issuer)).unwrap().der().to_vec();
        let good = sign(&issuer, &template.point);
        assert_eq!(check(&good, &template, &issuer), Ok(()));
        assert_eq!(check(&sign(&other, &template.point), &template, &issuer), Err(Mismatch::Issuer));
        let key = *FileKey::generate().unwrap().public_point();
        assert_eq!(check(&sign(&issuer, &key), &template, &issuer), Err(Mismatch::Key));
        // No byte can change without being found.
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(check(&changed, &template, &issuer).is_err(), "byte {at}");
        }
    }
}
