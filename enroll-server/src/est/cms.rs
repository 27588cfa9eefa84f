//! Certificates as EST sends them: a CMS SignedData without content and without signers (RFC 5652, section 5.1;
//! RFC 7030, section 4.1.3), which is called certs-only.

use cms::cert::CertificateChoices;
use cms::cert::x509::Certificate;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfos};
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Decode as _, Encode as _};

/// id-data (RFC 5652, section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// id-signedData (RFC 5652, section 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Puts certificates in DER into a certs-only message, in DER. Their order is that of a SET in DER, which says nothing;
/// one that is given twice is there once.
///
/// # Errors
/// Where one of them is no certificate in DER.
pub fn certs_only<'c>(certificates: impl IntoIterator<Item = &'c [u8]>) -> Result<Vec<u8>, der::Error> {
    let mut set = SetOfVec::new();
    for certificate in certificates {
        let choice = CertificateChoices::Certificate(Certificate::from_der(certificate)?);
        if !set.iter().any(|there| *there == choice) {
            set.insert(choice)?;
        }
    }
    let message = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::default(),
        encap_content_info: EncapsulatedContentInfo { econtent_type: DATA, econtent: None },
        certificates: Some(CertificateSet(set)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::default()),
    };
    ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&message)? }.to_der()
}

#[cfg(test)]
mod tests {
    use super::certs_only;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn certificate(name: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    /// What openssl reads out of a message, in PEM.
    fn openssl(message: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(["pkcs7", "-inform", "DER", "-print_certs"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl: apt-get install openssl");
        child.stdin.take().unwrap().write_all(message).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn openssl_reads_the_very_certificates() {
        let (one, two) = (certificate("one"), certificate("two"));
        let message = certs_only([one.as_slice(), &two, &one]).unwrap();
        let mut found = ca::pem::read_certificates(openssl(&message).as_bytes()).unwrap();
        let mut wanted = vec![one, two];
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(certs_only([b"noise".as_slice()]).is_err());
        let cut = certificate("cut");
        assert!(certs_only([&cut[..cut.len() - 1]]).is_err());
    }
}
