//! Traces for an OpenTelemetry collector (OTLP over HTTP, protobuf). Off unless the settings name one.
//!
//! Spans go to the collector and to nothing else, lines of the log never do. A collector that is slow or gone costs a
//! queue of bounded size, and a thread that waits for it.

mod collector;
mod headers;
mod pipeline;
pub(crate) mod spans;

use core::time::Duration;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanLimits, Tracer,
};
use tokio::runtime::Handle;

use crate::config;
use crate::outgoing::{Anchors, AnchorsError, Outgoing};
use crate::random;
use collector::Collector;
use pipeline::{Bounded, Counted};

pub use headers::HeadersError;
pub use pipeline::SpanCounts;

/// Most spans of one post.
const BATCH: usize = 512;
/// How long spans wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the last ones.
const LAST: Duration = Duration::from_secs(3);

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The headers cannot be used.
    #[error("traces.headers_file cannot be used")]
    Headers(#[from] HeadersError),
    /// The CA certificates cannot be used.
    #[error("traces.ca_file cannot be used")]
    Anchors(#[from] AnchorsError),
    /// The exporter does not take its settings.
    #[error("the exporter of traces cannot be made")]
    Exporter(#[from] ExporterBuildError),
}

/// What sends spans.
#[derive(Debug)]
pub(super) struct Exporting {
    provider: SdkTracerProvider,
    counts: Arc<SpanCounts>,
}

impl Exporting {
    /// Begins; `runtime` has to live as long.
    pub(super) fn start(settings: &config::Traces, runtime: Handle) -> Result<Self, TracesError> {
        let headers = settings.headers_file.as_deref().map(headers::read).transpose()?.unwrap_or_default();
        let anchors = settings.ca_file.clone().map_or(Anchors::System, Anchors::File);
        let client = Outgoing::new(&anchors, settings.timeout)?;
        let collector = Collector::new(settings.collector.clone(), headers, client, runtime);
        let exporter = SpanExporter::builder().with_http().with_http_client(collector).build()?;
        let counts = Arc::new(SpanCounts::default());
        let exporter = Counted { inner: exporter, counts: Arc::clone(&counts) };
        let batch = BatchConfigBuilder::default()
            // Its own bound is never met: ours is the smaller one, and counts.
            .with_max_queue_size(settings.queue.saturating_add(BATCH))
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY);
        let inner = BatchSpanProcessor::builder(exporter).with_batch_config(batch.build()).build();
        let processor = Bounded { inner, counts: Arc::clone(&counts), most: settings.queue };
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio))))
            .with_span_limits(SpanLimits { max_attributes_per_span: 16, ..SpanLimits::default() })
            .with_resource(resource())
            .build();
        Ok(Self { provider, counts })
    }

    /// What makes spans.
    pub(super) fn tracer(&self) -> Tracer {
        self.provider.tracer("enroll-server")
    }

    /// What became of them.
    pub(super) fn counts(&self) -> Arc<SpanCounts> {
        Arc::clone(&self.counts)
    }

    /// Sends what is left, within a few seconds.
    pub(super) fn stop(self) {
        if self.provider.shutdown_with_timeout(LAST).is_err() {
            tracing::warn!("the last spans of traces could not be sent");
        }
    }
}

/// Who sends. Replicas are told apart by a name made at the start.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let instance = KeyValue::new("service.instance.id", random::name());
    Resource::builder_empty().with_service_name("enroll-server").with_attributes([version, instance]).build()
}
