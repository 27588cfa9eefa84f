//! Certificates of servers: of this one, and of brokers beside it. Each is renewed ahead of its end.
//!
//! What is due is decided here, purely; [`Files`] says which are tended, and `renew` reads and writes them.

mod owner;
mod renew;
mod trail;

use core::time::Duration;

use ca::{BACKDATE, CaCertificate, Issued, Serial};
use rustls::pki_types::ServerName;
use shared::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

pub use owner::{Owner, OwnerError};
pub use renew::{Files, TlsFileError};
pub(crate) use renew::{Tended, issue, place, recover, tend};
pub(crate) use trail::put_in_trail;

/// What counts of a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its key: an uncompressed point, where it is one on P-256.
    pub point: Vec<u8>,
    /// The names it is for: DNS names and IP addresses.
    pub hosts: Vec<String>,
    not_before: UnixTime,
    not_after: UnixTime,
    serial: Vec<u8>,
}

/// What the audit trail has of a certificate that was issued and is no device's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its serial number.
    pub serial: Serial,
    /// Its last second.
    pub not_after: UnixTime,
    /// The names that it is for.
    pub names: Vec<String>,
}

impl Made {
    pub(crate) fn new(issued: &Issued, names: &[String]) -> Self {
        Self { serial: issued.serial(), not_after: issued.validity().not_after, names: names.to_vec() }
    }

    /// What is to be had of a certificate that is there; `None` where its serial number is none of this server's.
    fn of(seen: Seen) -> Option<Self> {
        let serial = Serial::from_der_value(&seen.serial)?;
        Some(Self { serial, not_after: seen.not_after, names: seen.hosts })
    }
}

impl core::fmt::Display for Made {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "serial {} until {} for {}", self.serial, self.not_after, self.names.join(", "))
    }
}

/// How long a certificate is left as it was made, though it is for other names: whoever has two settings for one file would
/// otherwise have it made anew at each look, for ever.
const PAUSE: Duration = Duration::from_secs(60);

/// Why a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Missing,
    /// It is not by the CA that signs now.
    OtherCa,
    /// It is for other names.
    OtherNames,
    /// Its life has not begun: it was made while the clock was ahead.
    Early,
    /// Its time has come.
    Age,
}

impl Seen {
    /// Reads a certificate in DER; `None` where it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let secs = |time: i64| UnixTime::from_secs(u64::try_from(time).unwrap_or(0));
        let mut hosts = Vec::new();
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                hosts.extend(names.general_names.iter().filter_map(host));
            }
        }
        Some(Self {
            point: certificate.public_key().subject_public_key.data.to_vec(),
            hosts,
            not_before: secs(certificate.validity().not_before.timestamp()),
            not_after: secs(certificate.validity().not_after.timestamp()),
            serial: certificate.raw_serial().to_vec(),
        })
    }

    /// When its life began.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last second of its life.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// When it is renewed: at a point between two thirds and five sixths of its life that its serial number, which is
    /// random, decides. So replicas agree on it, and many certificates made at once do not end at once.
    #[must_use]
    pub fn renewal(&self) -> UnixTime {
        let made = self.made();
        let life = self.not_after.since(made);
        let dice = self.serial.last().copied().map_or(0, u32::from);
        made.after(life * 2 / 3 + life / 6 * dice / 256)
    }

    fn made(&self) -> UnixTime {
        self.not_before.after(BACKDATE).min(self.not_after)
    }

    /// Whether and why it is to be renewed: `hosts` are the names it should have, where that is not up to itself.
    #[must_use]
    pub fn due(
        &self,
        der: &[u8],
        issuer: &CaCertificate,
        hosts: Option<&[String]>,
        now: UnixTime,
    ) -> Option<Why> {
        if !issuer.has_signed(der) {
            return Some(Why::OtherCa);
        }
        // Nobody takes it, and its time would come a life later.
        if now < self.not_before {
            return Some(Why::Early);
        }
        let others = hosts.is_some_and(|hosts| !same_names(hosts, &self.hosts));
        if others && now >= self.made().after(PAUSE) {
            return Some(Why::OtherNames);
        }
        (now >= self.renewal()).then_some(Why::Age)
    }
}

/// As names are compared: DNS names without regard to case, addresses however they are written.
fn same_names(one: &[String], other: &[String]) -> bool {
    let plain = |name: &String| match ServerName::try_from(name.as_str()) {
        Ok(ServerName::IpAddress(address)) => core::net::IpAddr::from(address).to_string(),
        _ => name.to_ascii_lowercase(),
    };
    let sorted = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(plain).collect();
        names.sort();
        names.dedup();
        names
    };
    sorted(one) == sorted(other)
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| core::net::Ipv4Addr::from(octets).to_string());
            let v6 = <[u8; 16]>::try_from(*bytes).map(|octets| core::net::Ipv6Addr::from(octets).to_string());
            v4.or(v6).ok()
        }
        _ => None,
    }
}

/// A certificate that the server keeps renewed for someone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// What it is called in logs and events.
    pub name: String,
    /// The names and addresses it is for.
    pub hosts: Vec<String>,
    /// Where it goes.
    pub files: Files,
    /// How long it lives.
    pub lifetime: Duration,
    /// Run after each renewal, when the CAs for brokers change and when the server starts; again where it fails.
    pub hook: Vec<String>,
}

#[cfg(test)]
mod tests;
