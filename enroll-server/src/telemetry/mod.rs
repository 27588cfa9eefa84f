//! Log, metrics, traces.

mod family;
mod gauges;
mod metrics;
mod on_disk;
mod page;
mod process;
pub(crate) mod traces;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use crate::config::{self, Log};
use traces::spans::TARGET;

pub use family::{FAMILIES, Family, Kind};
pub use gauges::Gauges;
pub use metrics::{Metrics, Timer};
pub use on_disk::{Found, OnDisk};
pub use process::Process;
pub use traces::{HeadersError, SpanCounts, TracesError, spans::ATTRIBUTES};

/// Log and traces of this process, while it runs.
#[derive(Debug)]
pub struct Telemetry(Option<traces::Exporting>);

impl Telemetry {
    /// Sends the log of this process to standard error, and spans to the collector where the settings name one. A program
    /// that has a subscriber of its own does not call this. `RUST_LOG`, where it is set, takes the place of the filter.
    ///
    /// # Errors
    /// Where traces are wanted and cannot be sent.
    pub fn start(log: &Log, traces: Option<&config::Traces>, runtime: Handle) -> Result<Self, TracesError> {
        let exporting = traces.map(|traces| traces::Exporting::start(traces, runtime)).transpose()?;
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&log.filter));
        let no_span = filter_fn(|metadata| metadata.target() != TARGET);
        let ansi = io::stderr().is_terminal();
        let set = match &exporting {
            // Filters of the whole: whether a span is wanted is decided once, where it is made.
            None if log.json => {
                let lines = fmt::layer().with_writer(io::stderr).with_ansi(ansi).json();
                registry().with(no_span).with(filter).with(lines).try_init()
            }
            None => {
                let lines = fmt::layer().with_writer(io::stderr).with_ansi(ansi);
                registry().with(no_span).with(filter).with(lines).try_init()
            }
            // Each takes its own: no line goes to the collector, no span into the log.
            Some(exporting) => {
                let lines = fmt::layer().with_writer(io::stderr).with_ansi(ansi);
                let lines = if log.json { lines.json().boxed() } else { lines.boxed() };
                let spans = tracing_opentelemetry::layer()
                    .with_tracer(exporting.tracer())
                    .with_location(false)
                    .with_threads(false)
                    .with_target(false)
                    .with_tracked_inactivity(false)
                    .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET));
                registry().with(lines.with_filter(filter).with_filter(no_span)).with(spans).try_init()
            }
        };
        if let Err(error) = set {
            tracing::debug!(%error, "another subscriber is there already");
        }
        Ok(Self(exporting))
    }

    /// What becomes of spans, where they are sent.
    #[must_use]
    pub fn spans(&self) -> Option<Arc<SpanCounts>> {
        self.0.as_ref().map(traces::Exporting::counts)
    }

    /// Sends what is left. Not to be called from within the runtime, which has to be there still.
    pub fn stop(self) {
        if let Some(exporting) = self.0 {
            exporting.stop();
        }
    }
}
