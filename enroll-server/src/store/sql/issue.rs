//! Recording an intent: runs inside one change of the writer.

use std::sync::Arc;

use appraisal::record::rule;
use appraisal::{GroupName, Verdict};
use ca::{Bound as Profile, Serial};
use shared::{DeviceId, UnixTime};

use super::convert::{device as device_column, secs, serial, validity};
use super::facts::{bound, facts};
use super::{
    actions, appraisals, complete, credentials, crl, events, issuers, profiles, quota, rollovers, tokens,
};
use crate::audit::changes::LastClaims;
use crate::audit::{Actor, EventKind};
use crate::authorization::{Authorized, Decision, decide};
use crate::store::database::{Connection, Row, params};
use crate::store::held;
use crate::store::{
    CertificateState, Move, NewEvent, Observed, OpenIntent, Partitioning, RecordLimits, RecordOutcome,
    Recorded, Ruled, Sha256, StoreError,
};

pub(super) fn record(
    c: &Connection,
    request: &Authorized,
    limits: &RecordLimits,
    partitioning: Option<&Partitioning>,
) -> Result<RecordOutcome, StoreError> {
    let facts = facts(c, request)?;
    match decide(request, &facts) {
        Decision::Record | Decision::Release(_) | Decision::Known(_, CertificateState::Intent)
            if !facts.issuer_in_force =>
        {
            Ok(RecordOutcome::OtherCa)
        }
        Decision::Record => {
            let wanted = quota::wanted(c, request)?;
            note_device(c, request, CertificateState::Intent)?;
            let recorded = insert(c, request, CertificateState::Intent, partitioning)?;
            settle(c, request.device(), Move::Issue, request.basis().now)?;
            if let Some(observed) = observed(request) {
                events::accepted(c, &observed)?;
            }
            note_appraisal(c, request, Ruled::Accepted, limits)?;
            note_quota(c, request, wanted)?;
            Ok(RecordOutcome::Open(recorded))
        }
        Decision::Hold => {
            note_device(c, request, CertificateState::Held)?;
            insert(c, request, CertificateState::Held, partitioning)?;
            settle(c, request.device(), Move::Hold, request.basis().now)?;
            note_appraisal(c, request, Ruled::Held, limits)?;
            let detail = format!("key {}", hex::encode(request.appraised().csr().spki_sha256()));
            events::add(c, &event(request, EventKind::Held, detail))?;
            if let Some(observed) = observed(request) {
                events::observed(c, &observed)?;
            }
            Ok(RecordOutcome::Held)
        }
        Decision::Release(serial) => {
            let wanted = quota::wanted(c, request)?;
            let recorded = release(c, request, serial, partitioning)?;
            if let Some(observed) = observed(request) {
                events::accepted(c, &observed)?;
            }
            note_appraisal(c, request, Ruled::Accepted, limits)?;
            note_quota(c, request, wanted)?;
            Ok(RecordOutcome::Open(recorded))
        }
        Decision::Known(serial, CertificateState::Issued) => {
            note_trust(c, request)?;
            issued(c, serial)
        }
        Decision::Known(serial, CertificateState::Intent) => {
            match found(c, serial, request)?.known_by(&request.basis().intents) {
                Ok(recorded) => Ok(RecordOutcome::Open(recorded.with_trust(request.basis().trust))),
                Err(why) => {
                    complete::disown(c, serial, why, request.basis().now)?;
                    // As for every request that was given up: a new one may come.
                    record(c, request, limits, partitioning)
                }
            }
        }
        Decision::Known(..) => Ok(RecordOutcome::Held),
        Decision::Changed => Ok(RecordOutcome::Changed),
        Decision::Refuse(refused) => Ok(RecordOutcome::Refused(refused)),
    }
}

/// What [`record`] would decide.
pub(super) fn would(c: &Connection, request: &Authorized) -> Result<Decision, StoreError> {
    Ok(decide(request, &facts(c, request)?))
}

/// Records what was decided, and why, with what it led to.
fn note_appraisal(
    c: &Connection,
    request: &Authorized,
    ruled: Ruled,
    limits: &RecordLimits,
) -> Result<(), StoreError> {
    match &request.basis().record {
        Some(record) => appraisals::add_as(c, record, ruled, limits),
        None => Ok(()),
    }
}

/// Says in the audit trail that this request took the last place.
fn note_quota(c: &Connection, request: &Authorized, wanted: Option<u32>) -> Result<(), StoreError> {
    let Some(quota) = wanted else { return Ok(()) };
    let group = &request.basis().group;
    if quota::taken(c, group, quota)? < quota {
        return Ok(());
    }
    let detail =
        format!("{quota} devices of the group {group} have an identity, as many as its policy allows");
    events::add(
        c,
        &NewEvent { reason: Some(rule::QUOTA.to_owned()), ..event(request, EventKind::QuotaReached, detail) },
    )
}

