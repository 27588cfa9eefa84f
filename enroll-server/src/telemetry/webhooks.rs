//! Gauges of webhooks. Their names come from the settings, so there are few.

use shared::UnixTime;

use super::metrics::Page;
use crate::webhook::Standing;

type Value = fn(&Standing, UnixTime) -> u64;

const FAMILIES: [(&str, &str, &str, Value); 5] = [
    ("enroll_webhook_delivered_total", "counter", "Events that the receiver took.", |webhook, _| {
        webhook.state.delivered
    }),
    ("enroll_webhook_failed_total", "counter", "Attempts that failed.", |webhook, _| webhook.state.failed),
    ("enroll_webhook_parked", "gauge", "Events that the receiver refused for good.", |webhook, _| {
        webhook.state.parked
    }),
    ("enroll_webhook_lag_events", "gauge", "Events that wait, counted up to 10000.", |webhook, _| {
        webhook.lag.events
    }),
    ("enroll_webhook_lag_seconds", "gauge", "Age of the oldest event that waits.", |webhook, now| {
        webhook.lag.oldest.map_or(0, |oldest| now.since(oldest).as_secs())
    }),
];

pub(super) fn render(page: &mut Page, webhooks: &[Standing], now: UnixTime) {
    if webhooks.is_empty() {
        return;
    }
    for (name, kind, help, value) in FAMILIES {
        page.family(name, kind, help);
        for webhook in webhooks {
            page.sample(name, &[("webhook", &webhook.state.name)], value(webhook, now));
        }
    }
}
