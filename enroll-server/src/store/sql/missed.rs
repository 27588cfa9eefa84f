//! Brings in what an older database does not know of: certificates and revocations come from the log, which has them whole.
//!
//! One transaction. Afterwards the table of leaves is what the log has, what this database alone has waits behind it, and
//! nothing is signed.

use std::collections::VecDeque;

use appraisal::key::PublicKey;
use ca::crl::Reason;
use ca::hierarchy::ISSUING_LIFETIME;
use ca::{CrlAddress, DistributionPoint, Serial};
use shared::{DeviceId, UnixTime};
use transparency::Leaf;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::convert::{device, secs};
use super::{appraisals, crl, events, log, revoke};
use crate::audit::EventKind;
use crate::issuance::{ClientIdentity, list_address, sha256, signing};
use crate::store::database::{Connection, params};
use crate::store::{
    CaughtUp, IssuerNumber, LeafRow, Missed, MissedList, MissedLog, NewEvent, Partitioning, Revocation,
    RevokedPeer, Sha256, StoreError, in_place_of_key,
};

/// How far behind the last known partition one is looked for that a certificate names.
const PARTITIONS_AHEAD: u32 = 100_000;
/// How many numbers of lists are passed over: those of partitions are in no file, and may be above what the files have. More than
/// are given while a complete list is good.
const NUMBERS_AHEAD: u32 = 1 << 20;

pub(super) fn catch_up(
    c: &Connection,
    missed: &Missed,
    partitioning: Option<&Partitioning>,
    now: UnixTime,
) -> Result<String, StoreError> {
    let mut done = CaughtUp::default();
    if let Some(log) = &missed.log {
        Replay { c, partitioning, done: &mut done }.log(log)?;
    }
    for list in &missed.lists {
        Replay { c, partitioning, done: &mut done }.list(list)?;
    }
    let sql = "UPDATE counters SET value = value + ? WHERE name = 'crl'";
    c.prepare_cached(sql)?.execute(params![NUMBERS_AHEAD])?;
    revoke::raise(c, "revocations")?;
    // Here and not after the commit: who died in between would find a database that looks like any other, and sign.
    let why = missed.told(&done);
    appraisals::set_note(c, signing::NOTE, &why)?;
    events::add(c, &NewEvent::new(now, EventKind::DatabaseRestored, why.clone()))?;
    Ok(why)
}

struct Replay<'a> {
    c: &'a Connection,
    partitioning: Option<&'a Partitioning>,
    done: &'a mut CaughtUp,
}

