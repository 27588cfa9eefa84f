//! Adapters that every bare-metal board shares: TLS 1.3, HTTP, MQTT 5 and records in NOR flash.
//!
//! They implement the traits of [`agent_core::platform`] over what a board has anyway: a byte stream
//! ([`net::Connector`]), a random generator and a NOR flash. A board brings those and a time driver for
//! [`embassy_time`], and nothing else:
//!
//! | trait of the core | adapter |
//! |---|---|
//! | `Transport` | [`http::Https`] |
//! | `Broker` | [`mqtt::Mqtt`] |
//! | `Storage` | [`flash::FlashStorage`] |
//! | `KeyWrap` | [`wrap::Wrapped`], over the chip's cipher |
//!
//! What the factory writes is in [`layout`], [`provision`] and [`custody`].
//!
//! There is no allocator, no `unsafe` and no thread here. All buffers are handed in by the caller.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "sim"))]
extern crate std;

pub mod custody;
pub mod flash;
pub mod http;
pub mod layout;
pub mod mqtt;
pub mod net;
pub mod provision;
pub mod tls;
pub mod wrap;