/// Adds the device where it is new, for a request that is recorded in `state`. One that is to get its certificate pins identity
/// key and model where there were none, and an enrollment uses up an operator's approval. A row in which nothing changes is
/// not written.
fn note_device(c: &Connection, request: &Authorized, state: CertificateState) -> Result<(), StoreError> {
    let appraised = request.appraised();
    // What waits for an operator pins nothing: whoever asks in a device's name would keep it, denied or not.
    let granted = state != CertificateState::Held;
    let approval = if granted && !appraised.is_renewal() { "NULL" } else { "devices.approval" };
    let sql = format!(
        "INSERT INTO devices (device, model, idevid_sha256, state, changed, added, device_group) \
         VALUES (?1, ?2, ?3, 'registered', ?4, ?4, coalesce(?5, 'default')) \
         ON CONFLICT (device) DO UPDATE SET \
         model = coalesce(devices.model, excluded.model), \
         idevid_sha256 = coalesce(devices.idevid_sha256, excluded.idevid_sha256), \
         device_group = CASE devices.device_group WHEN 'default' THEN excluded.device_group \
         ELSE devices.device_group END, \
         approval = {approval} \
         WHERE (devices.model IS NULL AND excluded.model IS NOT NULL) \
         OR (devices.idevid_sha256 IS NULL AND excluded.idevid_sha256 IS NOT NULL) \
         OR (devices.device_group = 'default' AND excluded.device_group <> 'default') \
         OR devices.approval IS DISTINCT FROM {approval}"
    );
    let idevid = appraised.idevid_spki_sha256().filter(|_| granted);
    let model = appraised.model().filter(|_| granted);
    let now = secs(request.basis().now);
    let group = appraised.group().map(GroupName::as_str);
    let device = request.device().as_str();
    c.prepare_cached(&sql)?.execute(params![device, model, idevid, now, group])?;
    if let (Some(credential), Some(identity)) = (appraised.credential(), appraised.idevid_spki_sha256()) {
        credentials::bring_in(c, credential, request.device(), identity, request.basis().now)?;
    }
    Ok(())
}

/// Writes down which trust bundle the device of a request that was granted before holds, where it says so.
fn note_trust(c: &Connection, request: &Authorized) -> Result<(), StoreError> {
    match request.basis().trust {
        Some(number) => rollovers::note_trust(c, request.device(), number, request.basis().now),
        None => Ok(()),
    }
}

/// The state after something happened that [`decide`] allowed.
fn settle(c: &Connection, device: &DeviceId, step: Move, now: UnixTime) -> Result<(), StoreError> {
    let (from, standing) = actions::standing(c, device)?.ok_or(StoreError::Damaged { field: "device" })?;
    let step = step.check(device, from).map_err(actions::undecided)?;
    actions::put(c, device, (from, step.to(standing)), now)
}

/// A new request takes the place of one that waits.
pub(super) const REPLACED: &str =
    "UPDATE certificates SET state = 'voided' WHERE device = ? AND state = 'held'";

/// Adds the record of a request. Gives what was recorded.
fn insert(
    c: &Connection,
    request: &Authorized,
    state: CertificateState,
    partitioning: Option<&Partitioning>,
) -> Result<Recorded, StoreError> {
    let (basis, csr) = (request.basis(), request.appraised().csr());
    // One held request a device: a new one takes the place of the last. A renewal has nothing to do with it.
    if !request.appraised().is_renewal() {
        c.prepare_cached(REPLACED)?.execute(params![request.device().as_str()])?;
    }
    if let Some(token) = &basis.token {
        tokens::use_up(c, token, request.device(), csr.spki_sha256())?;
    }
    let bound = bound(request);
    let (nonce, _) = bound.columns();
    // What waits is placed when it is released: only then is it certain that there will be a certificate.
    let partition = match state {
        CertificateState::Held => 0,
        _ => crl::place(c, basis.issuer, basis.validity.not_after, partitioning)?,
    };
    let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, parent, not_before, \
               not_after, recorded, evidence_kind, evidence, shown, issuer, crl_partition, via, profile, intent_mac) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let recorded = to_be_recorded(request, basis.serial, partition);
    let evidence = basis.evidence.as_ref();
    let kind = evidence.map(|evidence| i64::try_from(evidence.kind.code()).unwrap_or(i64::MAX));
    c.prepare_cached(sql)?.execute(params![
        basis.serial.as_bytes(),
        request.device().as_str(),
        state.name(),
        csr.point(),
        csr.spki_sha256(),
        nonce,
        basis.presented.as_ref().map(Serial::as_bytes),
        secs(basis.validity.not_before),
        secs(basis.validity.not_after),
        secs(basis.now),
        kind,
        evidence.map(|evidence| &evidence.body),
        (state == CertificateState::Held).then(|| held::shown(request.appraised()).to_string()),
        basis.issuer.get(),
        partition,
        basis.via.name(),
        profiles::number(c, &basis.profile)?,
        // What waits is judged again before it becomes an intent.
        (state == CertificateState::Intent).then(|| basis.intents.mac(&recorded)),
    ])?;
    Ok(recorded)
}

