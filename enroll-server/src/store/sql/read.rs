//! Queries that change nothing.

use appraisal::{Approval, GroupName, KnownDevice};
use ca::Serial;
use ca::crl::Reason;
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, UnixTime};

use super::convert::{
    certificate_state, device as device_column, device_state, optional_time, secs, serial, sha256, time,
    unsigned, validity,
};
use super::issuers;
use super::search::{MAX_PAGE, cut};
use crate::store::database::{Connection, Row, params};
use crate::store::{
    Certificate, CertificatePage, CertificateState, Device, DeviceState, IssuerNumber, ListPlace, Page,
    Revocation, RevokedEntry, RevokedList, StoreError, StoredEvidence, Tag, Via,
};

pub(super) fn counter(c: &Connection, name: &str) -> Result<u64, StoreError> {
    let mut query = c.prepare_cached("SELECT value FROM counters WHERE name = ?")?;
    let value: i64 = query.query_row(params![name], |row| row.get(0))?;
    u64::try_from(value).map_err(|_| StoreError::Damaged { field: "value" })
}

/// The numbers of the makers and of the reference values, and whether a renewal of the device is wanted and its turn has
/// come.
pub(super) fn circumstances(
    c: &Connection,
    device: &DeviceId,
    now: UnixTime,
) -> Result<(u64, u64, bool), StoreError> {
    let sql = "SELECT (SELECT value FROM counters WHERE name = 'makers') AS makers, \
               (SELECT value FROM counters WHERE name = 'reference') AS reference, \
               EXISTS (SELECT 1 FROM wanted_renewals WHERE device = ? AND turn <= ?) AS wanted";
    let mut query = c.prepare_cached(sql)?;
    query.query_row(params![device.as_str(), secs(now)], |row| {
        Ok((unsigned(row, "makers")?, unsigned(row, "reference")?, row.get("wanted")?))
    })
}

/// The device as the appraisal wants to see it.
pub(super) fn known(
    c: &Connection,
    device: &DeviceId,
    now: UnixTime,
) -> Result<Option<KnownDevice>, StoreError> {
    let sql = "SELECT * FROM devices WHERE device = ?";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![device.as_str()], |row| {
        let group = group(row)?;
        Ok((group, device_state(row)?, row.get("model")?, row.get("idevid_sha256")?, approval(row)?))
    });
    let Some((group, state, model, idevid_spki_sha256, approval)) = row? else { return Ok(None) };
    let state = match state {
        DeviceState::Suspended => appraisal::DeviceState::Suspended,
        DeviceState::Revoked => appraisal::DeviceState::Revoked,
        DeviceState::Retired => appraisal::DeviceState::Retired,
        // It says that there is no certificate that is not revoked.
        DeviceState::Registered => appraisal::DeviceState::Registered,
        DeviceState::Held | DeviceState::Enrolled => in_force(c, device, now)?,
    };
    Ok(Some(KnownDevice { group, state, model, idevid_spki_sha256, approval }))
}

pub(super) fn group(row: &Row<'_>) -> Result<GroupName, StoreError> {
    let found: String = row.get("device_group")?;
    found.parse().map_err(|_| StoreError::Damaged { field: "device_group" })
}

fn approval(row: &Row<'_>) -> Result<Approval, StoreError> {
    let found: Option<Vec<u8>> = row.get("approval")?;
    Ok(match found {
        None if row.get::<_, Option<String>>("denied")?.is_some() => Approval::Denied,
        None => Approval::None,
        Some(empty) if empty.is_empty() => Approval::Device,
        Some(key) => Approval::Key(key.try_into().map_err(|_| StoreError::Damaged { field: "approval" })?),
    })
}

/// What a device has in force.
pub(super) const ISSUED: &str = "SELECT recorded, not_after, key_sha256 FROM certificates \
    WHERE device = ? AND state = 'issued' AND not_after >= ?";

fn in_force(c: &Connection, device: &DeviceId, now: UnixTime) -> Result<appraisal::DeviceState, StoreError> {
    let mut query = c.prepare_cached(ISSUED)?;
    let keys = query.query_map(params![device.as_str(), secs(now)], |row| {
        Ok(((time(row, "recorded")?, time(row, "not_after")?), sha256(row, "key_sha256")?))
    })?;
    // Of one or two, which is cheaper than to have the database sort. Two in one second: the one that lives longer is the newer.
    let newest = keys.into_iter().max_by_key(|(age, _)| *age);
    Ok(newest.map_or(appraisal::DeviceState::Registered, |(_, key)| appraisal::DeviceState::Enrolled { key }))
}

