//! Makes a hierarchy: a root CA, an issuing CA below it, and certificates of servers.
//!
//! The keys that it makes are in memory; writing them to files is the caller's step.

use core::net::IpAddr;
use core::time::Duration;

use rustls_pki_types::ServerName;
use shared::UnixTime;

use crate::certificate::{CaCertificate, CaCertificateError};
use crate::issuer::{IssueError, Issued, Issuer, self_sign};
use crate::key::{FileKey, IssuerKey, KeyError};
use crate::lint::{LintError, lint_root, lint_template};
use crate::profile::Validity;
use crate::serial::{Serial, SerialError};
use crate::template::{Attribute, Extra, Name, Template, Usage};

/// Life of a root CA: 20 years of 365 days.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Life of an issuing CA: 10 years of 365 days.
pub const ISSUING_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Life of a server's certificate: 397 days, the most that TLS clients at large take.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(397 * 86_400);

/// Makes a root CA with two levels of CAs below it: its issuing CAs, and one day the root that follows it, which it
/// certifies for those that do not trust that one yet. It lives [`ROOT_LIFETIME`] where `lifetime` is longer.
///
/// # Errors
/// Where `organization` does not fit a subject, or no key can be made.
pub fn root_ca(
    organization: &str,
    lifetime: Duration,
    now: UnixTime,
) -> Result<(CaCertificate, FileKey), HierarchyError> {
    let key = FileKey::generate()?;
    let validity = begin(now, lifetime.min(ROOT_LIFETIME));
    let template = ca_template(organization, "Root CA", 2, validity, key.public_point())?;
    let issued = self_sign(lint_root(template, ROOT_LIFETIME, now)?, &key)?;
    Ok((CaCertificate::from_der(issued.der())?, key))
}

/// Makes an issuing CA, without CAs below it. It lives [`ISSUING_LIFETIME`] or as long as the root where that
/// is less.
///
/// # Errors
/// As [`root_ca`], and where the root cannot sign it.
pub fn issuing_ca(
    organization: &str,
    root: &Issuer,
    lifetime: Duration,
    now: UnixTime,
) -> Result<(CaCertificate, FileKey), HierarchyError> {
    let key = FileKey::generate()?;
    let certificate = issuing_ca_for(organization, key.public_point(), root, lifetime, now)?;
    Ok((certificate, key))
}

/// As [`issuing_ca`], for a key that was made elsewhere: its public half as an uncompressed point.
///
/// # Errors
/// As [`issuing_ca`].
pub fn issuing_ca_for(
    organization: &str,
    point: &[u8; 65],
    root: &Issuer,
    lifetime: Duration,
    now: UnixTime,
) -> Result<CaCertificate, HierarchyError> {
    let life = root.certificate().validity();
    let validity = Validity::clamped(now, lifetime.min(ISSUING_LIFETIME), life);
    let template = ca_template(organization, "Issuing CA", 0, validity, point)?;
    let linted = lint_template(template, root.certificate(), ISSUING_LIFETIME, now)?;
    Ok(CaCertificate::from_der(root.issue(linted, now)?.der())?)
}

/// Certifies the key of a TLS server under `names`, DNS names or IP addresses, without wildcards; the first is
/// the common name too, where it fits. It lives `lifetime`, [`SERVER_LIFETIME`] at most, and never beyond the
/// CA.
///
/// # Errors
/// Where a name is none, or the CA cannot sign it.
pub fn server_certificate(
    names: &[&str],
    key: &dyn IssuerKey,
    issuer: &Issuer,
    lifetime: Duration,
    now: UnixTime,
) -> Result<Issued, HierarchyError> {
    let names: Vec<Name> = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
    let common_name = match names.first().ok_or(HierarchyError::NoNames)? {
        Name::Dns(name) if name.len() <= 64 => name.clone(),
        Name::Ip(address) => address.to_string(),
        Name::Dns(_) | Name::Uri(_) => "server".into(),
    };
    let template = Template {
        serial: Serial::random()?,
        validity: Validity::clamped(now, lifetime.min(SERVER_LIFETIME), issuer.certificate().validity()),
        subject: vec![(Attribute::CommonName, common_name)],
        point: *key.public_point(),
        names,
        usage: Usage::Server,
        crl_url: None,
        ocsp_url: None,
        extra: Extra::default(),
    };
    let linted = lint_template(template, issuer.certificate(), SERVER_LIFETIME, now)?;
    Ok(issuer.issue(linted, now)?)
}

/// Certifies the key of a TLS client that is no device, such as this server at a broker: `organization` and `name` are
/// its subject, and it has no subjectAltName. It lives `lifetime`, [`SERVER_LIFETIME`] at most, and never beyond the CA.
///
/// # Errors
/// Where the names do not fit a subject, or the CA cannot sign it.
pub fn client_certificate(
    organization: &str,
    name: &str,
    key: &dyn IssuerKey,
    issuer: &Issuer,
    lifetime: Duration,
    now: UnixTime,
) -> Result<Issued, HierarchyError> {
    let template = Template {
        serial: Serial::random()?,
        validity: Validity::clamped(now, lifetime.min(SERVER_LIFETIME), issuer.certificate().validity()),
        subject: vec![(Attribute::Organization, organization.into()), (Attribute::CommonName, name.into())],
        point: *key.public_point(),
        names: vec![],
        usage: Usage::Client,
        crl_url: None,
        ocsp_url: None,
        extra: Extra::default(),
    };
    let linted = lint_template(template, issuer.certificate(), SERVER_LIFETIME, now)?;
    Ok(issuer.issue(linted, now)?)
}

/// Why a part of a hierarchy was not made.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// No key, or it does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No serial number.
    #[error(transparent)]
    Serial(#[from] SerialError),
    /// The certificate must not be signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// It was not signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What was signed cannot serve as a CA.
    #[error(transparent)]
    Certificate(#[from] CaCertificateError),
    /// A CA that cannot be certified once more.
    #[error(
        "the CA's name or key identifier is not of the form that this program writes; have the cross-certificate \
             made by whoever made the CA, and import it"
    )]
    ForeignCa,
    /// No name for the server.
    #[error("a server certificate needs at least one name")]
    NoNames,
    /// A name that is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name without wildcards nor an IP address")]
    ServerName {
        /// The name.
        name: String,
    },
}

fn ca_template(
    organization: &str,
    role: &str,
    path_length: u8,
    validity: Validity,
    point: &[u8; 65],
) -> Result<Template, HierarchyError> {
    let serial = Serial::random()?;
    // A part of the serial tells the names of successive CAs apart, which path building goes by.
    let mark: String = serial.to_string().chars().take(8).collect();
    Ok(Template {
        serial,
        validity,
        subject: vec![
            (Attribute::Organization, organization.into()),
            (Attribute::CommonName, format!("{role} {mark}")),
        ],
        point: *point,
        names: vec![],
        usage: Usage::Ca { path_length },
        crl_url: None,
        ocsp_url: None,
        extra: Extra::default(),
    })
}

/// A root's life; nothing limits it but the beginning of time.
fn begin(now: UnixTime, lifetime: Duration) -> Validity {
    let all = Validity { not_before: UnixTime::from_secs(0), not_after: UnixTime::from_secs(u64::MAX) };
    Validity::clamped(now, lifetime, all)
}

fn server_name(name: &str) -> Result<Name, HierarchyError> {
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(dns)) => Ok(Name::Dns(dns.as_ref().to_ascii_lowercase())),
        Ok(ServerName::IpAddress(address)) => Ok(Name::Ip(IpAddr::from(address))),
        _ => Err(HierarchyError::ServerName { name: name.into() }),
    }
}