/// What goes into the database for the request, and is signed once it is there.
fn to_be_recorded(request: &Authorized, serial: Serial, partition: u32) -> Recorded {
    let (basis, point) = (request.basis(), *request.appraised().csr().point());
    let profile = Some(Arc::clone(&basis.profile));
    let device = request.device().clone();
    Recorded::committed(serial, device, point, basis.validity, (basis.issuer, partition), profile)
        .with_trust(basis.trust)
}

/// A held request that was approved: its life begins now, not when it was first sent, and the CA that is active now
/// signs it. Of the key counts what the request proves to possess, and not what stands in the row.
fn release(
    c: &Connection,
    request: &Authorized,
    serial: Serial,
    partitioning: Option<&Partitioning>,
) -> Result<Recorded, StoreError> {
    let basis = request.basis();
    let partition = crl::place(c, basis.issuer, basis.validity.not_after, partitioning)?;
    let sql = "UPDATE certificates SET state = 'intent', not_before = ?, not_after = ?, recorded = ?, issuer = ?, \
               crl_partition = ?, profile = ?, intent_mac = ? WHERE serial = ? AND state = 'held'";
    let recorded = to_be_recorded(request, serial, partition);
    c.prepare_cached(sql)?.execute(params![
        secs(basis.validity.not_before),
        secs(basis.validity.not_after),
        secs(basis.now),
        basis.issuer.get(),
        partition,
        profiles::number(c, &basis.profile)?,
        basis.intents.mac(&recorded),
        serial.as_bytes()
    ])?;
    note_device(c, request, CertificateState::Intent)?;
    settle(c, request.device(), Move::Issue, basis.now)?;
    Ok(recorded)
}

fn issued(c: &Connection, serial: Serial) -> Result<RecordOutcome, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM certificates WHERE serial = ? AND state = 'issued'")?;
    let row = query.find(params![serial.as_bytes()], |row| {
        Ok(RecordOutcome::Issued {
            der: row.get("der")?,
            validity: validity(row)?,
            issuer: issuers::number(row, "issuer")?,
        })
    });
    row?.ok_or(StoreError::Damaged { field: "state" })
}

/// What stands there, as `request` asks for it again.
fn found(c: &Connection, serial: Serial, request: &Authorized) -> Result<OpenIntent, StoreError> {
    let sql = format!(
        "SELECT certificates.*, {} FROM certificates {} WHERE serial = ? AND state = 'intent'",
        profiles::COLUMNS,
        profiles::JOIN
    );
    let mut query = c.prepare_cached(&sql)?;
    let likely = Some(&request.basis().profile);
    let row = query.find(params![serial.as_bytes()], |row| open_row(row, likely))?;
    row.ok_or(StoreError::Damaged { field: "state" })
}

fn open_row(row: &Row<'_>, likely: Option<&Arc<Profile>>) -> Result<OpenIntent, StoreError> {
    let point: Vec<u8> = row.get("point")?;
    let point = point.try_into().map_err(|_| StoreError::Damaged { field: "point" })?;
    let issuer = issuers::number(row, "issuer")?;
    let partition = row.get("crl_partition")?;
    let profile = profiles::of(row, likely)?;
    let (serial, device) = (serial(row)?, device_column(row, "device")?);
    let recorded = Recorded::committed(serial, device, point, validity(row)?, (issuer, partition), profile);
    Ok(OpenIntent::found(recorded, row.get("intent_mac")?))
}

/// Those that are open, in the order in which they were asked for. Not by the time that was recorded: a clock that was set back
/// would have an old request take the place of the one that the device waits for.
pub(super) fn open_intents(c: &Connection) -> Result<Vec<OpenIntent>, StoreError> {
    // With the words of the index of those few, without which a start goes through all certificates.
    let sql = format!(
        "SELECT certificates.*, {} FROM certificates {} \
         WHERE state IN ('held', 'intent') AND state = 'intent' ORDER BY certificates.rowid",
        profiles::COLUMNS,
        profiles::JOIN
    );
    let mut query = c.prepare_cached(&sql)?;
    query.query_map(params![], |row| open_row(row, None))
}

fn event(request: &Authorized, kind: EventKind, detail: String) -> NewEvent {
    let deciding = request.appraised().rules().iter().rev().find(|rule| rule.verdict == Verdict::Held);
    let event = NewEvent::new(request.basis().now, kind, detail).about(request.device()).by(Actor::Device);
    let reason = deciding.map(|rule| rule.rule.to_owned());
    NewEvent { reason, ..event.on(evidence_sha256(request)) }
}

fn evidence_sha256(request: &Authorized) -> Option<Sha256> {
    request.basis().evidence.as_ref().and_then(|evidence| events::hash(&evidence.body))
}

/// What the request says of its device, where its evidence says something.
fn observed(request: &Authorized) -> Option<Observed> {
    Some(Observed {
        device: request.device().clone(),
        claims: LastClaims::from(request.appraised().claims()?),
        evidence_sha256: evidence_sha256(request),
        at: request.basis().now,
    })
}
