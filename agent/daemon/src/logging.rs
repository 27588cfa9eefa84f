//! Sets up the log of the process: to standard error, for people or as JSON, in colour only on a terminal.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{Log, LogFormat, LogLevel};

/// Sets up the log; once in a process.
///
/// # Errors
/// Where the process has a log already.
pub fn set_up(log: Log) -> Result<(), TryInitError> {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    // Libraries say more than an operator wants to read, and nobody has checked it for secrets.
    let ours = Targets::new().with_target("agent", level).with_default(LevelFilter::OFF);
    // journald stamps each line itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let writer = std::io::stderr;
    let layer = match (log.format, journal) {
        (LogFormat::Json, _) => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        (LogFormat::Text, true) => {
            fmt::layer().without_time().with_target(false).with_ansi(false).with_writer(writer).boxed()
        }
        (LogFormat::Text, false) => fmt::layer()
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(writer)
            .boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(ours)).try_init()
}
