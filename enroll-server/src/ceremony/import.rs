//! On the server: puts the certificate that the root signed into its place, and makes what hangs on it.

use std::path::{Path, PathBuf};

use ca::hierarchy::{SERVER_LIFETIME, server_certificate};
use ca::{CaCertificate, FileKey, Issuer, RootList, vouched};
use rustls::pki_types::ServerName;
use shared::UnixTime;
use shared::cose::{Content, Sign1};
use shared::limits::MAX_TRUST_BUNDLE;
use shared::message::latest::TrustBundle;

use super::root::{read_certificate, read_root};
use super::{CeremonyError, MAX_FILE, read_file, read_list};
use crate::config::Config;
use crate::files;
use crate::startup::open_issuing_key;

/// What [`import`] is told.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The certificate, PEM or DER.
    pub certificate: PathBuf,
    /// The root's revocation list, to be served from now on; where it is not given, the one that is held stays.
    pub root_list: Option<PathBuf>,
    /// Names of the server, for its own certificate where it has none yet.
    pub hosts: Vec<String>,
}

/// What [`import`] did.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The issuing CA's certificate.
    pub certificate: CaCertificate,
    /// Whether it was there already, the same to the byte.
    pub was_there: bool,
    /// The certificate of the HTTPS listener, where it was made.
    pub server_certificate: Option<PathBuf>,
}

/// Takes the issuing CA's certificate: checks that it is for the key that is here, by the root that devices trust, and
/// has the rights of an issuing CA and no more; then puts it into place. The certificate comes last, as a whole: until
/// then there is no issuing CA, and the same command can be given again.
///
/// # Errors
/// Says what does not fit.
pub fn import(config: &Config, options: &ImportOptions, now: UnixTime) -> Result<Imported, CeremonyError> {
    let files = &config.files;
    check_hosts(&options.hosts)?;
    let root = read_root(&files.root_certificate)?;
    let der = read_certificate(&options.certificate)?;
    let was_there = files.issuing_certificate.exists();
    if was_there && read_certificate(&files.issuing_certificate)? != der {
        return Err(CeremonyError::Exists { path: files.issuing_certificate.clone() });
    }
    let unfit = |source| CeremonyError::Certificate { path: options.certificate.clone(), source };
    // Before the key is opened, which may take a passphrase: what is no CA's certificate needs no key.
    let claimed = CaCertificate::from_der(&der).map_err(|error| unfit(error.into()))?;
    let key = open_issuing_key(&config.issuing_key, &files.issuing_key, &claimed)?;
    let vouched = vouched(&der, key.public_point(), &root, &config.tenant, now).map_err(unfit)?;
    // A key behind a command says its public half by signing only.
    let proof = key.sign(b"enroll-server: trial of a key before its certificate is put into place")?;
    drop(proof);
    check_bundle(config, &root)?;
    let list = newest_list(&files.root_crl, options.root_list.as_deref(), &root)?;
    if list.as_ref().is_some_and(|held| held.list.revokes(&vouched.certificate().serial())) {
        return Err(CeremonyError::Revoked { path: options.certificate.clone() });
    }
    let issuer = Issuer::new(vouched.certificate().clone(), key)?;
    let server = place(config, options, &root, &issuer, list.as_ref(), now)?;
    if !was_there {
        files::create_whole(&files.issuing_certificate, ca::pem::certificate(&der).as_bytes(), 0o644)
            .map_err(unwritable(&files.issuing_certificate))?;
    }
    Ok(Imported { certificate: vouched.certificate().clone(), was_there, server_certificate: server })
}

/// Writes what hangs on the certificate.
fn place(
    config: &Config,
    options: &ImportOptions,
    root: &CaCertificate,
    issuer: &Issuer,
    list: Option<&HeldList>,
    now: UnixTime,
) -> Result<Option<PathBuf>, CeremonyError> {
    let files = &config.files;
    if let Some(HeldList { der, is_new: true, .. }) = list {
        let pem = ca::pem::crl(der);
        files::replace(&files.root_crl, pem.as_bytes(), 0o644).map_err(unwritable(&files.root_crl))?;
    }
    let pem = authorities_with(&files.authorities, issuer.certificate(), root)?;
    files::replace(&files.authorities, pem.as_bytes(), 0o644).map_err(unwritable(&files.authorities))?;
    // Only a server that was never complete: another certificate is for its operator to exchange.
    if files.server_certificate.exists() {
        return Ok(None);
    }
    let key = match FileKey::load(&files.server_key) {
        Ok(key) => key,
        Err(_) if !files.server_key.exists() => {
            let key = FileKey::generate()?;
            key.save(&files.server_key)?;
            key
        }
        Err(error) => return Err(error.into()),
    };
    let hosts: Vec<&str> = options.hosts.iter().map(String::as_str).collect();
    let server = server_certificate(&hosts, &key, issuer, SERVER_LIFETIME, now)?;
    let chain = ca::pem::chain([server.der(), issuer.certificate().der()]);
    files::create_whole(&files.server_certificate, chain.as_bytes(), 0o644)
        .map_err(unwritable(&files.server_certificate))?;
    Ok(Some(files.server_certificate.clone()))
}

