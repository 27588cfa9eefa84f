//! What is told at the end.

use core::time::Duration;
use std::io::{self, Write};

use enroll_server::store::{Certificate, CertificateState};
use serde::Serialize;

use super::check::Findings;
use super::ledger::Book;
use super::log::Audited;
use super::plan::{DAY, HOUR};

/// What became of a fleet. Durations are in seconds, of virtual time where nothing else is said.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed: with it, the same plan is drawn again.
    pub seed: u64,
    /// Number of devices.
    pub devices: usize,
    /// Virtual time that went by, in days.
    pub simulated_days: f64,
    /// Real time that it took, in seconds.
    pub real_seconds: f64,
    /// Times that the clock moved.
    pub steps: u64,
    /// First enrollments.
    pub enrollments: u64,
    /// Renewals with a new key.
    pub renewals: u64,
    /// Enrollments of devices that had an identity before.
    pub reenrollments: u64,
    /// Renewals that an operator wanted and a device heard of through its broker.
    pub renewals_told_by_broker: u64,
    /// Renewals that an operator wanted and that came another way: with the server's next answer, or because they were
    /// due.
    pub renewals_told_otherwise: u64,
    /// How often the switch to the new CA was refused, because devices did not trust it yet.
    pub switch_refused: u64,
    /// How often the retirement of the old CA was refused, because devices needed it.
    pub retirement_refused: u64,
    /// Living devices that have a certificate of the new CA and reported the trust bundle without the old root.
    pub moved: usize,
    /// Devices that were revoked.
    pub revoked: usize,
    /// Logins of revoked devices that the broker refused.
    pub refused_by_broker: u64,
    /// Requests of revoked devices that the server refused.
    pub refused_by_server: u64,
    /// Longest time from a revocation to the end of the session, in real milliseconds.
    pub longest_cut_real_ms: u128,
    /// Outages of the server.
    pub server_outages: usize,
    /// All of them together.
    pub server_outage_seconds: u64,
    /// Outages of the broker.
    pub broker_outages: usize,
    /// All of them together.
    pub broker_outage_seconds: u64,
    /// Starts of devices.
    pub boots: u64,
    /// Cuts of the power amid a write.
    pub power_cuts: u64,
    /// Logins at the broker.
    pub logins: u64,
    /// Publications that the broker acknowledged.
    pub published: u64,
    /// New identities that the broker would not have at first.
    pub trials_failed: u64,
    /// Longest time that a device was without the broker, outages of the broker and times without power left out.
    pub longest_gap_seconds: u64,
    /// The same for devices that came back with an ended certificate.
    pub longest_return_seconds: u64,
    /// Certificates in the database that were issued, revoked ones included.
    pub certificates: usize,
    /// Those that are revoked, superseded ones included.
    pub certificates_revoked: usize,
    /// Certificates in the server's log, which was audited against the database.
    pub certificates_logged: u64,
    /// Devices that live and are lost. There must be none.
    pub lost: Vec<String>,
    /// Everything else that must not be.
    pub violations: Vec<String>,
}

/// What is known besides the book.
pub(super) struct Frame {
    pub(super) seed: u64,
    pub(super) elapsed: Duration,
    pub(super) real: Duration,
    pub(super) steps: u64,
    pub(super) refused: [u64; 2],
    pub(super) moved: usize,
}

