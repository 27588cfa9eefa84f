//! A CA of a test's own with what it issues, openssl's server, and the doctor that is asked about both.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde_json::Value as Json;
use tests::harness::{Finished, Process, binary, free_port, now, peer, run};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A folder with a CA of its own.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ca: Issuer<'static, KeyPair>,
}

/// How a certificate differs from a good one.
#[derive(Default)]
pub(crate) struct Odd {
    pub(crate) client: bool,
    pub(crate) without_usage: bool,
    /// Its key may not sign, by keyUsage.
    pub(crate) without_signature: bool,
    /// Days from now until it begins and ends.
    pub(crate) days: Option<(i64, i64)>,
    pub(crate) name: Option<&'static str>,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::with("Shop", (-1, 30))
    }

    pub(crate) fn with(name: &str, days: (i64, i64)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = authority(&format!("{name} Root"), name, days);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, ca: Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes NAME.pem and NAME.key.
    pub(crate) fn certify(&self, name: &str, odd: &Odd) -> (PathBuf, PathBuf) {
        self.certify_by(&self.ca, name, odd)
    }

    pub(crate) fn certify_by(&self, ca: &Issuer<'_, KeyPair>, name: &str, odd: &Odd) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![odd.name.unwrap_or("localhost").to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, odd.name.unwrap_or("localhost"));
        date(&mut params, odd.days.unwrap_or((-1, 20)));
        params.key_usages = vec![match odd.without_signature {
            true => KeyUsagePurpose::KeyEncipherment,
            false => KeyUsagePurpose::DigitalSignature,
        }];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = match (odd.without_usage, odd.client) {
            (true, _) => Vec::new(),
            (_, true) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            (_, false) => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, ca).unwrap().pem();
        (self.file(&format!("{name}.pem"), &pem), self.file(&format!("{name}.key"), &key.serialize_pem()))
    }

    /// A revocation list of this CA without an entry, in NAME.pem; `days` from now it begins and runs out.
    pub(crate) fn crl(&self, name: &str, days: (i64, i64)) -> PathBuf {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let list = CertificateRevocationListParams {
            this_update: epoch + since_epoch(days.0),
            next_update: epoch + since_epoch(days.1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.file(&format!("{name}.pem"), &list.signed_by(&self.ca).unwrap().pem().unwrap())
    }

    /// What the doctor says to a server that is judged by this CA.
    pub(crate) fn ask(&self, port: u16, more: &[&str]) -> Json {
        let ca = self.path("ca.pem");
        let target = format!("localhost:{port}");
        doctor(&[["--ca", text(&ca), &target].as_slice(), more].concat())
    }

    pub(crate) fn asks(&self, server: &(PathBuf, PathBuf), serving: &[&str], more: &[&str]) -> Json {
        let (_server, port) = serve(server, serving);
        self.ask(port, more)
    }
}

/// openssl's server; gives its port.
pub(crate) fn serve((certificate, key): &(PathBuf, PathBuf), more: &[&str]) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(peer("openssl", "openssl"));
    command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(certificate).arg("-key").arg(key).args(more);
    let process = Process::start(&mut command);
    process.wait_for_text("ACCEPT");
    (process, port)
}

pub(crate) fn authority(name: &str, organisation: &str, days: (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, days);
    params
}

fn date(params: &mut CertificateParams, (begin, end): (i64, i64)) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    (params.not_before, params.not_after) = (epoch + since_epoch(begin), epoch + since_epoch(end));
}

/// From 1970 to so many days from now.
fn since_epoch(days: i64) -> Duration {
    let seconds = i64::try_from(now().as_secs()).unwrap() + days * 86_400;
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn doctor(arguments: &[&str]) -> Json {
    json(&run(Command::new(binary("enroll-server")).args(["doctor", "--json"]).args(arguments)))
}

/// The diagnosis; the exit status has to agree with it.
pub(crate) fn json(finished: &Finished) -> Json {
    let diagnosis: Json =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let fine = diagnosis["verdict"] == "fine";
    assert_eq!(finished.status.code(), Some(i32::from(!fine)), "{finished:?}");
    diagnosis
}

#[track_caller]
pub(crate) fn says(diagnosis: &Json, cause: &str) {
    assert_eq!(diagnosis["verdict"], cause, "{diagnosis:#}");
}
