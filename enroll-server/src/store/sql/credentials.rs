//! Credentials: symmetric keys and batches.

use appraisal::record::rule;
use appraisal::{GroupName, own_key_identity};
use shared::{DeviceId, UnixTime};

use super::convert::{optional_device, optional_time, secs, time};
use super::search::{MAX_PAGE, cut};
use super::{events, grants};
use crate::audit::EventKind;
use crate::authorization::CredentialFacts;
use crate::store::database::{Connection, Row, params};
use crate::store::{
    Credential, CredentialKind, CredentialPage, FoundCredential, ListPlace, NewCredential, NewEvent, Page,
    Sha256, StoreError,
};

pub(super) fn add(c: &Connection, new: &NewCredential) -> Result<(), StoreError> {
    let credential = &new.credential;
    let sql = "INSERT INTO credentials (id, kind, name, device, device_group, secret, certificate, hold, created, \
               expires, quota) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *";
    let values = params![
        credential.id,
        credential.kind.name(),
        credential.name,
        credential.device.as_ref().map(DeviceId::as_str),
        credential.group.as_ref().map(GroupName::as_str),
        new.secret,
        new.certificate,
        credential.hold,
        secs(credential.created),
        credential.expires.map(secs),
        credential.quota,
    ];
    let row = c.prepare_cached(sql)?.query_row(values, grants::credential)?;
    if let Some(device) = &credential.device {
        take_over_from_group(c, device)?;
    }
    let mut event = NewEvent::new(credential.created, EventKind::CredentialCreated, row.said());
    event.device.clone_from(&credential.device);
    events::add(c, &event)
}

/// A device that came in by its group's key is known by its own from now on: the operator says that it is the same.
fn take_over_from_group(c: &Connection, device: &DeviceId) -> Result<(), StoreError> {
    let sql = "UPDATE devices SET idevid_sha256 = ?2 WHERE device = ?1 AND idevid_sha256 IN \
               (SELECT identity FROM credential_devices JOIN credentials ON id = credential \
               WHERE credential_devices.device = ?1 AND kind = 'group-key')";
    c.prepare_cached(sql)?.execute(params![device.as_str(), own_key_identity(device)])?;
    Ok(())
}

/// Those of some kinds, behind a place: of each kind along an index, whatever number of others there is.
pub(super) fn page_text(kinds: &[CredentialKind]) -> String {
    const IN_PAGES: &str = "ORDER BY created DESC, id DESC LIMIT ?1";
    let of_kind = kinds.iter().map(|kind| {
        let kind = kind.name();
        format!(
            "SELECT * FROM (SELECT * FROM credentials WHERE kind = '{kind}' AND (created, id) < (?2, ?3) {IN_PAGES}) AS k"
        )
    });
    let of_kinds: Vec<_> = of_kind.collect();
    format!("SELECT * FROM ({}) AS credentials {IN_PAGES}", of_kinds.join(" UNION ALL "))
}

pub(super) fn page(
    c: &Connection,
    kinds: &[CredentialKind],
    page: &Page<ListPlace>,
) -> Result<CredentialPage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    // Behind everything that is later than any credential, where no place is named.
    let (created, id) = page.after.as_ref().map_or((i64::MAX, ""), |place| (secs(place.created), &*place.id));
    let mut query = c.prepare_cached(&page_text(kinds))?;
    let mut credentials = query.query_map(params![limit + 1, created, id], credential)?;
    let next = cut(&mut credentials, limit, |credential| ListPlace {
        created: credential.created,
        id: credential.id.clone(),
    });
    Ok(CredentialPage { credentials, next })
}

pub(super) fn named(c: &Connection, id: &str) -> Result<Option<Credential>, StoreError> {
    c.prepare_cached("SELECT * FROM credentials WHERE id = ?")?.find(params![id], credential)
}

/// The oldest key that is not revoked.
pub(super) fn oldest_key(c: &Connection) -> Result<Option<Credential>, StoreError> {
    // Of each kind along its index.
    let of_kind = [CredentialKind::DeviceKey, CredentialKind::GroupKey].map(|kind| {
        let kind = kind.name();
        format!(
            "SELECT * FROM (SELECT * FROM credentials WHERE kind = '{kind}' AND revoked IS NULL {FIRST}) AS k"
        )
    });
    let sql = format!("SELECT * FROM ({}) AS credentials {FIRST}", of_kind.join(" UNION ALL "));
    c.prepare_cached(&sql)?.find(params![], credential)
}

