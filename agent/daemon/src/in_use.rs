//! What the records say is in use: trust anchors, certificate, key, broker. One reading for everything beside the flow:
//! exported files, the doctor, the proxy.
//!
//! Reads only, and takes no lock: the flow may change the records meanwhile. Whoever needs a key that belongs to its
//! certificate is told where it does not, and asks again.

use agent_core::platform::{
    KeyError, KeyStore as _, Record, SigningKey as _, Slot, Storage as _, StorageError,
};
use agent_core::slots::{Identity, IdentityError, identity_record, read_state};
use agent_core::trust::{TrustAnchors, TrustError};
use agent_core::x509::Certificate;
use shared::UnixTime;

use crate::keystore::{DeviceKey, DeviceKeyStore};
use crate::storage::FileStorage;

/// Why there is nothing to connect with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InUseError {
    /// The records cannot be read.
    #[error("the records in the state directory cannot be read: {0}")]
    Storage(#[from] StorageError),
    /// No trust bundle can be used.
    #[error("there is nothing to judge servers by: {0}")]
    Trust(#[from] TrustError),
    /// No certificate is in use.
    #[error("the device has no certificate yet; run: agent enroll")]
    NotEnrolled,
    /// The certificate's record, or what it says of the key, is wrong.
    #[error("the certificate in use: {0}")]
    Certificate(#[from] IdentityError),
    /// There is no key beside the certificate.
    #[error("there is no key beside the certificate in use")]
    NoKey,
    /// The key cannot be used.
    #[error("the key of the certificate in use: {0}")]
    Key(#[from] KeyError),
}

/// The certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// Where it is.
    pub(crate) slot: Slot,
    /// The certificate and its issuing CAs in DER, leaf first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// When the device renews.
    pub(crate) renew_at: UnixTime,
    /// The broker that came with it.
    pub(crate) broker: Broker,
    /// The least that the time can be.
    pub(crate) floor: UnixTime,
}

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) telemetry_topic: String,
    pub(crate) command_topic: String,
}

impl Issued {
    /// The device's own certificate, where it can be read.
    pub(crate) fn leaf(&self) -> Option<Certificate<'_>> {
        Certificate::parse(self.chain.first()?).ok()
    }
}

/// The trust anchors in force, in DER.
pub(crate) async fn anchors(
    storage: &mut FileStorage,
    provisioned: &[u8],
) -> Result<Vec<Vec<u8>>, InUseError> {
    let mut buffer = vec![0; Record::MAX];
    let mut trust = Box::new(TrustAnchors::none());
    trust.load(storage, provisioned, &mut buffer).await??;
    Ok(owned(&trust.bundle()?.anchors))
}

/// The certificate in use.
pub(crate) async fn certificate(storage: &mut FileStorage) -> Result<Issued, InUseError> {
    let state = read_state(storage).await?.ok_or(InUseError::NotEnrolled)?;
    let slot = state.current().ok_or(InUseError::NotEnrolled)?.slot;
    let mut buffer = vec![0; Record::MAX];
    let length = storage.load(identity_record(slot), &mut buffer).await?.unwrap_or(0);
    let identity = Identity::read(slot, buffer.get(..length).unwrap_or_default())?;
    Ok(Issued {
        slot,
        chain: owned(&identity.chain),
        renew_at: identity.renew_at,
        broker: Broker {
            host: identity.broker.host.to_owned(),
            port: identity.broker.port,
            telemetry_topic: identity.broker.telemetry_topic.to_owned(),
            command_topic: identity.broker.command_topic.to_owned(),
        },
        floor: state.floor(),
    })
}

/// The key of the certificate in use.
pub(crate) async fn key(
    storage: &mut FileStorage,
    keys: &mut DeviceKeyStore,
    issued: &Issued,
) -> Result<DeviceKey, InUseError> {
    let key = keys.open(issued.slot, storage).await?.ok_or(InUseError::NoKey)?;
    if issued.leaf().is_some_and(|leaf| leaf.public_point() != &key.public_point()) {
        return Err(IdentityError::OtherKey.into());
    }
    Ok(key)
}

/// Certificates of one's own.
pub(crate) fn owned(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|der| der.to_vec()).collect()
}
