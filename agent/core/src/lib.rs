//! The device agent without an operating system: lifecycle, flows, evidence, strict X.509.
//!
//! The core names no runtime, no TLS library and no board. A Linux daemon and bare-metal firmware implement the
//! traits of [`platform`] and hand them to [`flow`], which carries out what [`lifecycle`] decides.

#![no_std]
#![forbid(unsafe_code)]

pub mod platform;
pub mod x509;
