//! Who is on the other side, by the certificate that TLS has verified.

use enroll_server::mqtt::CLIENT_NAME;
use rustls::ServerConnection;
use shared::{DeviceId, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::revocation::serial;

/// Who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A device.
    Device(DeviceId),
    /// The enrollment server. No device has its name.
    Server,
}

impl Who {
    /// The common name, which is the client identifier too.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Device(id) => id.as_str(),
            Self::Server => CLIENT_NAME,
        }
    }

    /// The device, if it is one.
    pub(super) const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Device(id) => Some(id),
            Self::Server => None,
        }
    }
}

/// Somebody who showed a good certificate.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Who it is, by the certificate's common name.
    pub(super) who: Who,
    /// The certificate's serial number, without leading zeros.
    pub(super) serial: Vec<u8>,
    /// The name of the CA that issued it.
    pub(super) issuer: Vec<u8>,
    /// The end of the certificate.
    pub(super) not_after: UnixTime,
}

impl Peer {
    /// `None` where the certificate has not exactly one common name that is a device identifier or the server's.
    pub(super) fn of(tls: &ServerConnection) -> Option<Self> {
        let leaf = tls.peer_certificates()?.first()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else { return None };
        let who = match name.as_str().ok()? {
            CLIENT_NAME => Who::Server,
            name => Who::Device(DeviceId::new(name).ok()?),
        };
        Some(Self {
            who,
            serial: serial(certificate.raw_serial()).to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            not_after: UnixTime::from_secs(u64::try_from(certificate.validity().not_after.timestamp()).ok()?),
        })
    }
}