impl Report {
    pub(super) fn of(
        frame: &Frame,
        book: &Book,
        certificates: &[Certificate],
        audited: &Audited,
        findings: Findings,
    ) -> Self {
        let sum = |count: fn(&super::ledger::Entry) -> u64| book.devices.iter().map(count).sum::<u64>();
        let longest = |time: fn(&super::ledger::Entry) -> Duration| {
            book.devices.iter().map(time).max().unwrap_or_default().as_secs()
        };
        let enrollments = sum(|entry| entry.enrollments.min(1));
        let in_state = |state| certificates.iter().filter(|known| known.state == state).count();
        let revoked = in_state(CertificateState::Revoked);
        let there = in_state(CertificateState::Issued) + revoked;
        let mut violations = book.violations.clone();
        violations.extend(findings.violations);
        violations.extend(audited.findings.iter().map(|finding| format!("the log: {finding}")));
        if audited.issued != there as u64 {
            violations.push(format!("{there} certificates in the database, {} in the log", audited.issued));
        }
        Self {
            seed: frame.seed,
            devices: book.devices.len(),
            simulated_days: frame.elapsed.as_secs_f64() / DAY.as_secs_f64(),
            real_seconds: frame.real.as_secs_f64(),
            steps: frame.steps,
            enrollments,
            renewals: sum(|entry| entry.renewals),
            reenrollments: sum(|entry| entry.enrollments) - enrollments,
            renewals_told_by_broker: sum(|entry| entry.renewed_as_wanted[0]),
            renewals_told_otherwise: sum(|entry| entry.renewed_as_wanted[1]),
            switch_refused: frame.refused[0],
            retirement_refused: frame.refused[1],
            moved: frame.moved,
            revoked: book.devices.iter().filter(|entry| entry.revoked.is_some()).count(),
            refused_by_broker: sum(|entry| entry.refused_by_broker),
            refused_by_server: sum(|entry| entry.refused_by_server),
            longest_cut_real_ms: book.longest_cut.as_millis(),
            server_outages: book.server_down.count(),
            server_outage_seconds: book.server_down.total(frame.elapsed).as_secs(),
            broker_outages: book.broker_down.count(),
            broker_outage_seconds: book.broker_down.total(frame.elapsed).as_secs(),
            boots: sum(|entry| entry.boots),
            power_cuts: sum(|entry| entry.cuts),
            logins: sum(|entry| entry.logins),
            published: sum(|entry| entry.published),
            trials_failed: sum(|entry| entry.trials_failed),
            longest_gap_seconds: longest(|entry| entry.longest_gap),
            longest_return_seconds: longest(|entry| entry.longest_return),
            certificates: there,
            certificates_revoked: revoked,
            certificates_logged: audited.issued,
            lost: findings.lost,
            violations,
        }
    }

    /// Whether no device was lost and nothing happened that must not.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.lost.is_empty() && self.violations.is_empty()
    }

    /// Tells it to a person.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let hours = |seconds: u64| seconds / HOUR.as_secs();
        writeln!(
            out,
            "{} devices lived through {:.0} days in {:.0} s (seed {})",
            self.devices, self.simulated_days, self.real_seconds, self.seed
        )?;
        let mut line = |name: &str, value: String| writeln!(out, "  {name:<34} {value}");
        line("enrollments", self.enrollments.to_string())?;
        line("renewals, each with a new key", self.renewals.to_string())?;
        line("re-enrollments by IDevID", self.reenrollments.to_string())?;
        line(
            "  wanted, told by the broker or not",
            format!("{}, {}", self.renewals_told_by_broker, self.renewals_told_otherwise),
        )?;
        line("devices that moved to the new CA", self.moved.to_string())?;
        line(
            "  switch, retirement refused before",
            format!("{}, {}", self.switch_refused, self.retirement_refused),
        )?;
        line("devices revoked", self.revoked.to_string())?;
        line(
            "  refused at the broker, at the server",
            format!("{}, {}", self.refused_by_broker, self.refused_by_server),
        )?;
        line("  slowest cut of a session", format!("{} ms (real time)", self.longest_cut_real_ms))?;
        let outages = |count, seconds| format!("{count}, {} h in all", hours(seconds));
        line("outages of the server", outages(self.server_outages, self.server_outage_seconds))?;
        line("outages of the broker", outages(self.broker_outages, self.broker_outage_seconds))?;
        line("starts, power cuts amid a write", format!("{}, {}", self.boots, self.power_cuts))?;
        line("logins, publications", format!("{}, {}", self.logins, self.published))?;
        line("identities that failed their trial", self.trials_failed.to_string())?;
        line("longest gap, outages left out", format!("{} s", self.longest_gap_seconds))?;
        line("longest return after an end", format!("{} s", self.longest_return_seconds))?;
        line(
            "certificates, revoked or superseded",
            format!("{}, {}", self.certificates, self.certificates_revoked),
        )?;
        line("certificates in the log", self.certificates_logged.to_string())?;
        line("devices lost", self.lost.len().to_string())?;
        line("other violations", self.violations.len().to_string())?;
        for (what, list) in [("lost", &self.lost), ("violation", &self.violations)] {
            for text in list.iter().take(MOST) {
                writeln!(out, "{what}: {text}")?;
            }
            if let Some(more) = list.len().checked_sub(MOST).filter(|more| *more > 0) {
                writeln!(out, "{what}: and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Most findings that are told one by one.
const MOST: usize = 20;
