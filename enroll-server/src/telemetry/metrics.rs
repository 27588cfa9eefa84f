//! What is counted while the server runs.
//!
//! Labels come from fixed sets only, never from a request: nobody on the network makes them grow.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::Reject;
use tokio::time::Instant;

use super::family::{self as families, Family};
use super::gauges::Gauges;
use super::page::Page;
use crate::admission::{Busy, Full};

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str, &'static str), u64>>,
    durations: Mutex<BTreeMap<&'static str, Histogram>>,
    open: AtomicU64,
    accepted: AtomicU64,
    turned_away: [AtomicU64; Full::ALL.len()],
    told_to_come_again: [AtomicU64; Busy::ALL.len()],
    handshakes_failed: AtomicU64,
    renewed_in_grace: AtomicU64,
    mqtt_taken: AtomicU64,
    mqtt_failed: AtomicU64,
    /// By broker. Their names come from the settings and the policies, so there are few.
    mqtt_connected: Mutex<BTreeMap<String, bool>>,
    policies_taken: AtomicU64,
    policies_broken: AtomicU64,
    policies_are_broken: AtomicBool,
}

/// Upper bounds of the histogram, in milliseconds.
const BOUNDS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];

#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

/// A connection that is open for as long as this lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Measures one request.
#[derive(Debug)]
pub struct Timer<'m> {
    metrics: &'m Metrics,
    endpoint: &'static str,
    begun: Instant,
}

impl Timer<'_> {
    /// The request was served.
    pub fn done(self) {
        let took = self.begun.elapsed();
        let mut durations = self.metrics.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = durations.entry(self.endpoint).or_default();
        for (bucket, bound) in histogram.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(took <= Duration::from_millis(bound));
        }
        histogram.count += 1;
        histogram.sum += took;
    }
}

