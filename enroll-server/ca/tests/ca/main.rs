//! The CA as a whole: what it signs, what it refuses, and what openssl makes of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod bundle;
mod crl;
mod cross;
mod hostile_csrs;
mod limits;
mod ocsp;
mod openssl;
mod profile_peers;
mod profiles;
mod support;
