//! Recording an intent, completing it, giving it up: each runs inside one change of the writer.

use std::sync::Arc;

use appraisal::record::rule;
use appraisal::{GroupName, Verdict};
use ca::{Bound as Profile, RecordedIntent as _, Serial};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, UnixTime};

use super::convert::{
    certificate_state, device as device_column, named_device_state, secs, serial, time, validity,
};
use super::{
    actions, appraisals, credentials, crl, events, issuers, log, profiles, read, renewals, revoke, rollovers,
    tokens,
};
use crate::audit::changes::LastClaims;
use crate::audit::{Actor, EventKind};
use crate::authorization::{Authorized, CredentialFacts, Decision, Facts, decide};
use crate::issuance::sha256;
use crate::store::database::{Connection, Row, params};
use crate::store::held;
use crate::store::{
    Binding, CertificateState, Completed, DeviceState, Move, NewEvent, Observed, Partitioning, RecordLimits,
    RecordOutcome, Recorded, Ruled, Sha256, Standing, StoreError, Via,
};

pub(super) fn record(
    c: &Connection,
    request: &Authorized,
    limits: &RecordLimits,
    partitioning: Option<&Partitioning>,
) -> Result<RecordOutcome, StoreError> {
    match decide(request, &facts(c, request)?) {
        Decision::Record => {
            let quota = quota(c, request)?;
            note_device(c, request, !request.appraised().is_renewal())?;
            note_trust(c, request)?;
            let partition = insert(c, request, CertificateState::Intent, partitioning)?;
            settle(c, request.device(), Move::Issue, request.basis().now)?;
            if let Some(observed) = observed(request) {
                events::accepted(c, &observed)?;
            }
            note_appraisal(c, request, Ruled::Accepted, limits)?;
            note_quota(c, request, quota)?;
            Ok(RecordOutcome::Open(as_inserted(request, partition)))
        }
        Decision::Hold => {
            note_device(c, request, false)?;
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
            let quota = quota(c, request)?;
            release(c, request, serial, partitioning)?;
            note_trust(c, request)?;
            if let Some(observed) = observed(request) {
                events::accepted(c, &observed)?;
            }
            note_appraisal(c, request, Ruled::Accepted, limits)?;
            note_quota(c, request, quota)?;
            recorded(c, serial, Some(&request.basis().profile)).map(RecordOutcome::Open)
        }
        Decision::Known(serial, CertificateState::Issued) => {
            note_trust(c, request)?;
            issued(c, serial)
        }
        Decision::Known(serial, CertificateState::Intent) => {
            note_trust(c, request)?;
            recorded(c, serial, Some(&request.basis().profile)).map(RecordOutcome::Open)
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

/// The quota of the policy, where the request would take a place of it: who has an identity already takes no more
/// room with another one.
fn quota(c: &Connection, request: &Authorized) -> Result<Option<u32>, StoreError> {
    let Some(quota) = request.appraised().quota().filter(|_| !request.appraised().is_renewal()) else {
        return Ok(None);
    };
    let state = read::device(c, request.device())?.map(|device| device.state);
    Ok(Some(quota).filter(|_| state != Some(DeviceState::Enrolled)))
}

/// Whether the quota leaves no room for one more device of the group.
fn group_is_full(c: &Connection, request: &Authorized) -> Result<bool, StoreError> {
    match quota(c, request)? {
        Some(quota) => Ok(appraisals::enrolled(c, &request.basis().group, quota)? >= quota),
        None => Ok(false),
    }
}

/// Says in the audit trail that this request took the last place.
fn note_quota(c: &Connection, request: &Authorized, quota: Option<u32>) -> Result<(), StoreError> {
    let Some(quota) = quota else { return Ok(()) };
    let group = &request.basis().group;
    if appraisals::enrolled(c, group, quota)? < quota {
        return Ok(());
    }
    let detail =
        format!("{quota} devices of the group {group} have an identity, as many as its policy allows");
    events::add(
        c,
        &NewEvent { reason: Some(rule::QUOTA.to_owned()), ..event(request, EventKind::QuotaReached, detail) },
    )
}

fn facts(c: &Connection, request: &Authorized) -> Result<Facts, StoreError> {
    let basis = request.basis();
    let key = request.appraised().csr().spki_sha256();
    let bound = bound(request);
    let (nonce, parent) = bound.columns();
    let idevid = request.appraised().idevid_spki_sha256();
    let mut same = c.prepare_cached(
        "SELECT serial, state FROM certificates \
         WHERE key_sha256 = ? AND device = ? AND nonce IS NOT DISTINCT FROM ? \
         AND (nonce IS NOT NULL OR parent IS NOT DISTINCT FROM ?)",
    )?;
    let same = same.find(params![key, request.device().as_str(), nonce, parent], |row| {
        Ok((serial(row)?, certificate_state(row)?))
    });
    let token_is_good = match &basis.token {
        Some(sha256) => {
            tokens::find(c, sha256)?.is_some_and(|token| token.used_by_key.is_none() && !token.revoked)
        }
        None => true,
    };
    let presented = match basis.presented {
        Some(serial) => read::certificate(c, serial)?.map(|found| (found.device, found.state)),
        None => None,
    };
    // Nothing is equal to NULL.
    let mut elsewhere = c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM certificates WHERE key_sha256 = ?1), \
         EXISTS (SELECT 1 FROM certificates WHERE nonce = ?2), \
         EXISTS (SELECT 1 FROM devices WHERE idevid_sha256 = ?3 AND device <> ?4), \
         EXISTS (SELECT 1 FROM certificates WHERE device = ?4 AND state IN ('intent', 'issued', 'revoked'))",
    )?;
    let (key_known, nonce_used, idevid_elsewhere, had_identity) = elsewhere
        .query_row(params![key, nonce, idevid, request.device().as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    Ok(Facts {
        known: read::known(c, request.device(), basis.now)?,
        same_request: same?,
        key_known,
        nonce_used,
        idevid_elsewhere,
        token_is_good,
        group_is_full: group_is_full(c, request)?,
        credential: match request.appraised().credential() {
            Some(id) => credentials::facts(c, id, request.device(), basis.now)?,
            None => CredentialFacts::NONE,
        },
        had_identity,
        presented,
    })
}

/// What a request is bound to, as it stands in the database.
enum Bound {
    Nonce(Nonce),
    Parent(Serial),
}

impl Bound {
    const fn columns(&self) -> (Option<&Nonce>, Option<&[u8; 16]>) {
        match self {
            Self::Nonce(nonce) => (Some(nonce), None),
            Self::Parent(serial) => (None, Some(serial.as_bytes())),
        }
    }
}

fn bound(request: &Authorized) -> Bound {
    match request.basis().binding {
        Binding::Nonce(nonce) => Bound::Nonce(nonce),
        Binding::Certificate(serial) => Bound::Parent(serial),
        // In the place of a nonce: no nonce of ours, which is authenticated, is ever the same.
        Binding::Key => {
            let key = request.appraised().csr().spki_sha256().as_slice();
            let device = request.device().as_str().as_bytes();
            Bound::Nonce(sha256(&[b"bound to its key\0".as_slice(), key, device].concat()))
        }
    }
}

/// Adds the device where it is new; pins its identity key and model where it had none; with `approved`, uses up an
/// operator's approval. A row in which nothing changes is not written.
fn note_device(c: &Connection, request: &Authorized, approved: bool) -> Result<(), StoreError> {
    let appraised = request.appraised();
    let approval = if approved { "NULL" } else { "devices.approval" };
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
    // What waits for an operator has no identity by a claim certificate yet.
    let waits = of_batch(request) && appraised.decision() == appraisal::Decision::Hold;
    let idevid = appraised.idevid_spki_sha256().filter(|_| !waits);
    let now = secs(request.basis().now);
    let group = appraised.group().map(GroupName::as_str);
    let device = request.device().as_str();
    c.prepare_cached(&sql)?.execute(params![device, appraised.model(), idevid, now, group])?;
    if let (Some(credential), Some(identity)) = (appraised.credential(), appraised.idevid_spki_sha256()) {
        credentials::bring_in(c, credential, request.device(), identity, request.basis().now)?;
    }
    Ok(())
}

/// Writes down which trust bundle the device of a granted request holds, where it said so.
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

fn use_up_approval(c: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE devices SET approval = NULL WHERE device = ?")?
        .execute(params![device.as_str()])?;
    Ok(())
}

/// Adds the record of a request. Gives the list that the certificate will name.
fn insert(
    c: &Connection,
    request: &Authorized,
    state: CertificateState,
    partitioning: Option<&Partitioning>,
) -> Result<u32, StoreError> {
    let (basis, csr) = (request.basis(), request.appraised().csr());
    // One held request a device: a new one takes the place of the last. A renewal has nothing to do with it.
    if !request.appraised().is_renewal() {
        let sql = "UPDATE certificates SET state = 'voided' WHERE device = ? AND state = 'held'";
        c.prepare_cached(sql)?.execute(params![request.device().as_str()])?;
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
               not_after, recorded, evidence_kind, evidence, shown, issuer, crl_partition, via, profile) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
    ])?;
    Ok(partition)
}

/// What [`insert`] has put into the database.
fn as_inserted(request: &Authorized, partition: u32) -> Recorded {
    let (basis, point) = (request.basis(), *request.appraised().csr().point());
    let profile = Some(Arc::clone(&basis.profile));
    let device = request.device().clone();
    Recorded::committed(basis.serial, device, point, basis.validity, (basis.issuer, partition), profile)
}

/// A held request that was approved: its life begins now, not when it was first sent, and the CA that is active now
/// signs it.
fn release(
    c: &Connection,
    request: &Authorized,
    serial: Serial,
    partitioning: Option<&Partitioning>,
) -> Result<(), StoreError> {
    let basis = request.basis();
    let partition = crl::place(c, basis.issuer, basis.validity.not_after, partitioning)?;
    let sql = "UPDATE certificates SET state = 'intent', not_before = ?, not_after = ?, recorded = ?, issuer = ?, \
               crl_partition = ?, profile = ? WHERE serial = ? AND state = 'held'";
    c.prepare_cached(sql)?.execute(params![
        secs(basis.validity.not_before),
        secs(basis.validity.not_after),
        secs(basis.now),
        basis.issuer.get(),
        partition,
        profiles::number(c, &basis.profile)?,
        serial.as_bytes()
    ])?;
    if of_batch(request) {
        let sql = "UPDATE devices SET idevid_sha256 = coalesce(idevid_sha256, ?) WHERE device = ?";
        let identity = request.appraised().idevid_spki_sha256();
        c.prepare_cached(sql)?.execute(params![identity, request.device().as_str()])?;
    }
    use_up_approval(c, request.device())?;
    settle(c, request.device(), Move::Issue, basis.now)
}

/// Whether the request came by the claim certificate of a batch.
fn of_batch(request: &Authorized) -> bool {
    request.appraised().kind() == Some(EvidenceKind::ClaimCertificate)
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

fn recorded(c: &Connection, serial: Serial, likely: Option<&Arc<Profile>>) -> Result<Recorded, StoreError> {
    let sql = format!(
        "SELECT certificates.*, {} FROM certificates {} WHERE serial = ? AND state = 'intent'",
        profiles::COLUMNS,
        profiles::JOIN
    );
    let mut query = c.prepare_cached(&sql)?;
    let row = query.find(params![serial.as_bytes()], |row| recorded_row(row, likely));
    row?.ok_or(StoreError::Damaged { field: "state" })
}

fn recorded_row(row: &Row<'_>, likely: Option<&Arc<Profile>>) -> Result<Recorded, StoreError> {
    let point: Vec<u8> = row.get("point")?;
    let point = point.try_into().map_err(|_| StoreError::Damaged { field: "point" })?;
    let issuer = issuers::number(row, "issuer")?;
    let partition = row.get("crl_partition")?;
    let profile = profiles::of(row, likely)?;
    let (serial, device) = (serial(row)?, device_column(row, "device")?);
    Ok(Recorded::committed(serial, device, point, validity(row)?, (issuer, partition), profile))
}

pub(super) fn open_intents(c: &Connection) -> Result<Vec<Recorded>, StoreError> {
    // With the words of the index of those few, without which a start goes through all certificates.
    let sql = format!(
        "SELECT certificates.*, {} FROM certificates {} \
         WHERE state IN ('held', 'intent') AND state = 'intent' ORDER BY recorded",
        profiles::COLUMNS,
        profiles::JOIN
    );
    let mut query = c.prepare_cached(&sql)?;
    query.query_map(params![], |row| recorded_row(row, None))
}

pub(super) fn complete(
    c: &Connection,
    intent: &Recorded,
    der: &[u8],
    now: UnixTime,
) -> Result<Completed, StoreError> {
    let (serial, device) = (intent.serial(), intent.device());
    let found = asked(c, serial, device)?;
    let from = found.from;
    match found.state {
        Some(CertificateState::Intent) => {}
        Some(CertificateState::Issued) => {
            return found.der.map(Completed::Issued).ok_or(StoreError::Damaged { field: "der" });
        }
        // It was signed: the log says so, and that nobody got it.
        Some(_) => {
            log::discarded(c, serial, intent.issuer(), der, now)?;
            return Ok(Completed::Voided(from));
        }
        None => return Ok(Completed::Voided(from)),
    }
    // Whoever takes a device out of service voids its intents too; this holds even where that was forgotten.
    let Ok(step) = Move::Issue.check(device, from) else {
        void(c, serial, "its device was taken out of service", now)?;
        log::discarded(c, serial, intent.issuer(), der, now)?;
        return Ok(Completed::Voided(from));
    };
    let sql = "UPDATE certificates SET state = 'issued', der = ? WHERE serial = ?";
    c.prepare_cached(sql)?.execute(params![der, serial.as_bytes()])?;
    log::issued(c, serial, intent.issuer(), der, now)?;
    if found.others {
        revoke::superseded(c, device, serial, now)?;
    }
    let to = step.to(Standing { request: found.request, certificate: true });
    actions::put(c, device, (from, to), now)?;
    let mut detail = format!("serial {serial} until {}", intent.validity().not_after);
    if found.via != Via::Native {
        detail = format!("{detail}, {}", found.via.phrase());
    }
    let mut event = NewEvent::new(now, EventKind::Issued, detail).about(device).by(Actor::Device);
    if renewals::forget(c, device)? {
        event = event.because(EventKind::RenewalWanted.name());
    }
    events::add(c, &event.on(found.evidence_sha256))?;
    if found.is_renewal {
        note_grace(c, device, serial, now)?;
    }
    Ok(Completed::Issued(der.to_vec()))
}

/// What a certificate that was signed meets in the store.
struct Awaited {
    /// The device's state.
    from: DeviceState,
    /// A request of the device waits for an operator.
    request: bool,
    /// The device has certificates in force.
    others: bool,
    /// The state of what was asked for, if it was.
    state: Option<CertificateState>,
    /// The certificate, where it was signed and stored before.
    der: Option<Vec<u8>>,
    is_renewal: bool,
    via: Via,
    evidence_sha256: Option<Sha256>,
}

fn asked(c: &Connection, serial: Serial, device: &DeviceId) -> Result<Awaited, StoreError> {
    let sql = "SELECT devices.state AS device_state, asked.state AS state, via, evidence, der, \
               parent IS NOT NULL AS is_renewal, \
               EXISTS (SELECT 1 FROM certificates WHERE device = ?2 AND state = 'held') AS request, \
               EXISTS (SELECT 1 FROM certificates WHERE device = ?2 AND state = 'issued') AS others \
               FROM devices LEFT JOIN certificates AS asked ON asked.serial = ?1 WHERE devices.device = ?2";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![serial.as_bytes(), device.as_str()], |row| {
        let there = row.get::<_, Option<String>>("state")?.is_some();
        Ok(Awaited {
            from: named_device_state(row, "device_state")?,
            request: row.get("request")?,
            others: row.get("others")?,
            state: there.then(|| certificate_state(row)).transpose()?,
            der: row.get("der")?,
            is_renewal: row.get("is_renewal")?,
            via: if there { read::via(row)? } else { Via::Native },
            evidence_sha256: row.get::<_, Option<Vec<u8>>>("evidence")?.and_then(|body| events::hash(&body)),
        })
    });
    row?.ok_or(StoreError::Damaged { field: "device" })
}

/// Says in the trail that a certificate was renewed after its end: the policy's grace allowed it.
fn note_grace(c: &Connection, device: &DeviceId, serial: Serial, now: UnixTime) -> Result<(), StoreError> {
    let sql = "SELECT old.serial AS serial, old.not_after AS ended, new.recorded AS renewed \
               FROM certificates new JOIN certificates old ON old.serial = new.parent \
               WHERE new.serial = ? AND old.not_after < new.recorded";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![serial.as_bytes()], |row| {
        Ok((super::convert::serial(row)?, time(row, "ended")?, time(row, "renewed")?))
    });
    if let Some((old, ended, renewed)) = row? {
        let late = renewed.since(ended).as_secs();
        let detail = format!("serial {serial} for {old}, {late} s after its end at {ended}");
        let event = NewEvent::new(now, EventKind::RenewedInGrace, detail).about(device).by(Actor::Device);
        events::add(c, &event.because(rule::RENEWAL_GRACE))?;
    }
    Ok(())
}

pub(super) fn void(c: &Connection, serial: Serial, reason: &str, now: UnixTime) -> Result<(), StoreError> {
    let sql =
        "UPDATE certificates SET state = 'voided' WHERE serial = ? AND state = 'intent' RETURNING device";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![serial.as_bytes()], |row| device_column(row, "device"));
    if let Some(device) = row? {
        let detail = format!("serial {serial}: {reason}");
        events::add(c, &NewEvent::new(now, EventKind::Voided, detail).about(&device))?;
    }
    Ok(())
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
