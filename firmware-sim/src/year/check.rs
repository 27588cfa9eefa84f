//! What has to hold at the end: between what the devices have, what the database says and what the issuance told.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use enroll_server::store::{Certificate, CertificateState};
use shared::UnixTime;

use super::excuse::Spans;
use super::ledger::{Book, Entry, LONGEST_GAP, LONGEST_RETURN};
use super::plan::DAY;
use super::site::Issued;

/// What is known at the end.
pub(super) struct Evidence<'e> {
    pub(super) book: &'e Book,
    pub(super) certificates: &'e [Certificate],
    pub(super) issued: &'e Issued,
    /// Now, in both reckonings.
    pub(super) now: UnixTime,
    pub(super) elapsed: Duration,
}

/// What the checks found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Devices that live and have no way forward, with what is wrong with each.
    pub(super) lost: Vec<String>,
    /// Everything else that must not be.
    pub(super) violations: Vec<String>,
}

impl Evidence<'_> {
    pub(super) fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let mut by_device: BTreeMap<&str, Vec<&Certificate>> = BTreeMap::new();
        for certificate in self.certificates {
            by_device.entry(certificate.device.as_str()).or_default().push(certificate);
        }
        for entry in &self.book.devices {
            let certificates = by_device.remove(entry.id.as_str()).unwrap_or_default();
            let mut wrong = |text: String| findings.violations.push(format!("{}: {text}", entry.id));
            unasked(entry, &certificates, &mut wrong);
            if entry.revoked.is_some() {
                self.revoked(entry, &certificates, &mut wrong);
            } else if let Some(why) = self.lost(entry, &certificates) {
                findings.lost.push(format!("{}: {why}", entry.id));
            } else {
                self.one_identity(entry, &certificates, &mut wrong);
                let Book { server_down, wanted_within, .. } = self.book;
                if let Some(late) = entry.wanted_too_long(self.elapsed, server_down, *wanted_within) {
                    wrong(late);
                }
            }
        }
        for (device, certificates) in by_device {
            findings
                .violations
                .push(format!("{} certificates of {device}, which nobody made", certificates.len()));
        }
        self.intents(&mut findings.violations);
        findings
    }

    /// Why a device that lives is lost, if it is.
    fn lost(&self, entry: &Entry, certificates: &[&Certificate]) -> Option<String> {
        if let Some(why) = &entry.ended {
            return Some(format!("its agent ended: {why}"));
        }
        if entry.off.is_open() {
            // Between a cut and its next start at most.
            return None;
        }
        let Some(life) = entry.life else { return Some("never got an identity".into()) };
        let newest = entry.serials.last().map(Vec::as_slice);
        let known = certificates.iter().find(|known| Some(trim(known.serial.as_bytes())) == newest.map(trim));
        match known {
            None => return Some("the database does not know its certificate".into()),
            Some(known) if known.state != CertificateState::Issued => {
                return Some(format!("its certificate is {}", known.state.name()));
            }
            Some(_) => {}
        }
        if life.ends < self.elapsed {
            return Some("its certificate has ended, and it has no other".into());
        }
        if let Some(late) = entry.late(life, self.elapsed, &self.book.server_down) {
            return Some(late);
        }
        let missing = entry.missing(self.elapsed, &self.book.broker_down);
        let allowed = if entry.longest_return.is_zero() { LONGEST_GAP } else { LONGEST_RETURN };
        (missing > allowed).then(|| format!("is without the broker for {} s", missing.as_secs()))
    }

    /// One live identity: the newest. Beside it only the one it renewed may still be good, until it ends.
    fn one_identity(&self, entry: &Entry, certificates: &[&Certificate], wrong: &mut impl FnMut(String)) {
        let live: Vec<_> = certificates
            .iter()
            .filter(|known| known.state == CertificateState::Issued && known.not_after > self.now)
            .collect();
        let last_two: BTreeSet<&[u8]> =
            entry.serials.iter().rev().take(2).map(|serial| trim(serial)).collect();
        let strange = live.iter().filter(|known| !last_two.contains(trim(known.serial.as_bytes()))).count();
        if strange > 0 || live.is_empty() {
            wrong(format!("{} live certificates, {strange} of them not its newest two", live.len()));
        }
    }

    /// Nothing of a revoked device is good, and it heard so where it could.
    fn revoked(&self, entry: &Entry, certificates: &[&Certificate], wrong: &mut impl FnMut(String)) {
        let good = certificates
            .iter()
            .filter(|known| matches!(known.state, CertificateState::Issued | CertificateState::Intent))
            .count();
        if good > 0 {
            wrong(format!("was revoked, and has {good} certificates that are not"));
        }
        let Some(revoked) = entry.revoked else { return };
        let tried = could_try(entry, &self.book.broker_down, revoked, self.elapsed);
        if tried > 4 * DAY / 24 && entry.refused_by_broker == 0 {
            wrong("was revoked, and the broker never refused it".into());
        }
        let tried = could_try(entry, &self.book.server_down, revoked, self.elapsed);
        if tried > DAY / 2 && entry.refused_by_server == 0 && entry.refused_by_broker > 0 {
            wrong("was revoked, and the server never refused it".into());
        }
    }

    /// Every certificate was recorded before it was signed, and the database has what was completed and no more.
    fn intents(&self, violations: &mut Vec<String>) {
        let Issued { recorded, completed, unrecorded } = self.issued;
        for serial in unrecorded {
            violations.push(format!("serial {serial} was signed before its intent was recorded"));
        }
        let recorded: BTreeSet<_> = recorded.iter().map(|serial| *serial.as_bytes()).collect();
        let completed: BTreeSet<_> = completed.iter().map(|serial| *serial.as_bytes()).collect();
        let there: BTreeSet<_> = self
            .certificates
            .iter()
            .filter(|known| matches!(known.state, CertificateState::Issued | CertificateState::Revoked))
            .filter(|known| known.der.is_some())
            .map(|known| *known.serial.as_bytes())
            .collect();
        let (missing, strange) = (completed.difference(&there).count(), there.difference(&completed).count());
        if missing > 0 {
            violations.push(format!("{missing} certificates were issued and are not in the database"));
        }
        if strange > 0 || !there.is_subset(&recorded) {
            violations.push(format!("{strange} certificates are in the database and were never issued"));
        }
        let open = self.certificates.iter().filter(|known| known.state == CertificateState::Intent).count();
        if open > 0 {
            violations.push(format!("{open} intents were left open"));
        }
    }
}

/// Certificates of a device that it never got. One may still be on its way to a device that was just cut off.
fn unasked(entry: &Entry, certificates: &[&Certificate], wrong: &mut impl FnMut(String)) {
    let got: BTreeSet<&[u8]> = entry.serials.iter().map(|serial| trim(serial)).collect();
    let issued = certificates.iter().filter(|known| known.der.is_some());
    let strange = issued.filter(|known| !got.contains(trim(known.serial.as_bytes()))).count();
    let on_its_way = usize::from(entry.off.is_open() || entry.revoked.is_some());
    if strange > on_its_way {
        wrong(format!("{strange} certificates that it never got"));
    }
}

/// How long a device had power and its peer was there.
fn could_try(entry: &Entry, down: &Spans, from: Duration, to: Duration) -> Duration {
    (to - from).saturating_sub(super::excuse::excused(from, to, &[down, &entry.off]))
}

fn trim(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}
