//! Revocation lists as Erlang looks them up: each in a file that is named by a hash of its issuer's name.
//!
//! The name is that of OpenSSL's `c_rehash`: four bytes of a SHA-1 over the name with its texts in small letters.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::prelude::{FromDer as _, X509Name};
use x509_parser::revocation_list::CertificateRevocationList;

use super::PeerError;

const BEGIN: &str = "-----BEGIN X509 CRL-----";
const END: &str = "-----END X509 CRL-----";

/// The lists of a PEM file, each with the name of its file.
///
/// # Errors
/// Where it holds something that is no list.
pub(super) fn lists(pem: &str, path: &str) -> Result<Vec<(String, String)>, PeerError> {
    let not_pem = || PeerError::NotPem { path: path.into(), what: "revocation lists" };
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = pem;
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let (body, after) = behind.split_once(END).ok_or_else(not_pem)?;
        let text = format!("{BEGIN}{body}{END}\n");
        let der = ca::pem::read_crl(text.as_bytes()).map_err(|_| not_pem())?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| not_pem())?;
        let hash = name_hash(list.issuer()).ok_or_else(not_pem)?;
        let same = found.iter().filter(|(name, _)| name.starts_with(&hash)).count();
        found.push((format!("{hash}.r{same}"), text));
        rest = after;
    }
    if found.is_empty() { Err(not_pem()) } else { Ok(found) }
}

/// `None` where a value of the name is no text.
fn name_hash(name: &X509Name<'_>) -> Option<String> {
    let mut canonical = Vec::new();
    for relative in name.iter() {
        let mut attributes = Vec::new();
        for attribute in relative.iter() {
            let value = attribute.as_str().ok()?.to_ascii_lowercase();
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let kind = tagged(0x06, attribute.attr_type().as_bytes())?;
            attributes.push(tagged(0x30, &[kind, tagged(0x0c, value.as_bytes())?].concat())?);
        }
        // DER: the members of a SET are sorted.
        attributes.sort();
        canonical.extend(tagged(0x31, &attributes.concat())?);
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let first: [u8; 4] = hash.as_ref().first_chunk().copied()?;
    Some(format!("{:08x}", u32::from_le_bytes(first)))
}

/// A value of DER that is shorter than 256 bytes.
fn tagged(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(content.len()).ok()?;
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    Some([head, content.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::lists;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// The name by the program whose form it is.
    fn by_openssl(pem: &str) -> String {
        let mut child = Command::new("openssl")
            .args(["crl", "-hash", "-noout"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl; to install it: apt-get install openssl");
        child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn files_are_named_as_openssl_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("server");
        let init = crate::startup::InitOptions {
            directory: directory.clone(),
            tenant: "MixedCase".into(),
            hosts: vec!["localhost".into()],
            broker_host: "localhost".into(),
            broker_port: 8883,
            pen: 99,
        };
        let _made = crate::startup::init(&init, &crate::clock::SystemClock).unwrap();
        let pem = std::fs::read_to_string(directory.join("crl.pem")).unwrap();
        let found = lists(&pem, "crl.pem").unwrap();
        assert!(!found.is_empty());
        for (name, text) in &found {
            assert_eq!(*name, format!("{}.r0", by_openssl(text)));
        }
        let twice = lists(&format!("{pem}{pem}"), "crl.pem").unwrap();
        assert_eq!(twice.len(), 2 * found.len());
        assert!(twice.iter().any(|(name, _)| name.ends_with(".r1")), "{twice:?}");
        for bad in [
            "",
            "text",
            "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            "-----BEGIN X509 CRL-----\n",
        ] {
            assert!(lists(bad, "crl.pem").is_err(), "{bad}");
        }
    }
}