impl Replay<'_> {
    fn log(&mut self, missed: &MissedLog) -> Result<(), StoreError> {
        // Some of what waits here may be in the log already: the copy was made before its checkpoint.
        let mut waiting = self.waiting(missed.from)?;
        self.c.prepare_cached("DELETE FROM log_leaves WHERE position >= ?")?.execute(params![missed.from])?;
        for (position, entry) in (missed.from..).zip(&missed.leaves) {
            if waiting.front().is_some_and(|(_, leaf)| leaf == entry)
                && let Some((row, _)) = waiting.pop_front()
            {
                // Of what was given up, nothing else has the certificate.
                self.row(position, &row, (row.kind == "discarded").then_some(entry))?;
            } else {
                self.leaf(position, entry)?;
            }
        }
        let size = missed.from.saturating_add(missed.leaves.len() as u64);
        for (position, (row, leaf)) in (size..).zip(waiting) {
            self.row(position, &row, Some(&leaf))?;
        }
        let sql = "UPDATE log_head SET size = ?, note = ?";
        self.c.prepare_cached(sql)?.execute(params![size, missed.note])?;
        if let Some((_, last)) = self.done.lost {
            events::pass_over(self.c, last)?;
        }
        Ok(())
    }

    fn waiting(&self, from: u64) -> Result<VecDeque<(LeafRow, Vec<u8>)>, StoreError> {
        let rows = log::rows(self.c, from, u32::MAX)?;
        let leaves = log::waiting(self.c, from, u32::MAX)?;
        Ok(rows.into_iter().zip(leaves).collect())
    }

    fn row(&self, position: u64, row: &LeafRow, leaf: Option<&[u8]>) -> Result<(), StoreError> {
        let sql = "INSERT INTO log_leaves (position, kind, serial, event, leaf) VALUES (?, ?, ?, ?, ?)";
        self.c.prepare_cached(sql)?.execute(params![position, row.kind, row.serial, row.event, leaf])?;
        Ok(())
    }

    /// A leaf that this database never had.
    fn leaf(&mut self, position: u64, entry: &[u8]) -> Result<(), StoreError> {
        let damaged = |_| StoreError::Damaged { field: "leaf" };
        let (kind, serial, event) = match Leaf::decode(entry).map_err(damaged)? {
            Leaf::Issued { at, issuer, certificate } => {
                let serial = self.certificate(at, &issuer, certificate, true)?;
                self.done.certificates += 1;
                ("issued", Some(serial.as_bytes().to_vec()), None)
            }
            Leaf::Discarded { at, issuer, certificate } => {
                let serial = self.certificate(at, &issuer, certificate, false)?;
                ("discarded", Some(serial.as_bytes().to_vec()), None)
            }
            Leaf::Revoked { at, serial, reason, .. } => {
                let reason = Reason::from_code(reason).ok_or(StoreError::Damaged { field: "reason" })?;
                self.revoke(serial, Revocation { at: UnixTime::from_secs(at), reason })?;
                ("revoked", Some(serial.to_vec()), None)
            }
            Leaf::Event { number, .. } => {
                let first = self.done.lost.map_or(number, |(first, _)| first.min(number));
                let last = self.done.lost.map_or(number, |(_, last)| last.max(number));
                self.done.lost = Some((first, last));
                ("event", None, Some(number))
            }
        };
        // Only a certificate stands in a row that its leaf can be made again from.
        let leaf = (kind != "issued").then_some(entry);
        self.row(position, &LeafRow { position, kind: kind.to_owned(), serial, event }, leaf)
    }

    /// Puts a certificate into the table: `issued`, or given up.
    fn certificate(
        &self,
        at: u64,
        issuer: &Sha256,
        der: &[u8],
        is_issued: bool,
    ) -> Result<Serial, StoreError> {
        let damaged = || StoreError::Damaged { field: "leaf" };
        let identity = ClientIdentity::from_der(der).map_err(|_| damaged())?;
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| damaged())?;
        let key = PublicKey::from_spki_der(certificate.public_key().raw).ok_or_else(damaged)?;
        let issuer = self.issuer(issuer)?.ok_or(StoreError::Damaged { field: "issuer" })?;
        let (serial, device) = (identity.serial(), identity.device());
        let sql = "INSERT INTO devices (device, state, changed, added, device_group) \
                   VALUES (?1, 'registered', ?2, ?2, 'default') ON CONFLICT (device) DO NOTHING";
        self.c.prepare_cached(sql)?.execute(params![device.as_str(), at])?;
        // The intent may be here, left open by the copy; then it is finished with the certificate that its device has.
        let point = key.point();
        // In the place of the nonce, which the log does not have: none of ours is ever the same.
        let nonce = sha256(&[b"from the log\0".as_slice(), serial.as_bytes()].concat());
        let state = if is_issued { "issued" } else { "voided" };
        let sql = "UPDATE certificates SET state = ?1, der = ?2, intent_mac = NULL \
                   WHERE serial = ?3 AND state IN ('intent', 'held', 'voided')";
        let content = is_issued.then_some(der);
        self.c.prepare_cached(sql)?.execute(params![state, content, serial.as_bytes()])?;
        let sql = "SELECT 1 FROM certificates WHERE key_sha256 = ? AND serial <> ?";
        let is_recorded_anew =
            self.c.prepare_cached(sql)?.exists(params![key.spki_sha256(), serial.as_bytes()])?;
        let key_sha256 =
            if is_recorded_anew { in_place_of_key(serial.as_bytes()) } else { *key.spki_sha256() };
        let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
                   recorded, issuer, crl_partition, der) \
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 \
                   WHERE NOT EXISTS (SELECT 1 FROM certificates WHERE serial = ?1)";
        self.c.prepare_cached(sql)?.execute(params![
            serial.as_bytes(),
            device.as_str(),
            state,
            point,
            key_sha256,
            nonce,
            certificate.validity().not_before.timestamp(),
            certificate.validity().not_after.timestamp(),
            at,
            issuer.get(),
            self.partition(issuer, &certificate, identity.not_after())?,
            content,
        ])?;
        if is_issued {
            self.set_state(device, "enrolled", UnixTime::from_secs(at), IN_SERVICE)?;
        }
        Ok(serial)
    }

    /// Revokes a certificate; a device that has none left and whose last was not superseded is out of service again.
    fn revoke(&mut self, serial: &[u8], Revocation { at, reason }: Revocation) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET state = 'revoked', revoked = ?, reason = ? \
                   WHERE serial = ? AND state = 'issued' RETURNING device";
        let mut query = self.c.prepare_cached(sql)?;
        let row = query.find(params![secs(at), reason.name(), serial], |row| device(row, "device"))?;
        let Some(device) = row else { return Ok(()) };
        self.done.revocations += 1;
        match reason {
            Reason::Superseded => {}
            Reason::AffiliationChanged => self.set_state(&device, "registered", at, NO_CERTIFICATE)?,
            // One that was returned cannot be told from one that was retired; if it enrolled again, its leaf follows.
            _ => self.set_state(&device, "revoked", at, NO_CERTIFICATE)?,
        }
        Ok(())
    }

    /// In a condition, ?2 is when it came to that.
    fn set_state(
        &self,
        device: &DeviceId,
        state: &str,
        at: UnixTime,
        condition: &str,
    ) -> Result<(), StoreError> {
        let sql = format!("UPDATE devices SET state = ?1, changed = ?2 WHERE device = ?3 AND {condition}");
        self.c.prepare_cached(&sql)?.execute(params![state, secs(at), device.as_str()])?;
        Ok(())
    }

    /// What the newest list says and nobody here knows yet: the log is a moment behind.
    fn list(&mut self, list: &MissedList) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = ?1 WHERE name = 'crl' AND value < ?1";
        self.c.prepare_cached(sql)?.execute(params![list.number])?;
        let Some(issuer) = self.issuer(&list.issuer)? else { return Ok(()) };
        for (serial, revocation) in &list.entries {
            let sql = "SELECT state, device FROM certificates WHERE serial = ?";
            let mut query = self.c.prepare_cached(sql)?;
            let row = query.find(params![serial.as_bytes()], |row| {
                Ok((row.get::<_, String>("state")?, device(row, "device")?))
            })?;
            match row {
                None => self.unknown(*serial, issuer, *revocation)?,
                Some((state, device))
                    if state == "issued" && revocation.reason == Reason::CertificateHold =>
                {
                    self.set_state(&device, "suspended", revocation.at, "state = 'enrolled'")?;
                    self.done.revocations += 1;
                }
                Some((state, _)) if state == "issued" => {
                    self.revoke(serial.as_bytes(), *revocation)?;
                    log::revoked(self.c, serial.as_bytes(), issuer, revocation.reason, revocation.at)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What was revoked stays so, whatever it was: a broker's or a server's certificate, of which the log has nothing. The list
    /// does not say when it ends; it does before its CA.
    fn unknown(
        &mut self,
        serial: Serial,
        issuer: IssuerNumber,
        revocation: Revocation,
    ) -> Result<(), StoreError> {
        let (not_after, subject) = (revocation.at.after(ISSUING_LIFETIME), "as a list said".to_owned());
        let peer = RevokedPeer { serial, issuer, not_after, subject, revocation };
        if !revocation.reason.is_final() || revoke::list_peer(self.c, &peer)? {
            self.done.unknown += 1;
        }
        Ok(())
    }

    fn issuer(&self, sha256: &Sha256) -> Result<Option<IssuerNumber>, StoreError> {
        let mut query = self.c.prepare_cached("SELECT number FROM issuers WHERE sha256 = ?")?;
        query.find(params![sha256], |row| super::issuers::number(row, "number"))
    }

    /// The list that a certificate names.
    fn partition(
        &self,
        issuer: IssuerNumber,
        certificate: &X509Certificate<'_>,
        ends: UnixTime,
    ) -> Result<u32, StoreError> {
        let Some(url) = list_address(certificate) else { return Ok(0) };
        let mut query =
            self.c.prepare_cached("SELECT coalesce(max(number), 0) FROM crl_partitions WHERE issuer = ?")?;
        let last: u32 = query.query_row(params![issuer.get()], |row| row.get(0))?;
        let mut query =
            self.c.prepare_cached("SELECT number FROM crl_partitions WHERE issuer = ? AND url = ?")?;
        let known = query.find(params![issuer.get(), url], |row| row.get::<_, u32>(0))?;
        let is_it = |address: &CrlAddress, partition: u32| {
            address.of(DistributionPoint { issuer: issuer.get(), partition }) == url
        };
        let new = self.partitioning.and_then(|Partitioning { address, .. }| {
            (1..last.saturating_add(PARTITIONS_AHEAD)).find(|partition| is_it(address, *partition))
        });
        let Some(partition) = known.or(new) else { return Ok(0) };
        crl::count_in(self.c, issuer, partition, &url, ends)?;
        Ok(partition)
    }
}

/// Of a device that got a certificate. It was in service then, whatever had been decided before: it was resumed, or returned and
/// enrolled again. What an operator decided later, in this database before it was looked at, holds.
const IN_SERVICE: &str = "(state IN ('registered', 'held') \
     OR (state IN ('suspended', 'revoked', 'retired') AND changed <= ?2))";

/// Of a device that has nothing in force any more.
const NO_CERTIFICATE: &str = "state IN ('registered', 'held', 'enrolled', 'suspended') AND NOT EXISTS \
     (SELECT 1 FROM certificates WHERE certificates.device = devices.device AND certificates.state = 'issued')";
