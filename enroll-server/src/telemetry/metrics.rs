//! Counters and gauges in the text format of Prometheus.
//!
//! Labels come from fixed sets only, never from a request: nobody on the network makes them grow.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::{Reject, UnixTime};
use tokio::time::Instant;

use super::webhooks;
use crate::admission::{Busy, Full, Load};
use crate::revocation::Revocations;
use crate::rollover::Step;
use crate::store::{Counts, Spread, WantedCounts};
use crate::transparency_log::Status;
use crate::webhook::Standing;

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

/// What is looked up when the metrics are read.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The time now.
    pub now: UnixTime,
    /// Devices and certificates by state; `None` where the store does not answer.
    pub counts: Option<Counts>,
    /// Renewals that are wanted; `None` where the store does not answer.
    pub renewals: Option<WantedCounts>,
    /// How the webhooks stand.
    pub webhooks: Vec<Standing>,
    /// The revocation list that is out.
    pub revocations: Arc<Revocations>,
    /// How the log of what was issued stands.
    pub log: Status,
    /// Where living devices are, and how far a rollover is; `None` where the store does not answer.
    pub spread: Option<(Spread, Option<Step>)>,
    /// How much there is of what is limited.
    pub load: Load,
    /// The last second of the issuing CA.
    pub ca_not_after: UnixTime,
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
        page.family(
            "enroll_requests_total",
            "counter",
            "Requests by endpoint, outcome and reason of refusal.",
        );
        for ((endpoint, outcome, reason), count) in
            &*self.requests.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let labels = [("endpoint", *endpoint), ("outcome", *outcome), ("reason", *reason)];
            page.sample("enroll_requests_total", &labels, *count);
        }
        self.render_durations(&mut page);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.single("enroll_connections_open", "gauge", "Connections open now.", load(&self.open));
        page.single("enroll_connections_total", "counter", "Connections accepted.", load(&self.accepted));
        self.render_admission(&mut page, &gauges.load);
        let failed = load(&self.handshakes_failed);
        page.single("enroll_tls_handshakes_failed_total", "counter", "TLS handshakes that failed.", failed);
        let help = "Renewals with a certificate that had ended, within the policy's grace.";
        page.single("enroll_renewals_in_grace_total", "counter", help, load(&self.renewed_in_grace));
        self.render_mqtt(&mut page);
        self.render_policies(&mut page);
        render_gauges(&mut page, gauges);
        page.0
    }

    fn render_admission(&self, page: &mut Page, load: &Load) {
        let name = "enroll_connections_turned_away_total";
        page.family(name, "counter", "Connections closed at once, by the limit that they met.");
        for (full, counter) in Full::ALL.iter().zip(&self.turned_away) {
            page.sample(name, &[("reason", full.name())], counter.load(Ordering::Relaxed));
        }
        let name = "enroll_requests_turned_away_total";
        page.family(name, "counter", "Requests told to come again, by the limit that they met.");
        for (busy, counter) in Busy::ALL.iter().zip(&self.told_to_come_again) {
            page.sample(name, &[("reason", busy.name())], counter.load(Ordering::Relaxed));
        }
        let Load { connections, handshakes, requests, bodies } = load;
        let help = "What limits.connections counts: connections of the listeners that speak TLS.";
        page.single("enroll_places_taken", "gauge", help, connections);
        page.single("enroll_handshakes_open", "gauge", "TLS handshakes under way.", handshakes);
        page.single("enroll_requests_open", "gauge", "Requests under way.", requests);
        page.single("enroll_bodies_bytes", "gauge", "Bytes of bodies on their way, as announced.", bodies);
    }

    fn render_mqtt(&self, page: &mut Page) {
        let brokers = self.mqtt_connected.lock().unwrap_or_else(PoisonError::into_inner);
        if brokers.is_empty() {
            return;
        }
        let name = "enroll_mqtt_connected";
        page.family(name, "gauge", "Whether this server is connected to a broker, to tell devices.");
        for (broker, connected) in &*brokers {
            page.sample(name, &[("broker", broker)], u8::from(*connected));
        }
        let name = "enroll_mqtt_commands_total";
        page.family(name, "counter", "Commands for devices, by whether the broker has whom to hand them to.");
        for (outcome, counter) in [("taken", &self.mqtt_taken), ("failed", &self.mqtt_failed)] {
            page.sample(name, &[("outcome", outcome)], counter.load(Ordering::Relaxed));
        }
    }

    fn render_policies(&self, page: &mut Page) {
        let name = "enroll_policy_changes_total";
        page.family(name, "counter", "Changes of the policy files since the start, by what became of them.");
        for (outcome, counter) in [("taken", &self.policies_taken), ("broken", &self.policies_broken)] {
            page.sample(name, &[("outcome", outcome)], counter.load(Ordering::Relaxed));
        }
        let help = "1 while the policy files have mistakes, and older policies are in force.";
        let broken = u8::from(self.policies_are_broken.load(Ordering::Relaxed));
        page.single("enroll_policy_broken", "gauge", help, broken);
    }

    fn render_durations(&self, page: &mut Page) {
        let name = "enroll_request_seconds";
        page.family(name, "histogram", "Time from the request's body to its answer, of requests served.");
        for (endpoint, histogram) in &*self.durations.lock().unwrap_or_else(PoisonError::into_inner) {
            for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
                let bound = seconds(Duration::from_millis(*bound));
                page.sample(&format!("{name}_bucket"), &[("endpoint", *endpoint), ("le", &bound)], count);
            }
            let count = histogram.count;
            page.sample(&format!("{name}_bucket"), &[("endpoint", *endpoint), ("le", "+Inf")], count);
            page.sample(&format!("{name}_sum"), &[("endpoint", *endpoint)], seconds(histogram.sum));
            page.sample(&format!("{name}_count"), &[("endpoint", *endpoint)], count);
        }
    }
}

