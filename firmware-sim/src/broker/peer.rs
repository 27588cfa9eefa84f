//! Who is on the other side, by the certificate that TLS has verified.

use rustls::ServerConnection;
use shared::{DeviceId, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::revocation::serial;

/// A device that showed a good certificate.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The certificate's common name.
    pub(super) id: DeviceId,
    /// The certificate's serial number, without leading zeros.
    pub(super) serial: Vec<u8>,
    /// The end of the certificate.
    pub(super) not_after: UnixTime,
}

impl Peer {
    /// `None` where the certificate has not exactly one common name that is a device identifier.
    pub(super) fn of(tls: &ServerConnection) -> Option<Self> {
        let leaf = tls.peer_certificates()?.first()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else { return None };
        Some(Self {
            id: DeviceId::new(name.as_str().ok()?).ok()?,
            serial: serial(certificate.raw_serial()).to_vec(),
            not_after: UnixTime::from_secs(u64::try_from(certificate.validity().not_after.timestamp()).ok()?),
        })
    }
}
