//! What lies between a span's end and the collector: a queue with an end, and counters.
//!
//! Whoever ends a span waits for nothing: what does not fit is dropped and counted.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    waiting: AtomicUsize,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Whether the last attempt failed, so that a change is told once.
    failing: AtomicBool,
}

impl SpanCounts {
    /// Each outcome by its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("sent", count(&self.sent)), ("failed", count(&self.failed)), ("dropped", count(&self.dropped))]
    }

    /// Whether there is room for one more.
    fn enter(&self, most: usize) -> bool {
        let more = |waiting: usize| (waiting < most).then(|| waiting.saturating_add(1));
        let entered = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !entered {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    fn leave(&self, spans: usize, sent: bool) {
        let less = |waiting: usize| Some(waiting.saturating_sub(spans));
        let _always = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        let counter = if sent { &self.sent } else { &self.failed };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
        if self.failing.swap(!sent, Ordering::Relaxed) == sent {
            if sent {
                tracing::info!("the collector takes spans again");
            } else {
                tracing::warn!("the collector did not take spans; they are lost, and the next are tried");
            }
        }
    }
}

/// Hands spans on as long as no more than so many wait.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    pub(super) inner: P,
    pub(super) counts: Arc<SpanCounts>,
    pub(super) most: usize,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.counts.enter(self.most) {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what was sent.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) inner: E,
    pub(super) counts: Arc<SpanCounts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let done = self.inner.export(batch).await;
        self.counts.leave(spans, done.is_ok());
        done
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
