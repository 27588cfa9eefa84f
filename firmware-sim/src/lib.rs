//! Devices without hardware: a factory that makes identities, simulated devices with NOR flash in a file, whole
//! fleets, an MQTT broker to talk to, and the demonstration that puts everything together.
//!
//! For development, demonstrations and tests. Nothing here protects a real device.

#![forbid(unsafe_code)]

pub mod bench;
pub mod board;
pub mod broker;
pub mod chance;
pub mod cli;
pub mod demo;
pub mod device;
pub mod dice;
pub mod factory;
pub mod faults;
pub mod flash;
pub mod fleet;
pub mod progress;
pub mod psa;
pub mod qemu;
pub mod rollover;
pub mod stage;
pub mod storm;
mod workplace;
pub mod year;
