//! Compares what the log says with the database, both ways.
//!
//! The checkpoint was read before the database, so the database may be ahead: what is not in the log has to be among
//! the leaves that wait for the next checkpoint.

use std::collections::{HashMap, HashSet};

use ca::crl::Reason;
use transparency::{Checkpoint, VerifierKey};

use super::columns::differing;
use super::devices::Words;
use super::finding::{Finding, FindingKind};
use super::grants::Grants;
use super::log::{AuditError, Progress, Walked};
use super::lost::Lost;
use super::record::{OfSerial, Record};
use super::trust::Trust;
use crate::issuance::sha256;
use crate::store::{CertificateRow, Event, EventQuery, LeafRow, Store};
use crate::transparency_log::source::Source;

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Compares a log that was read with `store`. Gives what is wrong, and how many leaves wait.
///
/// # Errors
/// Where the store fails.
pub async fn compare(
    store: &dyn Store,
    walked: &Walked,
    (source, key): (&Source, &VerifierKey),
    progress: &mut impl Progress,
) -> Result<(Vec<Finding>, u64), AuditError> {
    let (record, size) = (&walked.record, walked.report.size);
    let mut comparison = Comparison {
        record,
        waiting: Waiting::default(),
        lists: HashSet::new(),
        words: Words::default(),
        grants: Grants::default(),
        findings: Vec::new(),
    };
    let head = store.log_head().await?;
    if head.size < size {
        let detail = format!("the database knows of {} leaves", head.size);
        comparison.find(FindingKind::DatabaseOlder, format!("{size} leaves"), detail);
    }
    comparison.leaves(store, walked, progress, head.leaves).await?;
    if head.size > size
        && let Some(published) = lags(source, key, head.size).await
    {
        let detail = format!("the database knows of a checkpoint over {} leaves", head.size);
        comparison.find(FindingKind::LogShorter, format!("{published} leaves"), detail);
    }
    comparison.lists.extend(store.list_addresses().await?);
    comparison.certificates(store, progress).await?;
    let lost = Lost::read(store, record, size).await?;
    let mut trust = Trust::read(store).await?;
    comparison.events(store, &lost, &mut trust, progress).await?;
    let words = core::mem::take(&mut comparison.words);
    comparison.findings.extend(words.compare(store, &lost).await?);
    comparison.findings.extend(trust.compare(store).await?);
    let grants = core::mem::take(&mut comparison.grants);
    comparison.findings.extend(grants.compare(store).await?);
    comparison.findings.sort();
    Ok((comparison.findings, head.leaves.saturating_sub(size)))
}

/// Whether the checkpoint that is out stays smaller than the one that the store has, and its size. A server publishes
/// what it has signed at once; a checkpoint that was signed after the log was read says nothing.
async fn lags(source: &Source, key: &VerifierKey, signed: u64) -> Option<u64> {
    let mut published = 0;
    for pause in [0, 100, 400, 1_500] {
        tokio::time::sleep(core::time::Duration::from_millis(pause)).await;
        let note = source.checkpoint().await.unwrap_or_default();
        published = Checkpoint::open(&note, key).map_or(0, |checkpoint| checkpoint.size);
        if published >= signed {
            return None;
        }
    }
    Some(published)
}

/// What waits for the next checkpoint, each with the place of its leaf.
#[derive(Default)]
struct Waiting {
    certificates: HashMap<Vec<u8>, u64>,
    revocations: HashMap<Vec<u8>, u64>,
    events: HashMap<u64, u64>,
}

struct Comparison<'r> {
    record: &'r Record,
    waiting: Waiting,
    /// The addresses of all revocation lists but the complete ones.
    lists: HashSet<String>,
    /// What was last said of each device.
    words: Words,
    /// What was said of tokens, credentials and attestation keys.
    grants: Grants,
    findings: Vec<Finding>,
}

