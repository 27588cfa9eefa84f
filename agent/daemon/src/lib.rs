//! The device agent as a Linux daemon, and as a library for programs that run it in-process.
//!
//! The core decides; this crate gives it files, TLS, MQTT, a clock and a service manager. [`run`] is what
//! `agent run` does.

#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod exit;
pub mod export;
pub mod heartbeat;
pub mod hook;
mod in_use;
pub mod keystore;
pub mod live;
pub mod logging;
pub mod mqtt;
pub mod observer;
pub mod owner;
mod pem;
pub mod provision;
pub mod proxy;
pub mod startup;
pub mod state_dir;
pub mod storage;
pub mod systemd;
mod tls;
pub mod transport;
mod wipe;

pub use config::Config;
pub use startup::{StartError, Surroundings, Tap, enroll, renew, reset, run, run_with, status};