/// Devices with their tags in one column.
pub(super) const DEVICES: &str = "SELECT *, (SELECT string_agg(tag, ' ' ORDER BY tag) FROM device_tags \
                       WHERE device_tags.device = devices.device) AS tags FROM devices";

pub(super) fn device(c: &Connection, device: &DeviceId) -> Result<Option<Device>, StoreError> {
    let mut query = c.prepare_cached(&format!("{DEVICES} WHERE device = ?"))?;
    query.find(params![device.as_str()], device_row)
}

pub(super) fn device_row(row: &Row<'_>) -> Result<Device, StoreError> {
    Ok(Device {
        device: device_column(row, "device")?,
        model: row.get("model")?,
        idevid_sha256: row.get("idevid_sha256")?,
        state: device_state(row)?,
        changed: time(row, "changed")?,
        group: group(row)?,
        tags: tags(row)?,
        denied: row.get("denied")?,
        approved: is_approved(row)?,
        added: time(row, "added")?,
    })
}

/// Whether a held request, or the next enrollment, was approved.
pub(super) fn is_approved(row: &Row<'_>) -> Result<bool, StoreError> {
    Ok(matches!(approval(row)?, Approval::Key(_) | Approval::Device))
}

fn tags(row: &Row<'_>) -> Result<Vec<Tag>, StoreError> {
    let found: Option<String> = row.get("tags")?;
    let found = found.unwrap_or_default();
    let tags: Result<Vec<Tag>, _> = found.split_ascii_whitespace().map(str::parse).collect();
    tags.map_err(|_| StoreError::Damaged { field: "tag" })
}

/// Certificates of a table that is to follow, with the time since when their device is suspended, if it is, and the names of
/// their profiles.
const CERTIFICATES_OF: &str = "SELECT *, (SELECT changed FROM devices WHERE devices.device = certificates.device \
                               AND devices.state = 'suspended') AS held_since, \
                               (SELECT name FROM profiles WHERE profiles.number = certificates.profile) AS profile_name \
                               FROM";

pub(super) fn certificate(c: &Connection, serial: Serial) -> Result<Option<Certificate>, StoreError> {
    let mut query = c.prepare_cached(&format!("{CERTIFICATES_OF} certificates WHERE serial = ?"))?;
    query.find(params![serial.as_bytes()], certificate_row)
}

const NEWEST: &str = "ORDER BY recorded DESC, not_after DESC LIMIT ?2";

/// The newest certificates of a device.
pub(super) fn newest_of_device() -> String {
    format!("{CERTIFICATES_OF} {} {NEWEST}", of_device("", NEWEST))
}

/// Certificates of a device, as a table.
fn of_device(behind: &str, order: &str) -> String {
    // Of each state by itself, which the index has in their order: no more rows are read than are wanted of each.
    let of_state = CertificateState::ALL.map(|state| {
        let state = state.name();
        format!(
            "SELECT * FROM (SELECT * FROM certificates WHERE device = ?1 AND state = '{state}' {behind} {order}) AS {state}"
        )
    });
    format!("({}) AS certificates", of_state.join(" UNION ALL "))
}

pub(super) fn certificates(
    c: &Connection,
    device: Option<&DeviceId>,
    limit: u32,
) -> Result<Vec<Certificate>, StoreError> {
    let sql = match device {
        Some(_) => newest_of_device(),
        None => format!("{CERTIFICATES_OF} certificates WHERE ?1 IS NULL {NEWEST}"),
    };
    let mut query = c.prepare_cached(&sql)?;
    query.query_map(params![device.map(DeviceId::as_str), limit], certificate_row)
}

const BEHIND: &str = "AND (recorded, serial) < (?3, ?4)";
const IN_PAGES: &str = "ORDER BY recorded DESC, serial DESC LIMIT ?2";

/// Those of a page, of all certificates: along the index of their times, in which only those of one second have to be sorted.
pub(super) fn page_of_all() -> String {
    format!("{CERTIFICATES_OF} certificates WHERE ?1 IS NULL {BEHIND} {IN_PAGES}")
}