impl Comparison<'_> {
    fn find(&mut self, kind: FindingKind, subject: String, detail: impl Into<String>) {
        self.findings.push(Finding::new(kind, subject, detail));
    }

    /// Reads the table of leaves: those that wait, and whether the others are where the log has them.
    async fn leaves(
        &mut self,
        store: &dyn Store,
        walked: &Walked,
        progress: &mut impl Progress,
        all: u64,
    ) -> Result<(), AuditError> {
        let mut next = 0;
        loop {
            let rows = store.leaf_rows(next, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            let after = last.position + 1;
            for row in rows {
                if row.position < walked.report.size {
                    self.logged(row);
                } else {
                    self.waits(row);
                }
            }
            next = after;
            progress.at("leaves of the database", next, all);
        }
    }

    /// A row that should be in the log.
    fn logged(&mut self, row: LeafRow) {
        let LeafRow { position, kind, serial, event } = row;
        let found = match (kind.as_str(), &serial, event) {
            ("issued" | "discarded", Some(serial), _) => {
                let logged = self.record.serials.get(serial).and_then(|of| of.certificate);
                logged.is_some_and(|logged| {
                    logged.index == position && logged.discarded == (kind == "discarded")
                })
            }
            ("revoked", Some(serial), _) => {
                self.record.serials.get(serial).is_some_and(|of| of.revocation.is_some())
            }
            (_, _, Some(event)) => self.record.events.contains_key(&event),
            _ => false,
        };
        if !found {
            let of = serial
                .map(hex::encode)
                .or_else(|| event.map(|event| format!("event {event}")))
                .unwrap_or_default();
            self.find(
                FindingKind::OrderDiffers,
                format!("leaf {position}"),
                format!("{kind} of {of} in the database"),
            );
        }
    }

    fn waits(&mut self, row: LeafRow) {
        match (row.kind.as_str(), row.serial, row.event) {
            ("revoked", Some(serial), _) => self.waiting.revocations.insert(serial, row.position),
            (_, Some(serial), _) => self.waiting.certificates.insert(serial, row.position),
            (_, _, Some(event)) => self.waiting.events.insert(event, row.position),
            _ => None,
        };
    }

    async fn certificates(
        &mut self,
        store: &dyn Store,
        progress: &mut impl Progress,
    ) -> Result<(), AuditError> {
        let all = store.count_certificates().await?;
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let (mut after, mut done) = (Vec::new(), 0);
        loop {
            let rows = store.certificate_rows(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.serial.clone();
            done += rows.len() as u64;
            for row in rows {
                self.certificate(&row);
                if self.record.serials.contains_key(&row.serial) {
                    seen.insert(row.serial);
                }
            }
            progress.at("certificates", done, all);
        }
        let mut gone: Vec<_> =
            self.record.serials.keys().filter(|serial| !seen.contains(*serial)).cloned().collect();
        gone.sort();
        for serial in gone {
            self.find(FindingKind::CertificateMissing, hex::encode(serial), "the database has no such row");
        }
        Ok(())
    }

    fn certificate(&mut self, row: &CertificateRow) {
        let name = hex::encode(&row.serial);
        let of = self.record.serials.get(&row.serial).copied().unwrap_or_default();
        match (&row.der, of.certificate) {
            (Some(der), Some(logged)) if !logged.discarded => {
                if sha256(der) != logged.sha256 {
                    let detail = format!("leaf {} has another certificate", logged.index);
                    self.find(FindingKind::CertificateDiffers, name.clone(), detail);
                } else if row.issuer_sha256 != Some(logged.issuer) {
                    let detail = "the column issuer names another CA than the log";
                    self.find(FindingKind::ColumnDiffers, name.clone(), detail);
                }
            }
            (Some(_), Some(logged)) => {
                let detail = format!("the log has it as given up, leaf {}", logged.index);
                self.find(FindingKind::CertificateDiffers, name.clone(), detail);
            }
            (Some(_), None) if !self.waiting.certificates.contains_key(&row.serial) => {
                let detail = format!("of {}, {}", row.device, row.state);
                self.find(FindingKind::CertificateNotLogged, name.clone(), detail);
            }
            (None, Some(logged)) if !logged.discarded => {
                let detail = format!(
                    "the row is {} and holds no certificate; leaf {} has it",
                    row.state, logged.index
                );
                self.find(FindingKind::CertificateMissing, name.clone(), detail);
            }
            _ => {}
        }
        if row.der.is_some() {
            for (column, detail) in differing(row, &self.lists) {
                self.find(FindingKind::ColumnDiffers, name.clone(), format!("the column {column} {detail}"));
            }
        }
        self.said_of_device(row, &of);
        self.revocation(row, &of, name);
    }

    /// Which leaves say how the device of a certificate stands: it got it, or had it taken away.
    fn said_of_device(&mut self, row: &CertificateRow, of: &OfSerial) {
        let logged = of.certificate.filter(|logged| !logged.discarded).map(|logged| logged.index);
        let issued = logged.or_else(|| self.waiting.certificates.get(&row.serial).copied());
        let logged = of.revocation.filter(|logged| logged.reason != Reason::Superseded.code());
        let waiting = self.waiting.revocations.get(&row.serial).copied();
        let revoked = logged.map(|logged| logged.index).or(waiting);
        if let Some(place) = issued.max(revoked) {
            self.words.certificate(&row.device, place);
        }
    }

    fn revocation(&mut self, row: &CertificateRow, of: &OfSerial, name: String) {
        match (row.state == "revoked", of.revocation) {
            (true, Some(logged)) => {
                let reason = Reason::from_code(logged.reason).map_or("unknown", Reason::name);
                let at = row.revoked.and_then(|at| u64::try_from(at).ok());
                if at != Some(logged.at)
                    || row.reason.as_deref() != Some(reason)
                    || row.issuer_sha256 != Some(logged.issuer)
                {
                    let said = (row.revoked.unwrap_or_default(), row.reason.as_deref().unwrap_or("none"));
                    let detail =
                        format!("the row says {} at {}, the log {reason} at {}", said.1, said.0, logged.at);
                    self.find(FindingKind::RevocationDiffers, name, detail);
                }
            }
            (true, None) if !self.waiting.revocations.contains_key(&row.serial) => {
                self.find(FindingKind::RevocationNotLogged, name, format!("of {}", row.device));
            }
            (false, Some(logged)) => {
                let detail = format!("the row is {}; the log has it revoked at {}", row.state, logged.at);
                self.find(FindingKind::RevocationMissing, name, detail);
            }
            _ => {}
        }
    }

    async fn events(
        &mut self,
        store: &dyn Store,
        lost: &Lost,
        trust: &mut Trust,
        progress: &mut impl Progress,
    ) -> Result<(), AuditError> {
        for repeated in &self.record.repeated {
            if !lost.explains(repeated.number, repeated.index) {
                self.findings.push(repeated.finding());
            }
        }
        let all = self.record.events.len() as u64;
        let mut missing: HashMap<u64, u64> =
            self.record.events.iter().map(|(number, logged)| (*number, logged.index)).collect();
        let mut last = 0;
        loop {
            let rows = store.events(EventQuery::after(last, PAGE)).await?;
            let Some(row) = rows.last() else { break };
            last = row.number;
            for event in rows {
                missing.remove(&event.number);
                self.event(&event, lost);
                trust.event(&event);
                self.grants.event(&event);
            }
            progress.at("events", all.saturating_sub(missing.len() as u64), all);
        }
        missing.retain(|number, index| !lost.explains(*number, *index));
        let mut missing: Vec<u64> = missing.into_keys().collect();
        missing.sort_unstable();
        for number in missing {
            self.find(FindingKind::EventMissing, format!("event {number}"), "the database has no such row");
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, lost: &Lost) {
        let subject = || format!("event {}", event.number);
        let place = self.waiting.events.get(&event.number).copied();
        let (logged, waits) = (self.record.events.get(&event.number), place.is_some());
        self.words.event(event, place.or_else(|| logged.map(|logged| logged.index)));
        match logged {
            Some(logged) if logged.commitment == event.commitment() => {}
            // The number was that of a row that is lost; the leaf of this one is not in a checkpoint yet.
            Some(logged) if waits && lost.explains(event.number, logged.index) => {}
            Some(_) => self.find(FindingKind::EventDiffers, subject(), "the row is not what was logged"),
            None if waits => {}
            None => self.find(
                FindingKind::EventNotLogged,
                subject(),
                format!("{} by {}", event.kind, event.actor),
            ),
        }
    }
}
