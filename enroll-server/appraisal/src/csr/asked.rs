//! What a CSR asks for besides a key: the names in its subject, and its challengePassword.
//!
//! None of it reaches a certificate. A protocol that has other means to know who asks can hold it against them, and
//! tell a client that it would not get what it asks for.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::prelude::FromDer as _;

use super::CsrError;
use crate::oid;

/// What a CSR asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The serialNumber attributes in the subject, as text.
    pub serial_numbers: Vec<String>,
    /// The common names in the subject, as text.
    pub common_names: Vec<String>,
    /// The challengePassword attributes (RFC 2985, section 5.4.1).
    pub challenge_passwords: Vec<String>,
}

impl Asked {
    /// The first name in the subject that is not `name`: of the serial numbers or, where there is none, of the common
    /// names. `None` where the subject names nobody, or nobody else.
    #[must_use]
    pub fn other_name(&self, name: &str) -> Option<&str> {
        let names = if self.serial_numbers.is_empty() { &self.common_names } else { &self.serial_numbers };
        names.iter().map(String::as_str).find(|found| *found != name)
    }
}

/// Reads what a CSR in DER asks for. [`check_with_evidence`](super::check_with_evidence) comes first.
///
/// # Errors
/// Where its subject or its attributes cannot be read.
pub fn asked(der: &[u8]) -> Result<Asked, CsrError> {
    let (_, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
    let info = &request.certification_request_info;
    let mut asked = Asked::default();
    for attribute in info.subject.iter_attributes() {
        let text = || attribute.as_str().map(str::to_owned).map_err(|_| CsrError::Malformed);
        if attribute.attr_type().as_bytes() == oid::SERIAL_NUMBER {
            asked.serial_numbers.push(text()?);
        } else if attribute.attr_type().as_bytes() == oid::COMMON_NAME {
            asked.common_names.push(text()?);
        }
    }
    for attribute in info.iter_attributes() {
        if attribute.oid.as_bytes() != oid::CHALLENGE_PASSWORD {
            continue;
        }
        match attribute.parsed_attribute() {
            ParsedCriAttribute::ChallengePassword(password) => {
                asked.challenge_passwords.push(password.0.clone());
            }
            _ => return Err(CsrError::Malformed),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::{Asked, asked};

    fn csr(names: &[(rcgen::DnType, &str)]) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_found_and_the_serial_number_counts_before_the_common_name() {
        let serial = || rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]);
        let nobody = asked(&csr(&[])).unwrap();
        assert_eq!(nobody, Asked::default());
        assert_eq!(nobody.other_name("SN-1"), None);
        let both = asked(&csr(&[(rcgen::DnType::CommonName, "Sensor"), (serial(), "SN-1")])).unwrap();
        assert_eq!(both.other_name("SN-1"), None);
        assert_eq!(both.other_name("SN-2"), Some("SN-1"));
        let common = asked(&csr(&[(rcgen::DnType::CommonName, "SN-1")])).unwrap();
        assert_eq!((common.other_name("SN-1"), common.other_name("SN-2")), (None, Some("SN-1")));
    }

    #[test]
    fn noise_is_refused() {
        assert!(asked(&[]).is_err());
        assert!(asked(&[0x30, 0]).is_err());
    }
}
