//! Every span there is, and all that spans say: attributes come from here and from nowhere else.
//!
//! None of them takes a header, a body, a token, a key or an address. Identifiers of devices are the most that is told
//! of anyone. Where traces are off, a span costs the look at one flag.

use axum::http::{HeaderMap, StatusCode};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use shared::DeviceId;
use tracing::field::{Empty, display};
use tracing::{Level, Span, span_enabled, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of all spans, by which the log leaves them out and the exporter takes them.
pub(in crate::telemetry) const TARGET: &str = "enroll_server::spans";

/// All attributes, as the manual lists them.
pub const ATTRIBUTES: &[(&str, &str)] = &[
    ("http.request.method", "GET or POST"),
    ("http.route", "the path with {device} and the like in the place of what was asked for"),
    ("http.response.status_code", "the status of the answer; of a webhook, the receiver's"),
    ("enroll.device", "the identifier of the device that asks"),
    ("enroll.outcome", "issued, pending, confirmed, or the name of the refusal"),
    ("db.operation.name", "what the store was asked for, such as record or complete"),
    ("enroll.webhook", "the webhook's name in the settings"),
    ("enroll.message", "the identifier of the message that is delivered"),
];

/// Whether anyone takes spans.
pub(crate) fn on() -> bool {
    span_enabled!(target: TARGET, Level::TRACE)
}

/// A request to a route; `name` is its method and its route.
pub(crate) fn request(name: &str, method: &'static str, route: &'static str) -> Span {
    trace_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        enroll.device = Empty,
        enroll.outcome = Empty,
    )
}

/// Makes the span of a request a part of the trace that its headers name (W3C Trace Context), if they do.
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    let propagator = TraceContextPropagator::new();
    let context = propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
    if context.span().span_context().is_valid() {
        // It has not begun yet, and where there is no layer nothing is followed.
        let _began = span.set_parent(context).is_err();
    }
}

/// Ends what is told of an exchange.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    // A signed number: an unsigned one would be sent as text.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Tells the span of this request whose it is and what became of it.
pub(crate) fn about(device: Option<&DeviceId>, outcome: &'static str) {
    if !on() {
        return;
    }
    let span = Span::current();
    if let Some(device) = device {
        span.record("enroll.device", display(device));
    }
    span.record("enroll.outcome", outcome);
}

/// The trace that this is a part of, for lines of the log. To be called before the line is begun: what asks for spans
/// within the arguments of a line is asked by a subscriber that is at work already, and the line is lost.
pub(crate) fn trace() -> Option<impl tracing::Value> {
    if !on() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_sampled().then(|| display(context.trace_id()))
}

/// The judgement of evidence.
pub(crate) fn appraisal() -> Span {
    trace_span!(target: TARGET, "appraise")
}

/// The signature of a certificate, its lint included.
pub(crate) fn signing() -> Span {
    trace_span!(target: TARGET, "sign", otel.status_code = Empty)
}

/// A call of the store. `work` is the type of what it runs, which the compiler names after the function it stands in.
pub(crate) fn store<W>() -> Span {
    let operation = operation(core::any::type_name::<W>());
    trace_span!(
        target: TARGET,
        "store",
        otel.name = format!("store {operation}"),
        otel.kind = "client",
        otel.status_code = Empty,
        db.operation.name = operation,
    )
}

/// The delivery of an event to a webhook.
pub(crate) fn delivery(webhook: &str, message: &str) -> Span {
    trace_span!(
        target: TARGET,
        "webhook",
        otel.kind = "client",
        otel.status_code = Empty,
        enroll.webhook = webhook,
        enroll.message = message,
        http.response.status_code = Empty,
    )
}

/// Says of a span that its work failed. Why is told in the log.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// The planted bug that the test of what spans say has to find.
#[cfg(any(test, feature = "plants"))]
pub(crate) fn planted(span: &Span, headers: &HeaderMap) {
    let token = headers.get(axum::http::header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    span.set_attribute("http.request.header.authorization", token.unwrap_or_default().to_owned());
}

/// The function's name in `crate::module::function::{{closure}}`. Names of types are no promise of the compiler's; this
/// one is only shown.
fn operation(of: &str) -> &str {
    let outer = of.split('<').next_back().unwrap_or(of);
    let path = if outer.contains('>') { outer.rsplit_once('>').map_or(outer, |(_, path)| path) } else { of };
    let names = path.split("::").filter(|name| !name.is_empty() && !name.contains('{'));
    names.last().unwrap_or("call")
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn a_call_of_the_store_is_named_after_its_function() {
        for (of, name) in [
            ("enroll_server::store::sql::inventory::makers", "makers"),
            (
                "<enroll_server::store::sql::SqlStore as enroll_server::store::Store>::record::{{closure}}",
                "record",
            ),
            ("enroll_server::store::sql::SqlStore::close::{{closure}}::{{closure}}", "close"),
            ("{{closure}}", "call"),
        ] {
            assert_eq!(operation(of), name, "{of}");
        }
    }
}
