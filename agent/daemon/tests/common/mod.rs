//! What the tests of this crate share: certificates, a TLS server that misbehaves on request, Mosquitto.
#![allow(dead_code, reason = "each test uses its part")]

pub mod enrollment;
pub mod mosquitto;
pub mod pki;
pub mod server;