const FIRST: &str = "ORDER BY created, id LIMIT 1";

/// The credential of this name, and how it stands to `device`.
pub(super) fn find(
    c: &Connection,
    id: &str,
    device: &DeviceId,
) -> Result<Option<FoundCredential>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM credentials WHERE id = ?")?;
    let found =
        query.find(params![id], |row| Ok((credential(row)?, row.get("secret")?, row.get("certificate")?)))?;
    let Some((credential, secret, certificate)) = found else { return Ok(None) };
    let overridden = credential.kind == CredentialKind::GroupKey && has_own_key(c, device)?;
    let brought_in = brought_in(c, id, device)?;
    Ok(Some(FoundCredential { credential, secret, certificate, overridden, brought_in }))
}

pub(super) fn batches(c: &Connection, device: &DeviceId) -> Result<Vec<FoundCredential>, StoreError> {
    let mut query =
        c.prepare_cached("SELECT id FROM credentials WHERE kind = 'batch' ORDER BY created, id")?;
    let ids = query.query_map(params![], |row| row.get::<_, String>(0))?;
    ids.iter().filter_map(|id| find(c, id, device).transpose()).collect()
}

fn has_own_key(c: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    let mut query = c.prepare_cached("SELECT 1 FROM credentials WHERE device = ?")?;
    query.exists(params![device.as_str()])
}

fn brought_in(c: &Connection, id: &str, device: &DeviceId) -> Result<bool, StoreError> {
    let mut query =
        c.prepare_cached("SELECT 1 FROM credential_devices WHERE credential = ? AND device = ?")?;
    query.exists(params![id, device.as_str()])
}

/// How the credential stands, for the decision in the recording transaction.
pub(super) fn facts(
    c: &Connection,
    id: &str,
    device: &DeviceId,
    now: UnixTime,
) -> Result<CredentialFacts, StoreError> {
    let Some(found) = find(c, id, device)? else { return Ok(CredentialFacts::default()) };
    let credential = &found.credential;
    Ok(CredentialFacts {
        good: credential.revoked.is_none()
            && !found.overridden
            && credential.expires.is_none_or(|end| now <= end),
        quota_left: found.brought_in || credential.quota.is_none_or(|quota| credential.used < quota),
        brought_in: found.brought_in,
    })
}

/// Counts a device that is recorded, once.
pub(super) fn bring_in(
    c: &Connection,
    id: &str,
    device: &DeviceId,
    identity: &Sha256,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO credential_devices (credential, device, identity, at) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO NOTHING";
    if c.prepare_cached(sql)?.execute(params![id, device.as_str(), identity, secs(now)])? == 0 {
        return Ok(());
    }
    let sql = "UPDATE credentials SET used = used + 1 WHERE id = ? RETURNING quota IS NOT DISTINCT FROM used";
    // The table's own check refuses what is beyond the quota, should the decision before not hold.
    let reached: bool = c.prepare_cached(sql)?.query_row(params![id], |row| row.get(0))?;
    if reached {
        let detail = format!("credential {id} has brought in as many devices as it may");
        events::add(
            c,
            &NewEvent::new(now, EventKind::QuotaReached, detail).about(device).because(rule::QUOTA),
        )?;
    }
    Ok(())
}

pub(super) fn revoke(c: &Connection, id: &str, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE credentials SET revoked = coalesce(revoked, ?) WHERE id = ?";
    let found = c.prepare_cached(sql)?.execute(params![secs(now), id])? > 0;
    if found {
        let detail = format!("credential {id}");
        events::add(c, &NewEvent::new(now, EventKind::CredentialRevoked, detail))?;
    }
    Ok(found)
}

fn credential(row: &Row<'_>) -> Result<Credential, StoreError> {
    let kind: String = row.get("kind")?;
    let kind = CredentialKind::ALL.into_iter().find(|known| known.name() == kind);
    Ok(Credential {
        id: row.get("id")?,
        kind: kind.ok_or(StoreError::Damaged { field: "kind" })?,
        name: row.get("name")?,
        device: optional_device(row, "device")?,
        group: super::convert::optional_group(row)?,
        hold: row.get("hold")?,
        created: time(row, "created")?,
        expires: optional_time(row, "expires")?,
        revoked: optional_time(row, "revoked")?,
        quota: row.get("quota")?,
        used: row.get("used")?,
    })
}
