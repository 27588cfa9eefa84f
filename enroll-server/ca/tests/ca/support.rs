//! A hierarchy, and intents as a server would have recorded them.

use ca::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, issuing_ca, root_ca};
use ca::{FileKey, Issued, Issuer, IssuerKey as _, LdevidProfile, RecordedIntent, Serial, Validity, lint};
use core::time::Duration;
use shared::{DeviceId, UnixTime};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Hierarchy {
    pub(crate) root: Issuer,
    pub(crate) issuing: Issuer,
}

impl Hierarchy {
    pub(crate) fn new() -> Self {
        Self::living(ISSUING_LIFETIME)
    }

    /// With an issuing CA of another life.
    pub(crate) fn living(lifetime: Duration) -> Self {
        let (certificate, key) = root_ca("acme", ROOT_LIFETIME, NOW).unwrap();
        let root = Issuer::new(certificate, Box::new(key)).unwrap();
        let (certificate, key) = issuing_ca("acme", &root, lifetime, NOW).unwrap();
        let issuing = Issuer::new(certificate, Box::new(key)).unwrap();
        Self { root, issuing }
    }

    pub(crate) fn issue(&self, intent: &Intent) -> Issued {
        issue(&self.issuing, intent)
    }

    /// A certificate for a device that did everything right.
    pub(crate) fn device(&self, id: &str) -> Issued {
        self.issue(&self.intent(id))
    }

    pub(crate) fn intent(&self, id: &str) -> Intent {
        intent(&self.issuing, id)
    }
}

/// A certificate of this CA for a device that did everything right.
pub(crate) fn device_of(issuer: &Issuer, id: &str) -> Issued {
    issue(issuer, &intent(issuer, id))
}

fn issue(issuer: &Issuer, intent: &Intent) -> Issued {
    let linted = lint(intent, &profile(), issuer.certificate(), NOW).unwrap();
    issuer.issue(linted, NOW).unwrap()
}

fn intent(issuer: &Issuer, id: &str) -> Intent {
    Intent {
        serial: Serial::random().unwrap(),
        device: DeviceId::new(id).unwrap(),
        point: *FileKey::generate().unwrap().public_point(),
        validity: Validity::of_ldevid(NOW, DAY * 90, issuer.certificate()).unwrap(),
        point_of_list: ca::DistributionPoint { issuer: 1, partition: 0 },
    }
}

pub(crate) fn profile() -> LdevidProfile {
    let profile = LdevidProfile::new("acme", 32473).unwrap();
    let profile = profile.with_crl_url("http://ca.example:8080/crl.der").unwrap();
    profile.with_ocsp_url("http://ca.example:8080/ocsp").unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) serial: Serial,
    pub(crate) device: DeviceId,
    pub(crate) point: [u8; 65],
    pub(crate) validity: Validity,
    pub(crate) point_of_list: ca::DistributionPoint,
}

impl RecordedIntent for Intent {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn device(&self) -> &DeviceId {
        &self.device
    }

    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn validity(&self) -> Validity {
        self.validity
    }

    fn distribution_point(&self) -> ca::DistributionPoint {
        self.point_of_list
    }
}

/// A tag, the length and the parts, in DER.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}
