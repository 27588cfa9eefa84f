//! The demonstration's MQTT 5 broker, with mutual TLS.
//!
//! `rumqttd` does the routing, on a loopback port that wants a secret. In front of it stands a guard of our own:
//! TLS 1.3 with a client certificate of the issuing CA, held against the CRL; the MQTT client identifier must be
//! the certificate's common name; a device publishes and subscribes below `devices/ID/` only, last will
//! included; a session whose certificate is revoked or ends is cut. What the guard does not understand it does
//! not let through.
//!
//! It is a broker for demonstrations and tests, in memory and on one machine: it keeps no session over a
//! restart, measures no rates and has no cluster. Use a real broker for real devices.

mod acl;
mod admin;
mod config;
mod listener;
mod packets;
mod peer;
mod registry;
mod revocation;
mod session;
mod tls;
mod trial;
mod upstream;

pub use admin::{Admin, AdminError, Seen};
pub use config::{Arrival, BrokerConfig, BrokerError, Limits, Timekeeper};
pub use listener::{Broker, OperatorDoor};
pub use revocation::CrlError;
pub use session::{Ended, Event};
pub use trial::admitted_topics;
