//! What happened, device by device: written by everybody, read by the director and at the end.
//!
//! Judges what can be judged at once: who was let in although revoked, how long a device was without the broker for no
//! reason, whether it renewed in time. What the database has to say is judged at the end.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::flow::{Notice, Peer};
use agent_core::platform::Request;
use agent_core::x509::Certificate;
use shared::message::latest::{RenewRequest, TrustReport};
use shared::{Reject, UnixTime, endpoint};
use tokio::sync::watch;

use super::excuse::{Spans, excused};
use super::plan::{DAY, HOUR};
use super::time::VirtualTime;

/// Clones write into the same ledger.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<u64>,
    time: VirtualTime,
}

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) devices: Vec<Entry>,
    pub(super) server_down: Spans,
    pub(super) broker_down: Spans,
    pub(super) violations: Vec<String>,
    /// Longest time that the broker took to cut a revoked device off, in real time.
    pub(super) longest_cut: Duration,
    /// Name of the CA that was given up, and when.
    pub(super) retired: Option<(Vec<u8>, Duration)>,
    /// How long a renewal that an operator wants may take, times without server or power left out.
    pub(super) wanted_within: Duration,
}

/// One device.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) id: String,
    /// While it had no power, or was not there yet.
    pub(super) off: Spans,
    /// Starts.
    pub(super) boots: u64,
    /// Cuts of its power that were not the director's doing.
    pub(super) cuts: u64,
    /// Whether the broker has it.
    pub(super) online: bool,
    /// Since when the broker does not have it, once it had.
    lost: Option<Duration>,
    /// When it was revoked.
    pub(super) revoked: Option<Duration>,
    /// Refusals of the server since.
    pub(super) refused_by_server: u64,
    /// Logins that failed since.
    pub(super) refused_by_broker: u64,
    /// Serial numbers of the certificates it got, oldest first.
    pub(super) serials: Vec<Vec<u8>>,
    pub(super) renewals: u64,
    pub(super) enrollments: u64,
    pub(super) trials_failed: u64,
    pub(super) published: u64,
    pub(super) logins: u64,
    /// Its newest certificate.
    pub(super) life: Option<Life>,
    /// Name of the CA that made it: the content of its RDNSequence.
    pub(super) issuer: Vec<u8>,
    /// The trust bundle that it last took, with its anchors.
    pub(super) trust: Option<(u64, Vec<Vec<u8>>)>,
    /// The number of the newest trust bundle of which it told the server.
    pub(super) reported: u64,
    /// Since when an operator wants a renewal that did not come yet.
    pub(super) wanted: Option<Duration>,
    /// When it last heard through the broker that one is wanted.
    told: Option<Duration>,
    /// Renewals that an operator wanted, by how the device heard of it: through the broker, or otherwise.
    pub(super) renewed_as_wanted: [u64; 2],
    /// By which way it last asked.
    asked: Option<Way>,
    /// Longest time without the broker that nothing excuses, while its certificate was good.
    pub(super) longest_gap: Duration,
    /// The same from a start with a certificate that had ended, until it was back.
    pub(super) longest_return: Duration,
    /// Whether it is one that has to enroll again.
    pub(super) may_enroll_again: bool,
    /// Why its agent ended, if it did.
    pub(super) ended: Option<String>,
}

/// Life of a certificate, in time since the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) issued: Duration,
    pub(super) renew_by: Duration,
    pub(super) ends: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Enroll,
    Renew,
}

/// The longest time without the broker that needs no excuse: one step of the backoff, the spread of a start, and the
/// steps of a renewal.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(600 + 60);
/// The same for a device that comes back with a certificate that has ended, or whose server was away meanwhile: the
/// broker refuses it, and it does not ask the server more often than its pace allows.
pub(super) const LONGEST_RETURN: Duration = Duration::from_secs(3 * 3600);
/// How late a renewal may be that nothing excuses: some steps of the backoff.
const LATEST_RENEWAL: Duration = Duration::from_secs(6 * 3600);

