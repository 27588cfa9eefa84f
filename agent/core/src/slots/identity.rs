//! A slot's certificate chain and broker settings, as stored.

use serde::{Deserialize, Serialize};
use shared::codec::DecodeError;
use shared::limits::MAX_CHAIN;
use shared::message::latest::BrokerSettings;
use shared::{DeviceId, UnixTime};

use super::identity_record;
use super::record;
use crate::platform::{PublicPoint, Slot, StorageError};
use crate::x509::{Certificate, PathError};

/// What belongs to an operational key: the certificates, the time to renew, and where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The LDevID and its issuing CAs in DER, leaf first.
    pub chain: heapless::Vec<&'a [u8], MAX_CHAIN>,
    /// When the device renews; drawn once, at issue.
    pub renew_at: UnixTime,
    /// The state's counter at issue: the higher of two is the newer.
    pub order: u64,
    /// Where to connect.
    pub broker: BrokerSettings<'a>,
}

/// The dates of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// Beginning of the certificate.
    pub not_before: UnixTime,
    /// End of the certificate.
    pub not_after: UnixTime,
    /// When the device renews.
    pub renew_at: UnixTime,
    /// The state's counter at issue: the higher of two is the newer.
    pub order: u64,
}

/// Why an identity is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The record is damaged.
    #[error("the record is damaged")]
    Damaged,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] PathError),
    /// The broker settings cannot be read.
    #[error("the broker settings cannot be read: {0}")]
    Broker(#[from] DecodeError),
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    OtherKey,
    /// The certificate names another device.
    #[error("the certificate names another device")]
    OtherDevice,
}

impl<'a> Identity<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(slot: Slot, bytes: &'a [u8]) -> Result<Self, IdentityError> {
        let body: Body<'a> =
            record::open(identity_record(slot), bytes).map_err(|_| IdentityError::Damaged)?;
        let mut chain = heapless::Vec::new();
        for der in body.chain.into_iter().filter(|der| !der.is_empty()) {
            chain.push(der).map_err(|_| IdentityError::Damaged)?;
        }
        Ok(Self {
            chain,
            renew_at: UnixTime::from_secs(body.renew_at),
            order: body.order,
            broker: BrokerSettings::decode(body.broker)?,
        })
    }

    /// Writes the record for `slot` to the front of `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn write(&self, slot: Slot, out: &mut [u8]) -> Result<usize, StorageError> {
        // The settings are written behind their place in the record first, then sealed into it.
        let (out, settings) =
            out.split_at_mut_checked(out.len().saturating_sub(MAX_SETTINGS)).ok_or(StorageError::TooLong)?;
        let length = self.broker.encode_to(settings).map_err(|_| StorageError::TooLong)?;
        let mut chain: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
        for (to, from) in chain.iter_mut().zip(&self.chain) {
            *to = from;
        }
        let body = Body {
            renew_at: self.renew_at.as_secs(),
            order: self.order,
            broker: settings.get(..length).ok_or(StorageError::TooLong)?,
            chain,
        };
        record::seal(identity_record(slot), &body, out)
    }

    /// The leaf.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn leaf(&self) -> Result<Certificate<'a>, PathError> {
        Certificate::parse(self.chain.first().copied().unwrap_or_default())
    }

    /// Whether the leaf certifies `key` for `device`.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn check(&self, key: &PublicPoint, device: &DeviceId) -> Result<Dates, IdentityError> {
        let leaf = self.leaf()?;
        if leaf.public_point() != key {
            return Err(IdentityError::OtherKey);
        }
        // The broker goes by the common name, the server by the serial number: both have to be ours.
        let ours = Some(device.as_str());
        if leaf.subject_common_name() != ours || leaf.subject_serial_number() != ours {
            return Err(IdentityError::OtherDevice);
        }
        let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
        Ok(Dates { not_before, not_after, renew_at: self.renew_at, order: self.order })
    }
}

/// The record's body. Places of the chain that are not used are empty.
#[derive(Serialize, Deserialize)]
struct Body<'b> {
    renew_at: u64,
    order: u64,
    #[serde(borrow)]
    broker: &'b [u8],
    #[serde(borrow)]
    chain: [&'b [u8]; MAX_CHAIN],
}

/// Longest broker settings: a host, three topics, keys and numbers.
const MAX_SETTINGS: usize = shared::limits::MAX_HOST + 3 * shared::limits::MAX_TOPIC + 32;
