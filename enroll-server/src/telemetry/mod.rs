//! Log and metrics.

mod metrics;
mod webhooks;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::Log;

pub use metrics::{Gauges, Metrics, Timer};

/// Sends the log of this process to standard error. A program that has a subscriber of its own does not call
/// this. `RUST_LOG`, where it is set, takes the place of the filter.
pub fn init(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    let set = if log.json { builder.json().try_init() } else { builder.try_init() };
    if let Err(error) = set {
        tracing::debug!(error, "another subscriber is there already");
    }
}
