//! What is looked up when the metrics are read.

use std::sync::Arc;

use shared::UnixTime;

use super::family::{self as families, Family};
use super::on_disk::Found;
use super::page::Page;
use super::process::Process;
use super::traces::SpanCounts;
use crate::admission::Load;
use crate::revocation::Revocations;
use crate::rollover::Step;
use crate::store::{Counts, Day, LogHead, Spread, StoreLoad, WantedCounts};
use crate::transparency_log::Status;
use crate::webhook::Standing;

/// What is looked up.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The time now.
    pub now: UnixTime,
    /// The checks of `/readyz` by name, and whether each is good.
    pub checks: Vec<(&'static str, bool)>,
    /// The latest time in the newest events; `None` where there are none, or the store does not answer.
    pub latest: Option<UnixTime>,
    /// Devices and certificates by state; `None` where the store does not answer.
    pub counts: Option<Counts>,
    /// How many certificates end on which day; `None` where the store does not answer.
    pub endings: Option<Vec<(Day, u64)>>,
    /// Renewals that are wanted; `None` where the store does not answer.
    pub renewals: Option<WantedCounts>,
    /// Where living devices are, and how far a rollover is; `None` where the store does not answer.
    pub spread: Option<(Spread, Option<Step>)>,
    /// How the webhooks stand.
    pub webhooks: Vec<Standing>,
    /// The revocation list that is out.
    pub revocations: Arc<Revocations>,
    /// How the log of what was issued stands.
    pub log: Status,
    /// What the store has of the log; `None` where the store does not answer.
    pub log_head: Option<LogHead>,
    /// How busy the store is.
    pub store: StoreLoad,
    /// How much there is of what is limited.
    pub load: Load,
    /// The last second of the issuing CA.
    pub ca_not_after: UnixTime,
    /// The last second of the root above it.
    pub root_not_after: Option<UnixTime>,
    /// What stands in files.
    pub on_disk: Found,
    /// What the kernel says.
    pub process: Process,
    /// What became of the spans of traces, where there are any.
    pub spans: Option<Arc<SpanCounts>>,
}

/// The days of `enroll_certificates_ending`.
const DAYS: [(u64, &str); 4] = [(1, "1"), (7, "7"), (14, "14"), (30, "30")];

impl Gauges {
    pub(super) fn render(&self, page: &mut Page) {
        page.family(&families::CHECK_GOOD);
        for (check, good) in &self.checks {
            let name = check.to_ascii_lowercase().replace(' ', "-");
            page.sample(&families::CHECK_GOOD, &[&name], u8::from(*good));
        }
        self.render_load(page);
        self.render_fleet(page);
        self.render_authorities(page);
        self.render_lists(page);
        self.render_log(page);
        self.render_store(page);
        self.render_webhooks(page);
        self.render_process(page);
    }

    fn render_load(&self, page: &mut Page) {
        let Load { connections, handshakes, requests, bodies } = self.load;
        page.single(&families::PLACES_TAKEN, connections);
        page.single(&families::HANDSHAKES_OPEN, handshakes);
        page.single(&families::REQUESTS_OPEN, requests);
        page.single(&families::BODIES_BYTES, bodies);
    }

    fn render_fleet(&self, page: &mut Page) {
        if let Some(counts) = &self.counts {
            page.family(&families::DEVICES);
            for (state, count) in &counts.devices {
                page.sample(&families::DEVICES, &[state.name()], count);
            }
            page.family(&families::CERTIFICATES);
            for (state, count) in &counts.certificates {
                page.sample(&families::CERTIFICATES, &[state.name()], count);
            }
        }
        if let Some(endings) = &self.endings {
            let today = Day::of(self.now);
            page.family(&families::CERTIFICATES_ENDING);
            for (days, label) in DAYS {
                let within = endings.iter().filter(|(day, _)| *day <= today.after(days));
                let count: u64 = within.map(|(_, count)| count).sum();
                page.sample(&families::CERTIFICATES_ENDING, &[label], count);
            }
        }
        if let Some(renewals) = self.renewals {
            page.single(&families::RENEWALS_WANTED, renewals.wanted);
            page.single(&families::RENEWALS_UNTOLD, renewals.untold);
        }
        if let Some((spread, step)) = &self.spread {
            page.family(&families::DEVICES_TRUST);
            for (number, devices) in &spread.trust {
                page.sample(&families::DEVICES_TRUST, &[&number.unwrap_or(0).to_string()], devices);
            }
            page.family(&families::CERTIFICATES_LIVE);
            for (issuer, live) in &spread.issuers {
                page.sample(&families::CERTIFICATES_LIVE, &[&issuer.to_string()], live);
            }
            page.family(&families::CA_ROLLOVER);
            for known in Step::ALL {
                page.sample(&families::CA_ROLLOVER, &[known.name()], u8::from(*step == Some(known)));
            }
        }
    }

    fn render_authorities(&self, page: &mut Page) {
        if let Some(latest) = self.latest {
            page.single(&families::CLOCK_BEHIND, latest.since(self.now).as_secs());
        }
        page.single(&families::CA_NOT_AFTER, self.ca_not_after.as_secs());
        if let Some(end) = self.root_not_after {
            page.single(&families::ROOT_NOT_AFTER, end.as_secs());
        }
        page.family(&families::TLS_NOT_BEFORE);
        for (name, begin, _) in &self.on_disk.certificates {
            page.sample(&families::TLS_NOT_BEFORE, &[name], begin.as_secs());
        }
        page.family(&families::TLS_NOT_AFTER);
        for (name, _, end) in &self.on_disk.certificates {
            page.sample(&families::TLS_NOT_AFTER, &[name], end.as_secs());
        }
    }

