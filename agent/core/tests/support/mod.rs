//! A world in memory for whole flows: storage that loses power, a server that verifies what it is sent, a broker
//! that checks possession of the key, and time that passes only when someone waits.

#![allow(unreachable_pub, unused_qualifications, reason = "shared by several test targets")]
#![allow(dead_code, reason = "each test target uses its own part of the support")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed set-up fails the test")]
#![allow(clippy::indexing_slicing, reason = "a failed set-up fails the test")]

pub mod broker;
pub mod pki;
pub mod server;
pub mod storage;
pub mod world;
