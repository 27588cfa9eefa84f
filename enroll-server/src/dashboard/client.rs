//! What a TLS connection says of its client: the certificate it showed, whose key it proved to have.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConnection;
use shared::UnixTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::store::Sha256;

/// The client of a connection, after its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client(Option<Certificate>);

/// A certificate, as far as it matters here: the settings name it by its hash, whoever issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Certificate {
    sha256: Sha256,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Client {
    /// Of a connection whose handshake is done. A certificate that cannot be read counts as none.
    pub(crate) fn new(tls: &ServerConnection) -> Self {
        let leaf = tls.peer_certificates().and_then(<[_]>::first);
        Self(leaf.and_then(|der| Certificate::read(der)))
    }

    /// SHA-256 of its certificate, where that is in force.
    pub(super) fn certificate(&self, now: UnixTime) -> Option<Sha256> {
        let certificate = self.0?;
        let in_force = certificate.not_before <= now && now <= certificate.not_after;
        in_force.then_some(certificate.sha256)
    }
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let time = |seconds: i64| u64::try_from(seconds).map(UnixTime::from_secs).ok();
        let sha256 = digest(&SHA256, der).as_ref().try_into().ok()?;
        Some(Self {
            sha256,
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        })
        .filter(|_| rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Certificate, Client, UnixTime};

    #[test]
    fn a_certificate_counts_from_its_first_to_its_last_second() {
        let at = UnixTime::from_secs;
        let client = Client(Some(Certificate { sha256: [7; 32], not_before: at(10), not_after: at(20) }));
        for (now, counts) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(client.certificate(at(now)).is_some(), counts, "{now}");
        }
        assert_eq!(Client::default().certificate(at(15)), None);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        assert_eq!(Certificate::read(b"no certificate"), None);
    }
}