/// Those of a page, of one device.
pub(super) fn page_of_device() -> String {
    format!("{CERTIFICATES_OF} {} {IN_PAGES}", of_device(BEHIND, IN_PAGES))
}

pub(super) fn certificate_page(
    c: &Connection,
    device: Option<&DeviceId>,
    page: &Page<ListPlace>,
) -> Result<CertificatePage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let (created, serial) = match &page.after {
        // Behind everything that is later than any certificate.
        None => (i64::MAX, Vec::new()),
        Some(place) => (secs(place.created), hex::decode(&place.id).unwrap_or_default()),
    };
    let mut query = c.prepare_cached(&if device.is_some() { page_of_device() } else { page_of_all() })?;
    let values = params![device.map(DeviceId::as_str), limit + 1, created, serial];
    let mut rows = query.query_map(values, |row| Ok((certificate_row(row)?, time(row, "recorded")?)))?;
    let next = cut(&mut rows, limit, |(certificate, created)| ListPlace {
        created: *created,
        id: certificate.serial.to_string(),
    });
    Ok(CertificatePage { certificates: rows.into_iter().map(|(certificate, _)| certificate).collect(), next })
}

fn certificate_row(row: &Row<'_>) -> Result<Certificate, StoreError> {
    let (life, state) = (validity(row)?, certificate_state(row)?);
    let hold = |at| Revocation { at, reason: Reason::CertificateHold };
    let held = match state {
        CertificateState::Issued => optional_time(row, "held_since")?.map(hold),
        _ => None,
    };
    Ok(Certificate {
        serial: serial(row)?,
        device: device_column(row, "device")?,
        state,
        key_sha256: sha256(row, "key_sha256")?,
        not_before: life.not_before,
        not_after: life.not_after,
        revoked: revocation(row)?.or(held),
        via: via(row)?,
        evidence: evidence(row)?,
        der: row.get("der")?,
        issuer: issuers::number(row, "issuer")?,
        profile: row.get("profile_name")?,
    })
}

pub(super) fn revocation(row: &Row<'_>) -> Result<Option<Revocation>, StoreError> {
    let Some(at) = optional_time(row, "revoked")? else { return Ok(None) };
    let name: String = row.get("reason")?;
    let reason = Reason::from_name(&name).ok_or(StoreError::Damaged { field: "reason" })?;
    Ok(Some(Revocation { at, reason }))
}

pub(super) fn via(row: &Row<'_>) -> Result<Via, StoreError> {
    let name: String = row.get("via")?;
    Via::from_name(&name).ok_or(StoreError::Damaged { field: "via" })
}

fn evidence(row: &Row<'_>) -> Result<Option<StoredEvidence>, StoreError> {
    let Some(code) = row.get::<_, Option<i64>>("evidence_kind")? else { return Ok(None) };
    let kind = u64::try_from(code).ok().and_then(EvidenceKind::from_code);
    let kind = kind.ok_or(StoreError::Damaged { field: "evidence_kind" })?;
    Ok(Some(StoredEvidence { kind, body: row.get("evidence")? }))
}

pub(super) fn revoked(
    c: &Connection,
    issuer: IssuerNumber,
    ended_before: UnixTime,
) -> Result<RevokedList, StoreError> {
    // RFC 5280, section 5.3.1: on hold for as long as the device is suspended, then off the list again.
    let sql = "SELECT serial, revoked, reason FROM certificates \
               WHERE state = 'revoked' AND not_after >= ?1 AND issuer = ?2 \
               UNION ALL \
               SELECT serial, devices.changed, 'certificate-hold' \
               FROM devices CROSS JOIN certificates USING (device) \
               WHERE devices.state = 'suspended' \
               AND certificates.state = 'issued' AND not_after >= ?1 AND issuer = ?2 \
               UNION ALL \
               SELECT serial, revoked, reason FROM peer_revocations WHERE not_after >= ?1 AND issuer = ?2";
    let mut query = c.prepare_cached(sql)?;
    let mut entries = query.query_map(params![secs(ended_before), issuer.get()], |row| {
        let revocation = revocation(row)?.ok_or(StoreError::Damaged { field: "revoked" })?;
        Ok(RevokedEntry { serial: serial(row)?, revocation })
    })?;
    // Not by the database: it would go through all certificates in the order of their serial numbers.
    entries.sort_unstable_by_key(|entry| entry.serial);
    Ok(RevokedList { generation: counter(c, "revocations")?, entries })
}
