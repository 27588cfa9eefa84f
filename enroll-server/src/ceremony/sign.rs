//! On the machine of the root: makes a request into the certificate of an issuing CA.
//!
//! The request gives its key and nothing else. Names, rights and life are those of an issuing CA of the root's own
//! organisation: path length 0, ten years at most and never beyond the root.

use core::time::Duration;
use std::path::{Path, PathBuf};

use appraisal::csr;
use ca::hierarchy::{ISSUING_LIFETIME, issuing_ca_for};
use ca::key::Passphrase;
use ca::{CaCertificate, KeyError};
use shared::UnixTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer as _, X509Name};

use super::root::read_ca;
use super::{CeremonyError, MAX_FILE, RootFolder, read_file};
use crate::files;

/// What [`sign`] is told.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// The root's folder.
    pub root: PathBuf,
    /// The request, PEM or DER.
    pub request: PathBuf,
    /// Where the certificate goes; must not be there.
    pub out: PathBuf,
    /// How long the CA lives; [`ISSUING_LIFETIME`] at most.
    pub lifetime: Duration,
}

/// A certificate that the root signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The certificate.
    pub certificate: CaCertificate,
    /// The key that it is for, SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
}

/// Signs a request. A copy of the certificate stays with the root, so that it can be revoked.
///
/// # Errors
/// Says what the request lacks, or why the root does not sign.
pub fn sign(
    options: &SignOptions,
    passphrase: impl FnOnce(&Path) -> Result<Passphrase, KeyError>,
    now: UnixTime,
) -> Result<Signed, CeremonyError> {
    let root = RootFolder::open(&options.root)?;
    let request = Request::read(&options.request)?;
    let not_a_root = || {
        let what = "it names no organisation (O)";
        CeremonyError::NotARoot { path: options.root.clone(), what }
    };
    let organization = root.certificate().organization().ok_or_else(not_a_root)?;
    if request.organization != organization {
        let (path, found) = (options.request.clone(), request.organization);
        return Err(CeremonyError::Organization { path, found, expected: organization });
    }
    if options.out.try_exists().unwrap_or(true) {
        return Err(CeremonyError::Exists { path: options.out.clone() });
    }
    if let Some(path) = issued_for(&root, request.checked.point())? {
        return Err(CeremonyError::SignedAlready { path });
    }
    let issuer = root.issuer(|| passphrase(&root.key_file()))?;
    let lifetime = options.lifetime.min(ISSUING_LIFETIME);
    let certificate = issuing_ca_for(&organization, request.checked.point(), &issuer, lifetime, now)?;
    let pem = ca::pem::certificate(certificate.der());
    // The copy first: what leaves this machine is on record here.
    let copy = root.issued_file(&hex::encode(certificate.serial()));
    let folder = root.issued_folder();
    std::fs::create_dir_all(&folder).map_err(unwritable(&folder))?;
    files::create_whole(&copy, pem.as_bytes(), 0o644).map_err(unwritable(&copy))?;
    files::create_whole(&options.out, pem.as_bytes(), 0o644).map_err(unwritable(&options.out))?;
    Ok(Signed { certificate, key: request.checked.spki_der().to_vec() })
}

/// A request that proves its key.
struct Request {
    checked: csr::CheckedCsr,
    organization: String,
}

impl Request {
    fn read(path: &Path) -> Result<Self, CeremonyError> {
        let not_pem = || CeremonyError::NotPem { path: path.to_owned(), what: "certification request" };
        let der = ca::pem::read_request(&read_file(path, MAX_FILE)?).map_err(|_| not_pem())?;
        let checked =
            csr::check(&der).map_err(|source| CeremonyError::Request { path: path.to_owned(), source })?;
        let (_, request) = X509CertificationRequest::from_der(&der).map_err(|_| not_pem())?;
        let organization = organization_of(&request.certification_request_info.subject).unwrap_or_default();
        Ok(Self { checked, organization })
    }
}

fn organization_of(name: &X509Name<'_>) -> Option<String> {
    let mut found = name.iter_organization();
    match (found.next(), found.next()) {
        (Some(one), None) => one.as_str().ok().map(str::to_owned),
        _ => None,
    }
}

/// The certificate that the root has issued for this key before, if it has.
fn issued_for(root: &RootFolder, point: &[u8; 65]) -> Result<Option<PathBuf>, CeremonyError> {
    let folder = root.issued_folder();
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| CeremonyError::Unreadable { path: folder.clone(), source })?,
    };
    for entry in entries {
        let path = entry.map_err(|source| CeremonyError::Unreadable { path: folder.clone(), source })?.path();
        if path.extension().is_some_and(|extension| extension == "crt")
            && read_ca(&path)?.0.public_point() == point
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> CeremonyError {
    |source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => CeremonyError::Exists { path: path.to_owned() },
        _ => CeremonyError::Unwritable { path: path.to_owned(), source },
    }
}
