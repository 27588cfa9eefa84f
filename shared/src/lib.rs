//! What a device and the enrollment server must agree on: identifiers, time, size limits, error codes, the
//! wire messages in CBOR (RFC 8949) and the evidence format (EAT, RFC 9711, in COSE_Sign1 or COSE_Mac0, RFC 9052).
//!
//! `no_std`, no allocator, no cryptography of its own: signatures are made and checked by the caller, over
//! bytes that this crate defines. Nothing here decides whether evidence is good; that is the `appraisal` crate.

#![no_std]
#![forbid(unsafe_code)]

pub mod codec;
pub mod cose;
pub mod endpoint;
pub mod evidence;
pub mod id;
pub mod keytext;
pub mod limits;
pub mod message;
#[cfg(feature = "plants")]
pub mod plant;
pub mod reject;
pub mod time;
pub mod tokentext;
pub mod tpm2;

pub use id::DeviceId;
pub use reject::Reject;
pub use time::UnixTime;
