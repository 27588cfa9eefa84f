//! What comes of a request that is not refused.

use appraisal::policy::BrokerOverride;
use ca::Validity;

use crate::store::IssuerNumber;

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate.
    Granted(Granted),
    /// It waits for an operator.
    Held,
}

impl Outcome {
    /// With what the group's policy says of the broker.
    pub(super) fn told(self, broker: BrokerOverride) -> Self {
        match self {
            Self::Granted(granted) => Self::Granted(Granted { broker, ..granted }),
            Self::Held => Self::Held,
        }
    }

    /// The stable name, as in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted(_) => "issued",
            Self::Held => "pending",
        }
    }
}

/// A certificate that is durable and may leave the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    der: Vec<u8>,
    validity: Validity,
    issuer: IssuerNumber,
    broker: BrokerOverride,
}

impl Granted {
    pub(super) fn new(der: Vec<u8>, validity: Validity, issuer: IssuerNumber) -> Self {
        Self { der, validity, issuer, broker: BrokerOverride::default() }
    }

    /// What the device is told of the broker instead of the server's settings, by the policy of its group.
    #[must_use]
    pub const fn broker(&self) -> &BrokerOverride {
        &self.broker
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its life.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The CA that signed it.
    #[must_use]
    pub const fn issuer(&self) -> IssuerNumber {
        self.issuer
    }
}
