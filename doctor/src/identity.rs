//! A client's certificate and key in files: whether they can be read, are private, and belong together.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::chain::parse;
use crate::files::{Item, read};
use crate::finding::{Cause, Finding};

/// Longest file that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 22;

/// A file's bytes.
///
/// # Errors
/// Says why it cannot be read.
pub fn load(path: &Path) -> Result<Zeroizing<Vec<u8>>, Finding> {
    let refuse = |found: String| {
        let expected = format!("a file of at most {MAX_FILE} bytes that this user may read");
        Finding::new(Cause::FileMissing, path.display().to_string(), found, expected)
    };
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refuse("a longer file".to_owned()));
    }
    Ok(bytes)
}

/// Whether others than owner and group can reach a file with a key.
#[must_use]
pub fn too_open(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o027 != 0).then(|| {
        let found = format!("mode {mode:04o}");
        Finding::new(Cause::KeyTooOpen, path.display().to_string(), found, "mode 0600, or 0640 at most")
    })
}

/// Reads a chain and its key, and checks that they belong together.
///
/// # Errors
/// All that is wrong with them.
pub fn from_files(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Vec<Finding>> {
    let mut findings = Vec::new();
    let chain = match load(certificate) {
        Ok(bytes) => read(&bytes).into_iter().filter_map(Item::into_certificate).collect(),
        Err(finding) => {
            findings.push(finding);
            Vec::new()
        }
    };
    if chain.is_empty() && findings.is_empty() {
        let path = certificate.display().to_string();
        findings.push(Finding::new(Cause::CertificateUnreadable, path, "no certificate", "PEM or DER"));
    }
    findings.extend(too_open(key));
    let name = key.display().to_string();
    let signer = match load(key) {
        Ok(bytes) => signer(&name, &bytes),
        Err(Finding { subject, found, expected, .. }) => {
            Err(Finding::new(Cause::KeyUnreadable, subject, found, expected))
        }
    };
    match signer {
        Err(finding) => findings.push(finding),
        Ok(signer) => {
            findings.extend(chain.first().and_then(|leaf| mismatch(&name, leaf, signer.as_ref())));
            if findings.is_empty() {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                return Ok(Arc::new(CertifiedKey::new(chain, signer)));
            }
        }
    }
    Err(findings)
}

/// The one private key of a file.
fn signer(name: &str, bytes: &[u8]) -> Result<Arc<dyn SigningKey>, Finding> {
    let refuse = |found: &str| {
        Finding::new(Cause::KeyUnreadable, name, found, "an unencrypted private key in PEM or DER")
    };
    for item in read(bytes) {
        match item {
            Item::Key(key) => {
                return any_supported_type(&key).map_err(|_| refuse("a key that cannot be used"));
            }
            Item::EncryptedKey => return Err(refuse("an encrypted key")),
            _ => {}
        }
    }
    Err(refuse("no private key"))
}

/// Whether the certificate is for another key.
#[must_use]
pub fn mismatch(name: &str, leaf: &[u8], key: &dyn SigningKey) -> Option<Finding> {
    let leaf = parse(leaf)?;
    let public = key.public_key()?;
    (leaf.public_key().raw != public.as_ref()).then(|| {
        let found = format!("a key that is not the one in the certificate \"{}\"", leaf.subject());
        Finding::new(Cause::KeyMismatch, name, found, "the key that the certificate was issued for")
    })
}
