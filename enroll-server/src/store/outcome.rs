//! What becomes of a request in the store. The types say what is durable.

use std::sync::Arc;

use ca::{Bound, DistributionPoint, RecordedIntent, Serial, Validity};
use shared::DeviceId;

use super::issuer::IssuerNumber;
use super::state::DeviceState;
use crate::authorization::Refused;
use crate::intent_key::{IntentKey, NotOurs};

/// An intent to issue that is durable. Made by the store only, after the commit; what it reads back is an [`OpenIntent`] first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    serial: Serial,
    device: DeviceId,
    point: [u8; 65],
    validity: Validity,
    issuer: IssuerNumber,
    partition: u32,
    profile: Option<Arc<Bound>>,
    trust: Option<u64>,
}

impl Recorded {
    /// To be called by a store, with what it has committed: at the end the CA, and the list that the certificate names.
    pub(in crate::store) fn committed(
        serial: Serial,
        device: DeviceId,
        point: [u8; 65],
        validity: Validity,
        (issuer, partition): (IssuerNumber, u32),
        profile: Option<Arc<Bound>>,
    ) -> Self {
        Self { serial, device, point, validity, issuer, partition, profile, trust: None }
    }

    /// With the number of the trust bundle that the device says it holds: noted when it gets its certificate, and forgotten
    /// where the server dies before, since the device asks again then.
    pub(in crate::store) fn with_trust(self, trust: Option<u64>) -> Self {
        Self { trust, ..self }
    }

    /// The number of the trust bundle that the device says it holds.
    pub(in crate::store) const fn trust(&self) -> Option<u64> {
        self.trust
    }

    /// The CA that it was recorded for.
    #[must_use]
    pub const fn issuer(&self) -> IssuerNumber {
        self.issuer
    }

    /// An intent that nobody recorded: the planted bug that the crash tests have to find.
    #[cfg(any(test, feature = "plants"))]
    pub(crate) fn planted(request: &crate::authorization::Authorized) -> Self {
        let basis = request.basis();
        let point = *request.appraised().csr().point();
        let device = request.device().clone();
        let (serial, validity, issuer) = (basis.serial, basis.validity, basis.issuer);
        let profile = Some(Arc::clone(&basis.profile));
        Self { serial, device, point, validity, issuer, partition: 0, profile, trust: basis.trust }
    }
}

impl RecordedIntent for Recorded {
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

    fn distribution_point(&self) -> DistributionPoint {
        DistributionPoint { issuer: self.issuer.get(), partition: self.partition }
    }

    fn profile(&self) -> Option<&Bound> {
        self.profile.as_deref()
    }
}

/// An open intent as it stands in the database, where others may have put it: nothing is signed by it before it is
/// known again (`known_by`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    recorded: Recorded,
    mac: Option<Vec<u8>>,
}

impl OpenIntent {
    /// To be called by a store, with what it has read.
    pub(in crate::store) const fn found(recorded: Recorded, mac: Option<Vec<u8>>) -> Self {
        Self { recorded, mac }
    }

    /// Its serial number, as it stands there.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.recorded.serial
    }

    /// The intent, where a server with this key recorded it as it stands there.
    ///
    /// # Errors
    /// Where none did.
    pub(crate) fn known_by(self, key: &IntentKey) -> Result<Recorded, NotOurs> {
        key.check(&self.recorded, self.mac.as_deref())?;
        Ok(self.recorded)
    }
}

/// What [`record`](super::Store::record) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The intent is durable: sign it.
    Open(Recorded),
    /// This very request was answered before, with this certificate.
    Issued {
        /// The certificate.
        der: Vec<u8>,
        /// Its life.
        validity: Validity,
        /// The CA that signed it.
        issuer: IssuerNumber,
    },
    /// It waits for an operator.
    Held,
    /// The device is not as the appraisal saw it.
    Changed,
    /// This server would sign with another CA than the one that is in force: it has not taken a rollover's step over.
    OtherCa,
    /// It is refused.
    Refused(Refused),
}

/// What [`put_maker_crl`](super::Store::put_maker_crl) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlStored {
    /// The list is in force.
    Stored,
    /// It was there already.
    Unchanged,
    /// A newer one is there, or another one with the same number; it stays.
    Older {
        /// The number of the one that is there.
        held: [u8; 20],
    },
}

/// What [`complete`](super::Store::complete) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The certificate is durable. It is the one that was given, or one for the same intent that came first.
    Issued(Vec<u8>),
    /// The intent was voided in the meantime, and the device stands so: this certificate must not leave the server.
    Voided(DeviceState),
}
