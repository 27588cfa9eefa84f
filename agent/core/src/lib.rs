//! The device agent without an operating system: lifecycle, flows, evidence, strict X.509.
//!
//! The core names no runtime, no TLS library and no board. A Linux daemon and bare-metal firmware implement the
//! traits of [`platform`] and hand them to [`flow`], which carries out what [`lifecycle`] decides.

#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait, reason = "all futures of a device run on one task; none has to be Send")]

pub mod apart;
pub mod csr;
pub mod evidence;
pub mod flow;
pub mod keystore;
pub mod lifecycle;
pub mod platform;
pub mod slots;
pub mod trust;
pub mod x509;

/// Version of this agent, as it stands in the status a device publishes.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");
