//! What the tests of this crate share: certificates, a TLS server that misbehaves on request, Mosquitto.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod enrollment;
pub(crate) mod impostor;
pub(crate) mod mosquitto;
pub(crate) mod pki;
pub(crate) mod server;
pub(crate) mod world;