impl Ledger {
    pub(super) fn new(
        time: &VirtualTime,
        wanted_within: Duration,
        devices: impl Iterator<Item = (String, bool)>,
    ) -> Self {
        let entry = |(id, may_enroll_again)| {
            let off = Spans::beginning_at(Duration::ZERO);
            Entry { id, may_enroll_again, off, ..Entry::default() }
        };
        let book = Book { devices: devices.map(entry).collect(), wanted_within, ..Book::default() };
        let (changed, _) = watch::channel(0);
        Self { book: Arc::new(Mutex::new(book)), changed, time: time.clone() }
    }

    /// Reads or writes, with the time by which that happens.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Book, Duration) -> T) -> T {
        let now = self.time.elapsed();
        let result = change(&mut self.lock(), now);
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// As [`with`](Self::with), for one device.
    pub(super) fn entry<T>(
        &self,
        device: usize,
        change: impl FnOnce(&mut Entry, Duration) -> T,
    ) -> Option<T> {
        self.with(|book, now| book.devices.get_mut(device).map(|entry| change(entry, now)))
    }

    /// Reads.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.lock())
    }

    /// Waits until `enough`.
    pub(super) async fn until(&self, enough: impl Fn(&Book) -> bool) {
        let mut changed = self.changed.subscribe();
        while !self.read(&enough) {
            if changed.changed().await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }

    /// Something that must not be.
    pub(super) fn violation(&self, text: String) {
        self.with(|book, now| book.violate(now, &text));
    }

    /// A device told its observer something.
    pub(super) fn notice(&self, device: usize, notice: &Notice<'_>) {
        self.with(|book, now| book.notice(device, now, &self.time, notice));
    }

    /// A device sends a request to the enrollment server.
    pub(super) fn request(&self, device: usize, request: &Request<'_>) {
        let body = request.body.unwrap_or_default();
        let in_request = || RenewRequest::decode(body).ok()?.trust;
        let (way, held) = match request.path {
            endpoint::ENROLL => (Some(Way::Enroll), in_request()),
            endpoint::RENEW => (Some(Way::Renew), in_request()),
            endpoint::TRUST => (None, TrustReport::decode(body).ok().map(|report| report.held)),
            _ => return,
        };
        self.entry(device, |entry, _| {
            entry.asked = way.or(entry.asked);
            entry.reported = entry.reported.max(held.unwrap_or(0));
        });
    }

    /// A device has power from now on.
    pub(super) fn power_on(&self, device: usize) {
        self.entry(device, |entry, now| {
            entry.off.end(now);
            entry.boots += 1;
        });
    }

    /// A device has no power any more.
    pub(super) fn power_off(&self, device: usize) {
        self.entry(device, |entry, now| {
            entry.off.begin(now);
            entry.offline(now);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn violate(&mut self, now: Duration, text: &str) {
        tracing::warn!(day = now.as_secs() / DAY.as_secs(), text, "violation");
        self.violations.push(format!("day {:.1}: {text}", now.as_secs_f64() / DAY.as_secs_f64()));
    }

    /// An operator wants a renewal of a device.
    pub(super) fn want(&mut self, device: &str, now: Duration) {
        let entry = self.devices.iter_mut().find(|entry| entry.id == device && entry.revoked.is_none());
        if let Some(entry) = entry {
            entry.wanted.get_or_insert(now);
        }
    }

    fn notice(&mut self, device: usize, now: Duration, time: &VirtualTime, notice: &Notice<'_>) {
        let (retired, wanted_within) = (self.retired.as_ref(), self.wanted_within);
        let Some(entry) = self.devices.get_mut(device) else { return };
        let mut wrong = None;
        match notice {
            // The second tells of what became durable just before the power was cut, and nobody heard of it.
            Notice::Enrolled { chain, .. } | Notice::IdentityActivated { chain, .. } => {
                let before = entry.serials.len();
                wrong = entry.enrolled(now, time, chain, &self.server_down, retired);
                if entry.serials.len() > before {
                    wrong = wrong.or_else(|| entry.renewed_as_wanted(now, &self.server_down, wanted_within));
                }
            }
            Notice::TrustChanged { number, anchors } => {
                entry.trust = Some((*number, anchors.iter().map(|anchor| anchor.to_vec()).collect()));
            }
            Notice::Command { name: "renew" } => entry.told = Some(now),
            Notice::BrokerAccepted { .. } => {
                entry.logins += 1;
                wrong = entry.accepted(now, &self.server_down, &self.broker_down);
            }
            Notice::Disconnected => entry.offline(now),
            Notice::Unreachable { peer: Peer::Broker, .. } => {
                let was_online = entry.online;
                entry.offline(now);
                if entry.revoked.is_some() && !was_online && !self.broker_down.is_open() {
                    entry.refused_by_broker += 1;
                }
            }
            Notice::Refused { reject: Some(Reject::DeviceRevoked | Reject::CertificateRevoked), .. } => {
                entry.refused_by_server += 1;
            }
            Notice::TrialFailed { .. } => entry.trials_failed += 1,
            Notice::Published { .. } => entry.published += 1,
            _ => {}
        }
        if let Some(wrong) = wrong {
            let text = format!("{}: {wrong}", entry.id);
            self.violate(now, &text);
        }
    }
}

impl Entry {
    fn offline(&mut self, now: Duration) {
        if core::mem::take(&mut self.online) {
            self.lost = Some(now);
        }
    }

    /// A certificate came. Says what is wrong about that.
    fn enrolled(
        &mut self,
        now: Duration,
        time: &VirtualTime,
        chain: &[&[u8]],
        server_down: &Spans,
        retired: Option<&(Vec<u8>, Duration)>,
    ) -> Option<String> {
        let before = self.life;
        let leaf = chain.first().and_then(|leaf| Certificate::parse(leaf).ok());
        let Some(leaf) = leaf else { return Some("took a certificate that cannot be read".into()) };
        if self.serials.iter().any(|known| known == leaf.serial()) {
            // Known already: announced again, or the same answer once more.
            return None;
        }
        self.serials.push(leaf.serial().to_vec());
        self.life = Some(Life::of(now, time, leaf.not_after()));
        let issuer = core::mem::replace(&mut self.issuer, leaf.issuer().to_vec());
        let retired = retired.filter(|(name, _)| *name == issuer).map(|(_, at)| *at);
        if self.revoked.is_some_and(|revoked| now > revoked) {
            return Some("was revoked, and got a certificate".into());
        }
        match (self.asked, before) {
            (Some(Way::Enroll), None) => {
                self.enrollments += 1;
                None
            }
            (Some(Way::Enroll), Some(before)) => {
                self.enrollments += 1;
                let end = days(before.ends);
                match retired {
                    // It had ended, so that nobody had to wait for it.
                    Some(retired) if retired >= before.ends => None,
                    Some(retired) => Some(format!(
                        "enrolled again: its CA was retired on day {}, and its certificate ended on day {end}",
                        days(retired)
                    )),
                    None => (!self.may_enroll_again)
                        .then(|| format!("enrolled again, and had a certificate to day {end}")),
                }
            }
            (Some(Way::Renew), Some(before)) => {
                self.renewals += 1;
                self.late(before, now, server_down)
            }
            (Some(Way::Renew), None) => Some("renewed what it did not have".into()),
            (None, _) => Some("got a certificate that it did not ask for".into()),
        }
    }

    /// A certificate came, whatever led to it: an operator who wanted one has it. Says what is wrong about that.
    fn renewed_as_wanted(&mut self, now: Duration, server_down: &Spans, within: Duration) -> Option<String> {
        let late = self.wanted_too_long(now, server_down, within);
        let since = self.wanted.take()?;
        let [through_broker, otherwise] = &mut self.renewed_as_wanted;
        *(if self.told >= Some(since) { through_broker } else { otherwise }) += 1;
        late
    }

    /// Whether an operator has waited too long for a renewal.
    pub(super) fn wanted_too_long(
        &self,
        now: Duration,
        server_down: &Spans,
        within: Duration,
    ) -> Option<String> {
        let since = self.wanted?;
        let waited = (now - since).saturating_sub(excused(since, now, &[server_down, &self.off]));
        (waited > within).then(|| {
            format!("did not renew for {:.1} h, as an operator wanted on day {}", hours(waited), days(since))
        })
    }

    /// Whether it is at its broker and has not heard yet that a renewal is wanted.
    pub(super) fn is_to_be_told(&self) -> bool {
        self.online && self.wanted.is_some() && self.told < self.wanted
    }

    /// Whether it has a certificate that has not ended and was not revoked.
    pub(super) fn lives(&self, now: Duration) -> bool {
        self.revoked.is_none() && self.life.is_some_and(|life| life.ends > now)
    }

    /// Whether `now` is too late to renew `life`.
    pub(super) fn late(&self, life: Life, now: Duration, server_down: &Spans) -> Option<String> {
        let hindered = excused(life.renew_by, now, &[server_down, &self.off]);
        let late = now.saturating_sub(life.renew_by).saturating_sub(hindered);
        (late > LATEST_RENEWAL)
            .then(|| format!("is {:.1} h beyond the time to renew, day {}", hours(late), days(life.renew_by)))
    }

    /// The broker accepted it. Says what is wrong about that.
    fn accepted(&mut self, now: Duration, server_down: &Spans, broker_down: &Spans) -> Option<String> {
        self.online = true;
        if self.revoked.is_some_and(|revoked| now > revoked) {
            return Some("was revoked, and the broker let it in".into());
        }
        let lost = self.lost.take()?;
        let bare = (now - lost).saturating_sub(excused(lost, now, &[broker_down, &self.off]));
        // Whose certificate ended meanwhile depended on the server too.
        let ended = self.life.is_some_and(|life| life.issued > lost) && self.off.touches(lost, now);
        if ended {
            let gap = (now - lost).saturating_sub(excused(lost, now, &[broker_down, &self.off, server_down]));
            self.longest_return = self.longest_return.max(gap);
            return (gap > LONGEST_RETURN)
                .then(|| format!("came back with an ended certificate after {:.1} h", hours(gap)));
        }
        self.longest_gap = self.longest_gap.max(bare);
        (bare > LONGEST_GAP)
            .then(|| format!("was without the broker for {} s, and nothing excuses it", bare.as_secs()))
    }

    /// How long it has been without the broker at the end, with nothing to excuse it.
    pub(super) fn missing(&self, now: Duration, broker_down: &Spans) -> Duration {
        let Some(lost) = self.lost.filter(|_| !self.online) else { return Duration::ZERO };
        (now - lost).saturating_sub(excused(lost, now, &[broker_down, &self.off]))
    }
}

impl Life {
    /// Of a certificate that came now: renewal is due after five sixths of what was left then.
    fn of(now: Duration, time: &VirtualTime, not_after: UnixTime) -> Self {
        let ends = time.elapsed_at(not_after);
        Self { issued: now, renew_by: now + ends.saturating_sub(now) * 5 / 6, ends }
    }
}

/// The issuer of a certificate, as [`Entry::issuer`] has it; empty where this is none.
pub(super) fn issuer_of(der: &[u8]) -> Vec<u8> {
    Certificate::parse(der).map(|leaf| leaf.issuer().to_vec()).unwrap_or_default()
}

/// The subject of a CA, as [`Entry::issuer`] has it; empty where this is no certificate.
pub(super) fn name_of(der: &[u8]) -> Vec<u8> {
    Certificate::parse(der).map(|ca| ca.subject().to_vec()).unwrap_or_default()
}

pub(super) fn days(at: Duration) -> String {
    format!("{:.1}", at.as_secs_f64() / DAY.as_secs_f64())
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / HOUR.as_secs_f64()
}
