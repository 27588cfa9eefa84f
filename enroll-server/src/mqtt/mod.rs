//! The server's own place at the MQTT brokers: tells devices, through the brokers that they were assigned, that an
//! operator wants them to renew.
//!
//! What is wanted stands in the store ([`crate::store::Renewals`]), with each device's turn: a restart loses nothing,
//! and of several replicas the one that has the lease tells. A command is no secret and no proof: a device that gets
//! one asks this server, over TLS, for a certificate that it would get anyway. Whether the device was reached does
//! not matter in the end, because the renewal stays wanted until a newer certificate is there.

mod identity;
mod link;
mod online;
mod place;
mod teller;
#[cfg(test)]
mod tests;

pub(crate) use identity::common_name;
pub use identity::{CLIENT_NAME, IdentityError};
pub(crate) use identity::{Identity, certified};
pub(crate) use teller::{Teller, TellerParts};

/// What a device is told.
const RENEW: &[u8] = br#"{"command":"renew"}"#;