fn render_gauges(page: &mut Page, gauges: &Gauges) {
    let list = &gauges.revocations;
    if let Some(root) = &list.root {
        let help = "When the root's revocation list runs out, in seconds since 1970.";
        page.single("enroll_root_crl_next_update_seconds", "gauge", help, root.list.next_update().as_secs());
    }
    page.single("enroll_crl_number", "gauge", "Number of the revocation list that is out.", list.number);
    page.single("enroll_crl_revoked", "gauge", "Certificates on the complete revocation lists.", list.len());
    page.single("enroll_crl_lists", "gauge", "Revocation lists that are out.", list.lists());
    let help = "Revocation lists that are still to be made for the first time.";
    page.single("enroll_crl_lists_missing", "gauge", help, list.missing);
    let help = "1 while revocation lists that are due cannot be made or written.";
    page.single("enroll_crl_failing", "gauge", help, u8::from(list.failing.is_some()));
    let help = "When the first of all revocation lists runs out, in seconds since 1970.";
    page.single("enroll_crl_first_end_seconds", "gauge", help, list.first_end.as_secs());
    let age = gauges.now.since(list.this_update).as_secs();
    page.single("enroll_crl_age_seconds", "gauge", "Age of the revocation list.", age);
    let help = "When the revocation list runs out, in seconds since 1970.";
    page.single("enroll_crl_next_update_seconds", "gauge", help, list.next_update.as_secs());
    let help = "When the issuing CA ends, in seconds since 1970.";
    page.single("enroll_ca_not_after_seconds", "gauge", help, gauges.ca_not_after.as_secs());
    let help = "1 while the log of what was issued gets checkpoints as it should.";
    page.single("enroll_log_good", "gauge", help, u8::from(gauges.log.check().is_ok()));
    if let Status::Good { size } = gauges.log {
        page.single("enroll_log_size", "gauge", "Leaves in the log's checkpoint that is out.", size);
    }
    webhooks::render(page, &gauges.webhooks, gauges.now);
    if let Some(renewals) = gauges.renewals {
        let help = "Renewals that an operator wants and that did not take place yet.";
        page.single("enroll_renewals_wanted", "gauge", help, renewals.wanted);
        let help = "Those of them whose device was not told through its broker.";
        page.single("enroll_renewals_untold", "gauge", help, renewals.untold);
    }
    if let Some((spread, step)) = &gauges.spread {
        page.family(
            "enroll_devices_trust",
            "gauge",
            "Living devices by the trust bundle they confirmed last; 0 is none.",
        );
        for (number, devices) in &spread.trust {
            let number = number.unwrap_or(0).to_string();
            page.sample("enroll_devices_trust", &[("bundle", number.as_str())], devices);
        }
        page.family(
            "enroll_certificates_live",
            "gauge",
            "Live certificates by the number of their issuing CA.",
        );
        for (issuer, live) in &spread.issuers {
            let issuer = issuer.to_string();
            page.sample("enroll_certificates_live", &[("issuer", issuer.as_str())], live);
        }
        page.family("enroll_ca_rollover", "gauge", "1 for the step that the rollover under way has come to.");
        for known in Step::ALL {
            let here = u8::from(*step == Some(known));
            page.sample("enroll_ca_rollover", &[("step", known.name())], here);
        }
    }
    let Some(counts) = &gauges.counts else { return };
    page.family("enroll_devices", "gauge", "Devices by state.");
    for (state, count) in &counts.devices {
        page.sample("enroll_devices", &[("state", state.name())], count);
    }
    page.family("enroll_certificates", "gauge", "Certificates by state.");
    for (state, count) in &counts.certificates {
        page.sample("enroll_certificates", &[("state", state.name())], count);
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

/// Text that grows. Writing to a `String` cannot fail.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl core::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl core::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let _infallible = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.0, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::{Gauges, Load, Metrics, Status};
    use shared::{Reject, UnixTime};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_page_is_in_the_text_format() {
        let metrics = Arc::new(Metrics::default());
        let _open = metrics.connected();
        metrics.served("enroll", "issued");
        metrics.refused("enroll", Reject::UnknownMaker);
        metrics.time("enroll").done();
        let now = UnixTime::from_secs(1_800_000_000);
        let page = metrics.render(&Gauges {
            now,
            counts: None,
            renewals: None,
            spread: None,
            webhooks: vec![],
            log: Status::Good { size: 7 },
            revocations: Arc::default(),
            load: Load { handshakes: 3, ..Load::default() },
            ca_not_after: now,
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
