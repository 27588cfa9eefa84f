//! Makes everything a new server needs: CAs, certificates, keys, settings, an empty database.

use std::fs;
use std::path::{Path, PathBuf};

use appraisal::policy::is_host;
use aws_lc_rs::digest::{SHA256, digest};
use ca::bundle::{BundleError, TrustSigner};
use ca::crl::{CrlError, Issue};
use ca::hierarchy::{self, HierarchyError, ISSUING_LIFETIME, ROOT_LIFETIME, SERVER_LIFETIME};
use ca::key::{Passphrase, TpmKey, TpmPlace, make_tpm_key};
use ca::{CaCertificate, FileKey, IssueError, Issuer, IssuerKey, KeyError};
use shared::UnixTime;
use zeroize::Zeroizing;

use crate::ceremony::{CeremonyError, ROOT_CERTIFICATE, ROOT_LIST, first_list, read_list, read_root};
use crate::clock::Clock;
use crate::config::{CRL_VALID, SAMPLE, is_tenant};
use crate::files;
use crate::new_folder::{FolderError, NewFolder, unwritable};
use crate::nonce;
use crate::random;
use crate::store::{SqlStore, SqliteOptions, StoreError};
use crate::transparency_log::{LogKey, LogKeyError};

/// What [`init`] is told.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Folder to make; must be empty or not there.
    pub directory: PathBuf,
    /// The tenant's name: letters and digits.
    pub tenant: String,
    /// Names and addresses under which devices reach the server; see [`default_hosts`].
    pub hosts: Vec<String>,
    /// Host of the MQTT broker.
    pub broker_host: String,
    /// Its port.
    pub broker_port: u16,
    /// Private enterprise number of the tenant.
    pub pen: u32,
}