/// What brokers read: the authorities that were, the new one in front, and the root.
fn authorities_with(path: &Path, ca: &CaCertificate, root: &CaCertificate) -> Result<String, CeremonyError> {
    let mut all = vec![ca.der().to_vec()];
    if path.exists() {
        let not_pem = |_| CeremonyError::NotPem { path: path.to_owned(), what: "certificate" };
        all.extend(ca::pem::read_certificates(&read_file(path, 16 * MAX_FILE)?).map_err(not_pem)?);
    }
    all.push(root.der().to_vec());
    let mut unique: Vec<&[u8]> = Vec::with_capacity(all.len());
    for der in &all {
        if !unique.contains(&der.as_slice()) {
            unique.push(der);
        }
    }
    Ok(ca::pem::chain(unique))
}

/// The list of a root that counts.
pub(crate) struct HeldList {
    pub(crate) list: RootList,
    /// The same in DER.
    pub(crate) der: Vec<u8>,
    /// Whether it is the one that was brought along.
    pub(crate) is_new: bool,
}

/// The list that was brought along, which must not be older than the one that is held at `place`, else that one.
pub(crate) fn newest_list(
    place: &Path,
    brought: Option<&Path>,
    root: &CaCertificate,
) -> Result<Option<HeldList>, CeremonyError> {
    let held = read_list(place, root)?;
    let Some(path) = brought else {
        return Ok(held.map(|(list, der)| HeldList { list, der, is_new: false }));
    };
    let missing = || CeremonyError::NotPem { path: path.to_owned(), what: "revocation list" };
    let (list, der) = read_list(path, root)?.ok_or_else(missing)?;
    match held {
        Some((held, _)) if held.number() > list.number() => {
            Err(CeremonyError::OldList { path: path.to_owned(), found: list.number(), held: held.number() })
        }
        Some((held, der)) if held.number() == list.number() => {
            Ok(Some(HeldList { list: held, der, is_new: false }))
        }
        _ => Ok(Some(HeldList { list, der, is_new: true })),
    }
}

/// Devices trust what stands in the bundle, and nothing that is issued below another root.
fn check_bundle(config: &Config, root: &CaCertificate) -> Result<(), CeremonyError> {
    let path = &config.files.trust_bundle;
    let bytes = read_file(path, MAX_TRUST_BUNDLE as u64)?;
    let holds = Sign1::decode(&bytes, Content::TrustBundle, MAX_TRUST_BUNDLE)
        .and_then(|sign1| TrustBundle::decode(sign1.unverified_payload()))
        .is_ok_and(|bundle| bundle.anchors.contains(&root.der()));
    let missing = || CeremonyError::BundleWithoutRoot {
        bundle: path.clone(),
        root: config.files.root_certificate.clone(),
    };
    if holds { Ok(()) } else { Err(missing()) }
}

fn check_hosts(hosts: &[String]) -> Result<(), CeremonyError> {
    match hosts.iter().find(|host| ServerName::try_from(host.as_str()).is_err()) {
        Some(found) => Err(CeremonyError::Host { found: found.clone() }),
        None => Ok(()),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> CeremonyError {
    |source| CeremonyError::Unwritable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{ImportOptions, import};
    use crate::clock::{Clock as _, SystemClock};
    use crate::issuance::tests::new_server;

    #[test]
    fn the_cas_for_brokers_are_written_where_the_settings_have_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = new_server(folder.path(), "");
        let beside = config.files.authorities.clone();
        std::fs::remove_file(&beside).unwrap();
        config.files.authorities = folder.path().join("for-brokers.pem");
        let certificate = config.files.issuing_certificate.clone();
        let options = ImportOptions { certificate, root_list: None, hosts: vec![] };
        assert!(import(&config, &options, SystemClock.now()).unwrap().was_there);
        let written = std::fs::read(&config.files.authorities).unwrap();
        assert_eq!(ca::pem::read_certificates(&written).unwrap().len(), 2);
        assert!(!beside.exists());
    }
}