impl Metrics {
    /// Begins to measure a request.
    pub fn time(&self, endpoint: &'static str) -> Timer<'_> {
        Timer { metrics: self, endpoint, begun: Instant::now() }
    }

    /// Counts a request that was served.
    pub fn served(&self, endpoint: &'static str, outcome: &'static str) {
        self.count(endpoint, outcome, "");
    }

    /// Counts a request that was refused.
    pub fn refused(&self, endpoint: &'static str, reject: Reject) {
        self.count(endpoint, "refused", reject.name());
    }

    fn count(&self, endpoint: &'static str, outcome: &'static str, reason: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((endpoint, outcome, reason)).or_insert(0) += 1;
    }

    /// Counts a change of the policy files: taken over, or with mistakes.
    pub(crate) fn policies_loaded(&self, taken: bool) {
        let counter = if taken { &self.policies_taken } else { &self.policies_broken };
        counter.fetch_add(1, Ordering::Relaxed);
        self.policies_are_broken.store(!taken, Ordering::Relaxed);
    }

    /// Counts a renewal with a certificate that had ended.
    pub(crate) fn renewed_in_grace(&self) {
        self.renewed_in_grace.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a command that a broker took for a device, or did not.
    pub(crate) fn mqtt_command(&self, taken: bool) {
        let counter = if taken { &self.mqtt_taken } else { &self.mqtt_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes whether this server is connected to a broker; `None`: it is none of its business.
    pub(crate) fn mqtt_connected(&self, broker: &str, connected: Option<bool>) {
        let mut brokers = self.mqtt_connected.lock().unwrap_or_else(PoisonError::into_inner);
        match connected {
            Some(connected) => drop(brokers.insert(broker.to_owned(), connected)),
            None => drop(brokers.remove(broker)),
        }
    }

    pub(crate) fn connected(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Counts a connection that was closed at once.
    pub(crate) fn turned_away(&self, full: Full) {
        for (known, counter) in Full::ALL.iter().zip(&self.turned_away) {
            counter.fetch_add(u64::from(*known == full), Ordering::Relaxed);
        }
    }

    /// Counts a request whose client was told to come again.
    pub(crate) fn told_to_come_again(&self, busy: Busy) {
        for (known, counter) in Busy::ALL.iter().zip(&self.told_to_come_again) {
            counter.fetch_add(u64::from(*known == busy), Ordering::Relaxed);
        }
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        page.family(&families::INFO);
        page.sample(&families::INFO, &[env!("CARGO_PKG_VERSION")], 1);
        page.family(&families::REQUESTS);
        for ((endpoint, outcome, reason), count) in
            &*self.requests.lock().unwrap_or_else(PoisonError::into_inner)
        {
            page.sample(&families::REQUESTS, &[endpoint, outcome, reason], count);
        }
        self.render_durations(&mut page);
        let mut single = |family: &Family, counter: &AtomicU64| page.single(family, value(counter));
        single(&families::RENEWALS_IN_GRACE, &self.renewed_in_grace);
        single(&families::CONNECTIONS_OPEN, &self.open);
        single(&families::CONNECTIONS, &self.accepted);
        single(&families::HANDSHAKES_FAILED, &self.handshakes_failed);
        self.render_turned_away(&mut page);
        self.render_mqtt(&mut page);
        self.render_policies(&mut page);
        gauges.render(&mut page);
        page.finish()
    }

    fn render_turned_away(&self, page: &mut Page) {
        page.family(&families::CONNECTIONS_TURNED_AWAY);
        for (full, counter) in Full::ALL.iter().zip(&self.turned_away) {
            page.sample(&families::CONNECTIONS_TURNED_AWAY, &[full.name()], value(counter));
        }
        page.family(&families::REQUESTS_TURNED_AWAY);
        for (busy, counter) in Busy::ALL.iter().zip(&self.told_to_come_again) {
            page.sample(&families::REQUESTS_TURNED_AWAY, &[busy.name()], value(counter));
        }
    }

    fn render_mqtt(&self, page: &mut Page) {
        let brokers = self.mqtt_connected.lock().unwrap_or_else(PoisonError::into_inner);
        if brokers.is_empty() {
            return;
        }
        page.family(&families::MQTT_CONNECTED);
        for (broker, connected) in &*brokers {
            page.sample(&families::MQTT_CONNECTED, &[broker], u8::from(*connected));
        }
        page.family(&families::MQTT_COMMANDS);
        for (outcome, counter) in [("taken", &self.mqtt_taken), ("failed", &self.mqtt_failed)] {
            page.sample(&families::MQTT_COMMANDS, &[outcome], value(counter));
        }
    }

    fn render_policies(&self, page: &mut Page) {
        page.family(&families::POLICY_CHANGES);
        for (outcome, counter) in [("taken", &self.policies_taken), ("broken", &self.policies_broken)] {
            page.sample(&families::POLICY_CHANGES, &[outcome], value(counter));
        }
        let broken = self.policies_are_broken.load(Ordering::Relaxed);
        page.single(&families::POLICY_BROKEN, u8::from(broken));
    }

    fn render_durations(&self, page: &mut Page) {
        let family = &families::REQUEST_SECONDS;
        page.family(family);
        for (endpoint, histogram) in &*self.durations.lock().unwrap_or_else(PoisonError::into_inner) {
            for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
                let bound = seconds(Duration::from_millis(*bound));
                page.part((family, "_bucket"), &[endpoint], Some(&bound), count);
            }
            page.part((family, "_bucket"), &[endpoint], Some("+Inf"), histogram.count);
            page.part((family, "_sum"), &[endpoint], None, seconds(histogram.sum));
            page.part((family, "_count"), &[endpoint], None, histogram.count);
        }
    }
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::super::gauges::tests::gauges;
    use super::{Gauges, Metrics};
    use crate::admission::Load;
    use crate::transparency_log::Status;
    use shared::Reject;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_page_is_in_the_text_format() {
        let metrics = Arc::new(Metrics::default());
        let _open = metrics.connected();
        metrics.served("enroll", "issued");
        metrics.refused("enroll", Reject::UnknownMaker);
        metrics.time("enroll").done();
        let page = metrics.render(&Gauges {
            log: Status::Good { size: 7 },
            load: Load { handshakes: 3, ..Load::default() },
            ..gauges()
        });
        assert!(page.contains(
            "enroll_requests_total{endpoint=\"enroll\",outcome=\"refused\",reason=\"unknown-maker\"} 1\n"
        ));
        assert!(page.contains("enroll_request_seconds_bucket{endpoint=\"enroll\",le=\"+Inf\"} 1\n"));
        assert!(page.contains("enroll_request_seconds_bucket{endpoint=\"enroll\",le=\"0.001000\"} 1\n"));
        assert!(page.contains("enroll_connections_open 1\n"));
        assert!(page.contains("enroll_handshakes_open 3\n"));
        assert!(page.contains("enroll_connections_turned_away_total{reason=\"address\"} 0\n"));
        assert!(page.contains("enroll_requests_turned_away_total{reason=\"rate\"} 0\n"));
        assert!(page.contains("enroll_log_good 1\n") && page.contains("enroll_log_size 7\n"));
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
