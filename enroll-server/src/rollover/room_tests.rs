//! A rollover that would leave boards behind is refused before anything is begun.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::{CaCertificate, FileKey};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use shared::limits::{MAX_ANSWER, MAX_TRUST_BUNDLE};

use super::crash_tests::{options, server};
use super::trust::open_signer;
use super::{NewCa, SignerOptions, StartError, StartOptions, start};
use crate::ceremony::first_list;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failpoint::Hook;
use crate::startup::{self, LoadError, open_admin};
use crate::store::SignedBundle;

/// A CA as another program makes it: with an extension of so many bytes.
struct Theirs {
    params: CertificateParams,
    key: KeyPair,
}

impl Theirs {
    fn new(name: &str, extension: usize) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let theirs = Self { params, key: KeyPair::generate().unwrap() };
        theirs.padded(extension)
    }

    /// The same CA, for another certificate.
    fn padded(mut self, extension: usize) -> Self {
        let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![7; extension]);
        self.params.custom_extensions = vec![padding];
        self
    }

    fn root(&self) -> Vec<u8> {
        self.params.self_signed(&self.key).unwrap().der().to_vec()
    }

    /// The root's first revocation list, in PEM.
    fn list(&self) -> String {
        let key = FileKey::from_pkcs8(&self.key.serialize_der()).unwrap();
        let issuer = ca::Issuer::new(CaCertificate::from_der(&self.root()).unwrap(), Box::new(key)).unwrap();
        ca::pem::crl(&first_list(&issuer, SystemClock.now()).unwrap())
    }

    fn by(&self, signer: &Issuer<'_, KeyPair>) -> Vec<u8> {
        self.params.signed_by(&self.key, signer).unwrap().der().to_vec()
    }

    fn signer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn written(folder: &Path, name: &str, der: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, ca::pem::certificate(der)).unwrap();
    path
}

/// The first trust bundle: the root of the server, and others beside it.
fn bundle_with(config: &Config, others: &[Vec<u8>]) -> Vec<u8> {
    let path = config.files.trust_bundle.with_file_name("trust-signer.key");
    let signer = open_signer(&path, None).unwrap();
    let root = startup::ca_certificate(&config.files.root_certificate).unwrap();
    let mut anchors = vec![root];
    anchors.extend(others.iter().map(|der| CaCertificate::from_der(der).unwrap()));
    let anchors: Vec<&CaCertificate> = anchors.iter().collect();
    signer.sign(1, SystemClock.now(), &anchors, signer.public_point()).unwrap()
}

async fn starts(config: &Config) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = startup::open(config, &clock, Hook::default()).await.map_err(|error| error.to_string())?;
    opened.issuance.store().close().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_bundle_with_which_an_answer_does_not_fit_a_board_is_refused_and_one_that_is_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    let foreign = |extension| -> Vec<Vec<u8>> {
        ["A", "B", "C"].iter().map(|name| Theirs::new(name, extension).root()).collect()
    };
    // Four roots as they come fit.
    std::fs::write(&config.files.trust_bundle, bundle_with(&config, &foreign(60))).unwrap();
    starts(&config).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    let long = bundle_with(&config, &foreign(780));
    assert!(long.len() <= MAX_TRUST_BUNDLE, "a legal one");
    std::fs::write(&config.files.trust_bundle, &long).unwrap();
    let told = starts(&config).await.unwrap_err();
    assert!(told.contains("an answer to a device could have 5") && told.contains("fewer roots"), "{told}");
    let (admin, now) = (open_admin(&config, Arc::new(SystemClock)).unwrap(), SystemClock.now());
    assert!(admin.store().trust_bundles().await.unwrap().is_empty(), "it was not given out");
    let told = start(&config, admin.store().as_ref(), &options(true), now).await.unwrap_err();
    assert!(matches!(told, StartError::Load(LoadError::LongAnswer(_))), "{told}");
    let out = vec![SignedBundle { number: 1, signed: long }];
    assert!(admin.store().add_trust_bundles(out, now).await.unwrap());
    admin.close().await.unwrap();
    starts(&config).await.unwrap();
}

#[tokio::test]
async fn a_rollover_is_refused_where_boards_could_not_hold_the_answers_or_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    std::fs::write(&config.files.trust_bundle, bundle_with(&config, &[Theirs::new("A", 700).root()]))
        .unwrap();
    let old = startup::ca_certificate(&config.files.root_certificate).unwrap();
    let old_key = FileKey::load(&config.files.root_certificate.with_file_name("root-ca.key")).unwrap();
    let old_key = KeyPair::try_from(old_key.pkcs8()).unwrap();
    let old = Issuer::from_ca_cert_der(&old.der().into(), old_key).unwrap();
    let admin = open_admin(&config, Arc::new(SystemClock)).unwrap();
    let begin = async |root: &Theirs, issuing: &Theirs, crosses: &[Vec<u8>]| {
        let key = folder.path().join("their.key");
        let _old = std::fs::remove_file(&key).is_ok();
        FileKey::from_pkcs8(&issuing.key.serialize_der()).unwrap().save(&key).unwrap();
        let issued = issuing.params.signed_by(&issuing.key, &root.signer()).unwrap();
        let root_list = folder.path().join("their-root.crl");
        std::fs::write(&root_list, root.list()).unwrap();
        let new = NewCa::Imported {
            root_list: Some(root_list),
            root: Some(written(folder.path(), "their-root.crt", &root.root())),
            issuing: written(folder.path(), "their-issuing.crt", issued.der()),
            key: format!("key_file = {key:?}\n"),
            crosses: crosses
                .iter()
                .enumerate()
                .map(|(place, der)| written(folder.path(), &format!("cross-{place}.crt"), der))
                .collect(),
        };
        let options = StartOptions { new, no_cross: crosses.is_empty(), signer: SignerOptions::default() };
        start(&config, admin.store().as_ref(), &options, SystemClock.now()).await
    };

    let (root, issuing) = (Theirs::new("Their root", 1_100), Theirs::new("Their issuing CA", 1_100));
    let told = begin(&root, &issuing, &[]).await.unwrap_err().to_string();
    assert!(told.contains(&format!("and a board holds {MAX_ANSWER}")), "{told}");

    // Two cross-certificates are a number that a chain has room for.
    let (root, issuing) = (Theirs::new("Their root", 0), Theirs::new("Their issuing CA", 0));
    let (root, issuing) = (root.padded(1_090), issuing.padded(1_090));
    let crosses = [root.by(&old), issuing.by(&old)];
    let (root, issuing) = (root.padded(0), issuing.padded(0));
    let told = begin(&root, &issuing, &crosses).await.unwrap_err();
    assert!(matches!(told, StartError::Flight(_)), "{told}");
    assert!(admin.store().rollovers().await.unwrap().is_empty());
    assert_eq!(admin.store().trust_bundles().await.unwrap().len(), 1, "only what the file held is out");
    begin(&root, &issuing, &crosses[..1]).await.unwrap();
    admin.close().await.unwrap();
}
