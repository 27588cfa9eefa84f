//! What is so: the parts of a configuration that follow from the server's settings, its files and its policies.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::fill::plain;
use super::rights::ID;
use super::{BrokerToken, PeerError, Person, Product, Rights, TokenError};
use crate::config::{Broker, Config};
use crate::policies::{PolicyFiles, PolicyFilesError};
use crate::tls_files::Seen;

/// Longest file that is read: lists grow to 50 bytes a revoked certificate.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What the operator wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The broker of `[[brokers]]` that it is for, where there are several.
    pub broker: Option<String>,
    /// Where the files go. Without it authorities and lists stay where the server writes them.
    pub out: Option<PathBuf>,
    /// Certificate and key of the broker or terminator.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The service behind a terminator.
    pub upstream: Option<String>,
    /// The name under which devices come to a terminator.
    pub host: Option<String>,
    /// The port of a terminator.
    pub listen: Option<u16>,
    /// Where the broker reaches this server.
    pub server: Option<String>,
}

/// What a template is filled with. No text in it has a character that a configuration language takes apart.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) tenant: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) folder: String,
    pub(super) authorities: String,
    pub(super) authorities_pem: String,
    pub(super) crl: String,
    pub(super) crl_pem: String,
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) server: String,
    pub(super) upstream: String,
    /// Whether certificates name the address of their list, and that list says whose it is (RFC 5280, section 5.2.5).
    pub(super) has_partitions: bool,
    pub(super) rights: Rights,
    /// The brokers' token; a text in its place where nothing secret is to be shown.
    pub(super) token: Zeroizing<String>,
    pub(super) people: Vec<Person>,
}

/// Why the facts are not known.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A value does not fit.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The policies have mistakes.
    #[error(transparent)]
    Policies(#[from] PolicyFilesError),
    /// The token of brokers.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file that a running server writes is not there.
    #[error("{}: cannot be read; a running server writes it: enroll-server serve", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Several brokers and no choice, or a choice that is none.
    #[error("expected --broker with one of: {known}")]
    Broker {
        /// The names there are.
        known: String,
    },
}

impl Facts {
    /// Reads what is so now. `people` are the devices in force, for products that list them.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub fn gather(
        config: &Config,
        wanted: &Wanted,
        product: Product,
        people: Vec<Person>,
    ) -> Result<Self, FactsError> {
        let broker = broker(config, wanted.broker.as_deref(), product)?;
        let host = wanted.host.as_deref().unwrap_or(&broker.host);
        let files = &config.files;
        let folder = wanted.out.clone().unwrap_or_else(|| Path::new("/etc").join(product.name()));
        let own = |name: &str, server: &Path| match &wanted.out {
            Some(out) => path("the folder", &out.join(name)),
            None => path("the file", server),
        };
        let (certificate, key) = certificate(config, wanted, host, &folder);
        let rights = rights(config)?;
        for template in rights.all() {
            checked_topic(template)?;
        }
        let token = match (product.asks(), &wanted.out) {
            (true, Some(_)) => BrokerToken::read_or_make(&files.broker_token)?.into_text(),
            // What is printed ends up in terminals and in files that others read.
            _ => Zeroizing::new("TOKEN".to_owned()),
        };
        Ok(Self {
            tenant: config.tenant.clone(),
            host: plain("host", host)?,
            port: wanted.listen.unwrap_or(match product {
                Product::Broker(_) => broker.port,
                Product::Terminator(_) => 443,
            }),
            folder: path("the folder", &folder)?,
            authorities: own("authorities.pem", &files.authorities)?,
            authorities_pem: text(&files.authorities)?,
            crl: own("crl.pem", &config.crl.pem)?,
            crl_pem: text(&config.crl.pem)?,
            certificate: path("the certificate", &certificate)?,
            key: path("the key", &key)?,
            server: server(config, wanted)?,
            upstream: plain("the upstream", wanted.upstream.as_deref().unwrap_or("127.0.0.1:9000"))?,
            has_partitions: config
                .certificates
                .crl_url
                .as_deref()
                .is_some_and(|url| url.contains("{partition}")),
            rights,
            token,
            people,
        })
    }

    /// The files beside the configuration that change by themselves: authorities and lists.
    #[must_use]
    pub fn copies(&self) -> [(&'static str, &str); 2] {
        [("authorities.pem", &self.authorities_pem), ("crl.pem", &self.crl_pem)]
    }

    /// Where the certificate of the broker or terminator is expected.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        Path::new(&self.certificate)
    }

    /// The name under which devices come.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// What anyone may do at the brokers of `config`, as settings and policies say.
///
/// # Errors
/// Where the policies have mistakes.
fn rights(config: &Config) -> Result<Rights, PolicyFilesError> {
    let in_force = PolicyFiles::of(&config.files).read()?;
    let named = config.brokers.iter().map(|named| &named.broker);
    let only = config.brokers.is_empty().then_some(&config.broker);
    Ok(Rights::in_force(named.chain(only), &in_force))
}

fn broker<'c>(config: &'c Config, name: Option<&str>, product: Product) -> Result<&'c Broker, FactsError> {
    let known = || FactsError::Broker {
        known: config.brokers.iter().map(|broker| broker.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    match (config.brokers.as_slice(), name) {
        ([], None) => Ok(&config.broker),
        // A terminator is none of them.
        (_, None) if matches!(product, Product::Terminator(_)) => Ok(&config.broker),
        ([only], None) => Ok(&only.broker),
        (list, Some(name)) => {
            list.iter().find(|broker| broker.name == name).map(|named| &named.broker).ok_or_else(known)
        }
        (_, None) => Err(known()),
    }
}

/// What was asked for; else the one of `[[tls_files]]` for this host; else the one that `broker certificate --out` makes.
fn certificate(config: &Config, wanted: &Wanted, host: &str, folder: &Path) -> (PathBuf, PathBuf) {
    if let Some(pair) = &wanted.certificate {
        return pair.clone();
    }
    let kept = config.tls_files.iter().find(|file| file.hosts.iter().any(|name| name == host));
    kept.map_or_else(
        || (folder.join("broker.crt"), folder.join("broker.key")),
        |file| (file.files.certificate.clone(), file.files.key.clone()),
    )
}

/// `https://HOST:PORT` of this server, by the first name in its certificate unless it is said.
fn server(config: &Config, wanted: &Wanted) -> Result<String, PeerError> {
    if let Some(server) = &wanted.server {
        return plain("the server", server);
    }
    let path = &config.files.server_certificate;
    let not_pem = || PeerError::NotPem { path: path.clone(), what: "a certificate" };
    let pem = std::fs::read(path).map_err(|_| not_pem())?;
    let chain = ca::pem::read_certificates(&pem).map_err(|_| not_pem())?;
    let seen = chain.first().and_then(|der| Seen::read(der)).ok_or_else(not_pem)?;
    let host = seen.hosts.first().map_or("localhost", String::as_str);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    plain("the server", &format!("https://{host}:{}", config.listen.https.port()))
}

fn checked_topic(template: &str) -> Result<(), PeerError> {
    plain("the topic", template)?;
    let is_pattern = template.split('/').all(|level| level == ID || !level.contains(['{', '}']));
    if is_pattern { Ok(()) } else { Err(PeerError::Topic { template: template.to_owned() }) }
}

fn path(what: &'static str, path: &Path) -> Result<String, PeerError> {
    plain(what, &path.display().to_string())
}

fn text(path: &Path) -> Result<String, FactsError> {
    use std::io::Read as _;
    let unreadable = |source| FactsError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