    fn render_lists(&self, page: &mut Page) {
        let list = &self.revocations;
        page.single(&families::CRL_NUMBER, list.number);
        page.single(&families::CRL_REVOKED, list.len());
        page.single(&families::CRL_LISTS, list.lists());
        page.single(&families::CRL_LISTS_MISSING, list.missing);
        page.single(&families::CRL_FAILING, u8::from(list.failing.is_some()));
        page.single(&families::CRL_FIRST_END, list.first_end.as_secs());
        page.single(&families::CRL_AGE, self.now.since(list.this_update).as_secs());
        page.single(&families::CRL_NEXT_UPDATE, list.next_update.as_secs());
        if let Some(end) = list.roots.first_end {
            page.single(&families::ROOT_CRL_NEXT_UPDATE, end.as_secs());
        }
    }

    fn render_log(&self, page: &mut Page) {
        page.single(&families::LOG_GOOD, u8::from(self.log.check().is_ok()));
        if let Status::Good { size } = self.log {
            page.single(&families::LOG_SIZE, size);
        }
        if let Some(head) = &self.log_head {
            page.single(&families::LOG_WAITING, head.leaves.saturating_sub(head.size));
        }
    }

    fn render_store(&self, page: &mut Page) {
        let StoreLoad { commits, waiting, queue } = self.store;
        page.single(&families::STORE_COMMITS, commits);
        page.single(&families::STORE_WAITING, waiting);
        page.single(&families::STORE_QUEUE, queue);
        let sizes = [
            (&families::STORE_BYTES, self.on_disk.store),
            (&families::STORE_MOST_BYTES, self.on_disk.store_most),
        ];
        known(page, &sizes);
    }

    fn render_webhooks(&self, page: &mut Page) {
        if self.webhooks.is_empty() {
            return;
        }
        for (family, value) in WEBHOOKS {
            page.family(family);
            for webhook in &self.webhooks {
                page.sample(family, &[&webhook.state.name], value(webhook, self.now));
            }
        }
    }

    fn render_process(&self, page: &mut Page) {
        if let Some(spans) = &self.spans {
            page.family(&families::TRACE_SPANS);
            for (outcome, count) in spans.all() {
                page.sample(&families::TRACE_SPANS, &[outcome], count);
            }
        }
        let Process { started, memory, files, most_files } = self.process;
        let facts = [
            (&families::PROCESS_START, started),
            (&families::PROCESS_MEMORY, memory),
            (&families::PROCESS_FILES, files),
            (&families::PROCESS_MOST_FILES, most_files),
        ];
        known(page, &facts);
    }
}

type OfWebhook = fn(&Standing, UnixTime) -> u64;

const WEBHOOKS: [(&Family, OfWebhook); 5] = [
    (&families::WEBHOOK_DELIVERED, |webhook, _| webhook.state.delivered),
    (&families::WEBHOOK_FAILED, |webhook, _| webhook.state.failed),
    (&families::WEBHOOK_PARKED, |webhook, _| webhook.state.parked),
    (&families::WEBHOOK_LAG_EVENTS, |webhook, _| webhook.lag.events),
    (&families::WEBHOOK_LAG_SECONDS, |webhook, now| {
        webhook.lag.oldest.map_or(0, |oldest| now.since(oldest).as_secs())
    }),
];

fn known(page: &mut Page, facts: &[(&Family, Option<u64>)]) {
    for (family, value) in facts {
        if let Some(value) = value {
            page.single(family, value);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Found, Gauges, Load, Page, Process, Status, StoreLoad};
    use crate::store::Day;
    use shared::UnixTime;
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    /// A server of which nothing is known.
    pub(in crate::telemetry) fn gauges() -> Gauges {
        Gauges {
            now: NOW,
            checks: Vec::new(),
            latest: None,
            counts: None,
            endings: None,
            renewals: None,
            spread: None,
            webhooks: Vec::new(),
            revocations: Arc::default(),
            log: Status::Unknown,
            log_head: None,
            store: StoreLoad::default(),
            load: Load::default(),
            ca_not_after: NOW,
            root_not_after: None,
            on_disk: Found::default(),
            process: Process::default(),
            spans: None,
        }
    }

    #[test]
    fn endings_add_up_and_checks_have_labels_without_spaces() {
        let today = Day::of(NOW);
        let endings = [(0, 1), (1, 2), (7, 4), (8, 8), (30, 16), (31, 32)];
        let endings = endings.map(|(days, count)| (today.after(days), count)).to_vec();
        let checks = vec![("issuing CA", true), ("store", false)];
        let mut page = Page::default();
        Gauges { endings: Some(endings), checks, ..gauges() }.render(&mut page);
        let page = page.finish();
        for line in [
            "enroll_certificates_ending{days=\"1\"} 3",
            "enroll_certificates_ending{days=\"7\"} 7",
            "enroll_certificates_ending{days=\"14\"} 15",
            "enroll_certificates_ending{days=\"30\"} 31",
            "enroll_check_good{check=\"issuing-ca\"} 1",
            "enroll_check_good{check=\"store\"} 0",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line}\n{page}");
        }
    }
}