/// What [`init`] made.
#[derive(Clone, Debug)]
pub struct InitReport {
    /// The configuration file, for [`Config::load`](crate::config::Config::load) and
    /// `enroll-server --config FILE serve`.
    pub config: PathBuf,
    /// The signed trust bundle to provision devices with.
    pub trust_bundle: PathBuf,
    /// Certificate of the root CA.
    pub root_certificate: PathBuf,
    /// The admin token.
    pub admin_token: PathBuf,
}

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The offline root cannot be used.
    #[error(transparent)]
    Root(#[from] CeremonyError),
    /// An option cannot be used.
    #[error("{option}: expected {expected}, found \"{found}\"")]
    Option {
        /// Which option.
        option: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A CA or certificate cannot be made.
    #[error("the certificates cannot be made")]
    Hierarchy(#[from] HierarchyError),
    /// A CA cannot be used.
    #[error("the CA cannot be used")]
    Issuer(#[from] IssueError),
    /// A key cannot be made or written.
    #[error("a key cannot be made")]
    Key(#[from] KeyError),
    /// The first revocation list cannot be made.
    #[error("the revocation list cannot be made")]
    Crl(#[from] CrlError),
    /// The trust bundle cannot be made.
    #[error("the trust bundle cannot be made")]
    Bundle(#[from] BundleError),
    /// The key of the log cannot be made.
    #[error("the key of the log cannot be made")]
    LogKey(#[from] LogKeyError),
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
    /// The database cannot be made.
    #[error("the database cannot be made")]
    Store(#[from] StoreError),
}

/// Makes a root CA, an issuing CA, the server's certificate, the signer of trust bundles and bundle number 1,
/// an empty revocation list, the nonce key, the key that wraps symmetric keys, the key of the log, the admin token, a policy, a configuration and an empty database.
/// Overwrites nothing; after
/// a crash in the middle the folder is as if nothing had happened.
///
/// # Errors
/// Says what stood in the way.
pub fn init(options: &InitOptions, clock: &dyn Clock) -> Result<InitReport, InitError> {
    init_with(options, &Guard::default(), clock)
}

/// How [`init_with`] guards the keys that it makes; not at all by default. The key of the HTTPS listener is guarded by
/// neither: the server has to start by itself.
#[derive(Debug, Default)]
pub struct Guard {
    /// What the keys of the CAs and of the trust bundle are encrypted under.
    pub passphrase: Option<Passphrase>,
    /// A TPM for the issuing CA's key.
    pub tpm: Option<TpmGuard>,
    /// A root whose key is elsewhere. The server then has no issuing CA until its certificate was imported.
    pub offline_root: Option<OfflineRoot>,
}

/// What an offline root gives to a server.
#[derive(Clone, Debug)]
pub struct OfflineRoot {
    /// Its certificate, PEM or DER.
    pub certificate: PathBuf,
    /// Its revocation list, if it has one already.
    pub list: Option<PathBuf>,
}

/// A TPM that makes the issuing CA's key.
#[derive(Clone, Debug)]
pub struct TpmGuard {
    /// Its device, or a simulator's socket.
    pub device: PathBuf,
    /// A file with the authorization value that the key gets, if it gets one. The server reads it there.
    pub auth_file: Option<PathBuf>,
}

/// As [`init`], with guarded keys.
///
/// # Errors
/// As [`init`], and where the TPM fails.
pub fn init_with(options: &InitOptions, guard: &Guard, clock: &dyn Clock) -> Result<InitReport, InitError> {
    check(options)?;
    // Everything is made beside the folder and moved there at the end, in one step.
    let folder = NewFolder::begin(&options.directory)?;
    fill(&folder, options, guard, clock.now())?;
    let directory = folder.finish_own()?;
    Ok(InitReport {
        config: directory.join("enroll-server.toml"),
        trust_bundle: directory.join("trust.bundle"),
        root_certificate: directory.join("root-ca.crt"),
        admin_token: directory.join("admin.token"),
    })
}

/// Names under which a server is reached when none are given: this machine's own.
#[must_use]
pub fn default_hosts() -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    if is_dns(&name) && !hosts.contains(&name) {
        hosts.push(name);
    }
    hosts
}

fn is_dns(text: &str) -> bool {
    is_host(text) && !text.contains(':') && rustls::pki_types::DnsName::try_from(text).is_ok()
}

fn check(options: &InitOptions) -> Result<(), InitError> {
    let wrong =
        |option, expected, found: &str| Err(InitError::Option { option, expected, found: found.to_owned() });
    if !is_tenant(&options.tenant) {
        return wrong("--tenant", "1 to 64 letters and digits", &options.tenant);
    }
    if options.hosts.is_empty() {
        return wrong("--host", "at least one name or address", "");
    }
    if let Some(host) =
        options.hosts.iter().find(|host| !is_dns(host) && host.parse::<core::net::IpAddr>().is_err())
    {
        return wrong("--host", "a DNS name or an IP address", host);
    }
    if !is_host(&options.broker_host) {
        return wrong("--broker-host", "a host name or an IP address", &options.broker_host);
    }
    if options.broker_port == 0 {
        return wrong("--broker-port", "a port from 1 to 65535", "0");
    }
    if options.pen == 0 {
        return wrong("--pen", "a private enterprise number above 0", "0");
    }
    Ok(())
}

/// Writes a key of the CAs or of the trust bundle.
fn save(key: &FileKey, folder: &NewFolder, name: &str, guard: &Guard) -> Result<(), KeyError> {
    match &guard.passphrase {
        Some(passphrase) => key.save_encrypted(&folder.path().join(name), passphrase),
        None => key.save(&folder.path().join(name)),
    }
}

fn fill(folder: &NewFolder, options: &InitOptions, guard: &Guard, now: UnixTime) -> Result<(), InitError> {
    let write = |name: &str, content: &[u8], mode| folder.write(name, content, mode);
    let root = match &guard.offline_root {
        Some(root) => take_root(folder, root, options, now)?,
        None => make_cas(folder, options, guard, now)?,
    };

    let signer_key = FileKey::generate()?;
    let signer = TrustSigner::new(&signer_key)?;
    let bundle = signer.sign(1, now, &[&root], signer.public_point())?;
    save(&signer_key, folder, "trust-signer.key", guard)?;
    write("trust.bundle", &bundle, 0o644)?;

    write("nonce.key", random_hex(nonce::KEY)?.as_bytes(), 0o600)?;
    write("credential.key", random_hex(32)?.as_bytes(), 0o600)?;
    LogKey::create(&folder.path().join("log.key"), &log_origin(&options.hosts, &options.tenant))?;
    let token = random_hex(32)?;
    write("admin.token", token.as_bytes(), 0o600)?;
    write("policy.toml", appraisal::policy::SAMPLE.as_bytes(), 0o644)?;
    folder.folder("policy.d", 0o755)?;
    write("profile.toml", ca::SAMPLE_PROFILE.as_bytes(), 0o644)?;
    folder.folder("profiles.d", 0o755)?;
    write("enroll-server.toml", settings(options, guard, token.trim_end())?.as_bytes(), 0o644)?;
    store(&folder.path().join("store.sqlite"))
}

/// Takes the certificate and the list of a root that is kept elsewhere.
fn take_root(
    folder: &NewFolder,
    offline: &OfflineRoot,
    options: &InitOptions,
    now: UnixTime,
) -> Result<CaCertificate, InitError> {
    let root = read_root(&offline.certificate)?;
    root.check_valid_at(now).map_err(IssueError::from)?;
    if root.organization().as_deref() != Some(options.tenant.as_str()) {
        let found = root.organization().unwrap_or_default();
        return Err(InitError::Option {
            option: "--tenant",
            expected: "the organisation of the root",
            found,
        });
    }
    folder.write(ROOT_CERTIFICATE, ca::pem::certificate(root.der()).as_bytes(), 0o644)?;
    if let Some(path) = &offline.list {
        let missing = || CeremonyError::ListMissing { path: path.clone() };
        let (_, der) = read_list(path, &root)?.ok_or_else(missing)?;
        folder.write(ROOT_LIST, ca::pem::crl(&der).as_bytes(), 0o644)?;
    }
    Ok(root)
}

/// Makes root and issuing CA with what hangs on them; gives the root.
fn make_cas(
    folder: &NewFolder,
    options: &InitOptions,
    guard: &Guard,
    now: UnixTime,
) -> Result<CaCertificate, InitError> {
    let write = |name: &str, content: &[u8], mode| folder.write(name, content, mode);
    let (root, root_key) = hierarchy::root_ca(&options.tenant, ROOT_LIFETIME, now)?;
    save(&root_key, folder, "root-ca.key", guard)?;
    write(ROOT_CERTIFICATE, ca::pem::certificate(root.der()).as_bytes(), 0o644)?;
    let root_issuer = Issuer::new(root.clone(), Box::new(root_key))?;
    write(ROOT_LIST, ca::pem::crl(&first_list(&root_issuer, now)?).as_bytes(), 0o644)?;

    let issuing_key: Box<dyn IssuerKey> = match &guard.tpm {
        Some(tpm) => Box::new(tpm.make(&folder.path().join(TPM_KEY))?),
        None => {
            let key = FileKey::generate()?;
            save(&key, folder, "issuing-ca.key", guard)?;
            Box::new(key)
        }
    };
    let point = issuing_key.public_point();
    let issuing = hierarchy::issuing_ca_for(&options.tenant, point, &root_issuer, ISSUING_LIFETIME, now)?;
    write("issuing-ca.crt", ca::pem::certificate(issuing.der()).as_bytes(), 0o644)?;
    let issuer = Issuer::new(issuing.clone(), issuing_key)?;

    let server_key = FileKey::generate()?;
    let hosts: Vec<&str> = options.hosts.iter().map(String::as_str).collect();
    let server = hierarchy::server_certificate(&hosts, &server_key, &issuer, SERVER_LIFETIME, now)?;
    server_key.save(&folder.path().join("server.key"))?;
    write("server.crt", ca::pem::chain([server.der(), issuing.der()]).as_bytes(), 0o644)?;

    // What a broker reads: it can be started before the server. The server's own lists count from 1.
    write("authorities.pem", ca::pem::chain([issuing.der(), root.der()]).as_bytes(), 0o644)?;
    let crl = Issue { number: 0, this_update: now, next_update: now.after(CRL_VALID) };
    let crl = ca::crl::make(&issuer, crl, [])?;
    write("crl.der", &crl, 0o644)?;
    write("crl.pem", ca::pem::crl(&crl).as_bytes(), 0o644)?;
    Ok(root)
}

/// The name of the log: where it is found, without the scheme, as C2SP tlog-tiles asks.
fn log_origin(hosts: &[String], tenant: &str) -> String {
    let local = |host: &&String| host.as_str() != "localhost" && host.parse::<core::net::IpAddr>().is_err();
    match hosts.iter().find(local) {
        Some(host) => format!("{host}/log"),
        None => super::log_origin_of(tenant),
    }
}

/// A secret as it stands in a file: in hexadecimal, with a line end.
fn random_hex(length: usize) -> Result<Zeroizing<String>, InitError> {
    let secret = random::secret(length).ok_or(InitError::Random)?;
    let mut text = Zeroizing::new(String::with_capacity(secret.len() + 1));
    text.push_str(&secret);
    text.push('\n');
    Ok(text)
}

/// The sample settings with the options in their places.
fn settings(options: &InitOptions, guard: &Guard, token: &str) -> Result<String, InitError> {
    let issuing_key = match &guard.tpm {
        Some(tpm) => format!("[issuing_key]\n{}", tpm.setting()?),
        None => "[issuing_key]".to_owned(),
    };
    let hash = hex::encode(digest(&SHA256, token.as_bytes()));
    let mut text = SAMPLE.to_owned();
    for (sample, value) in [
        ("tenant = \"Example\"", format!("tenant = \"{}\"", options.tenant)),
        ("pen = 32473", format!("pen = {}", options.pen)),
        ("host = \"localhost\"", format!("host = \"{}\"", options.broker_host)),
        ("port = 8883", format!("port = {}", options.broker_port)),
        ("# token_sha256 = \"\"", format!("token_sha256 = \"{hash}\"")),
        ("[issuing_key]", issuing_key),
    ] {
        text = text.replacen(sample, &value, 1);
    }
    Ok(text)
}

/// The file of a key that a TPM encrypted.
const TPM_KEY: &str = "issuing-ca.tpm";

impl TpmGuard {
    fn make(&self, file: &Path) -> Result<TpmKey, InitError> {
        let auth_file = self.auth_file.as_deref();
        make_tpm_key(&self.device, auth_file, file)?;
        Ok(TpmKey::open(&self.device, TpmPlace::File(file.to_owned()), auth_file)?)
    }

    /// The field of the settings.
    fn setting(&self) -> Result<String, InitError> {
        let quoted = |path: &Path| {
            let whole = std::path::absolute(path).map_err(unwritable(path))?;
            Ok::<_, InitError>(toml::Value::from(whole.display().to_string()).to_string())
        };
        let auth = match &self.auth_file {
            Some(path) => format!(", auth_file = {}", quoted(path)?),
            None => String::new(),
        };
        Ok(format!("tpm = {{ device = {}, key = \"{TPM_KEY}\"{auth} }}", quoted(&self.device)?))
    }
}

fn store(path: &Path) -> Result<(), InitError> {
    // Made with its final mode before SQLite opens it; its companions take over that mode.
    files::create(path, &[], 0o600).map_err(unwritable(path))?;
    let store = SqlStore::sqlite(&SqliteOptions::new(path))?;
    // Closing the last connection folds the log into the file.
    store.close_blocking();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{InitError, InitOptions, default_hosts, init};
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::new_folder::FolderError;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn options(directory: &Path) -> InitOptions {
        InitOptions {
            directory: directory.to_owned(),
            tenant: "Acme".into(),
            hosts: default_hosts(),
            broker_host: "broker.example".into(),
            broker_port: 18883,
            pen: 99,
        }
    }

    #[test]
    fn makes_all_files_with_safe_modes_and_settings_that_load() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("server");
        let report = init(&options(&directory), &SystemClock).unwrap();
        let config = Config::load(&report.config).unwrap();
        assert_eq!(config.tenant, "Acme");
        assert_eq!((config.broker.host.as_str(), config.broker.port), ("broker.example", 18883));
        assert_eq!(config.certificates.pen, 99);
        assert!(config.admin_token_sha256.is_some());
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let secret = name.ends_with(".key") || name.ends_with(".token") || name.ends_with(".sqlite");
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077 == 0, secret, "{name} has mode {mode:o}");
            names.push(name);
        }
        names.sort();
        assert_eq!(
            names,
            [
                "admin.token",
                "authorities.pem",
                "credential.key",
                "crl.der",
                "crl.pem",
                "enroll-server.toml",
                "issuing-ca.crt",
                "issuing-ca.key",
                "log.key",
                "log.vkey",
                "nonce.key",
                "policy.d",
                "policy.toml",
                "profile.toml",
                "profiles.d",
                "root-ca.crl.pem",
                "root-ca.crt",
                "root-ca.key",
                "server.crt",
                "server.key",
                "store.sqlite",
                "trust-signer.key",
                "trust.bundle"
            ]
        );
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
    }

    #[test]
    fn overwrites_nothing_and_cleans_up_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("server");
        std::fs::create_dir(folder.path().join(".server.incomplete")).unwrap();
        std::fs::write(folder.path().join(".server.incomplete/root-ca.key"), "left by a crash").unwrap();
        init(&options(&directory), &SystemClock).unwrap();
        let before = std::fs::read(directory.join("root-ca.key")).unwrap();
        assert!(matches!(
            init(&options(&directory), &SystemClock),
            Err(InitError::Folder(FolderError::NotEmpty { .. }))
        ));
        assert_eq!(std::fs::read(directory.join("root-ca.key")).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the folder");
    }

    #[test]
    fn options_are_checked_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("server");
        for (wrong, name) in [
            (InitOptions { tenant: "A b".into(), ..options(&directory) }, "--tenant"),
            (InitOptions { hosts: vec!["*.example".into()], ..options(&directory) }, "--host"),
            (InitOptions { hosts: vec![], ..options(&directory) }, "--host"),
            (InitOptions { broker_host: "a\"b".into(), ..options(&directory) }, "--broker-host"),
            (InitOptions { pen: 0, ..options(&directory) }, "--pen"),
        ] {
            let Err(InitError::Option { option, .. }) = init(&wrong, &SystemClock) else { panic!("{name}") };
            assert_eq!(option, name);
            assert!(!directory.exists());
        }
    }
}
