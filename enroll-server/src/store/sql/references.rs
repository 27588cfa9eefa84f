//! Reference values: release keys, sets with their versions, and what counts now.

use appraisal::ReferenceValues;
use appraisal::policy::{KnownGood, ReferenceSet};
use reference_values::{Authority, Release, ReleaseKey};
use shared::UnixTime;

use super::convert::{optional_time, secs, sha256, time, unsigned};
use super::reference_plan::{Plan, plan};
use super::{SqlStore, events, read, revoke};
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, params};
use crate::store::{
    ImportTerms, KeyAdded, NewEvent, ReferenceSetRow, ReferenceState, ReferenceStore, ReleaseOutcome, Reply,
    SetChange, SetImport, Sha256, StoreError, StoredKey,
};

impl ReferenceStore for SqlStore {
    fn add_release_key(&self, key: ReleaseKey, now: UnixTime) -> Reply<'_, KeyAdded> {
        self.write(move |c| add_key(c, &key, now))
    }

    fn release_keys(&self) -> Reply<'_, Vec<StoredKey>> {
        self.read(keys)
    }

    fn remove_release_key(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| remove_key(c, &sha256, now))
    }

    fn import_release(&self, release: Release, terms: ImportTerms) -> Reply<'_, ReleaseOutcome> {
        if terms.dry_run {
            return self.read(move |c| Ok(outcome(plan(c, &release, &terms)?)));
        }
        self.write(move |c| import(c, &release, &terms))
    }

    fn reference_sets(&self) -> Reply<'_, Vec<ReferenceSetRow>> {
        self.read(|c| {
            let order = "ORDER BY maker, name, version DESC, id DESC";
            let mut query = c.prepare_cached(&format!("{SETS} {order}"))?;
            query.query_map(params![], set_row)
        })
    }

    fn reference_values_of(&self, set: i64, limit: u32) -> Reply<'_, Vec<KnownGood>> {
        self.read(move |c| {
            let sql = "SELECT * FROM reference_values WHERE set_id = ? ORDER BY position LIMIT ?";
            let mut query = c.prepare_cached(sql)?;
            query.query_map(params![set, limit], known)
        })
    }

    fn find_digest(&self, digest: Vec<u8>) -> Reply<'_, Vec<(ReferenceSetRow, KnownGood)>> {
        self.read(move |c| find(c, &digest))
    }

    fn withdraw_reference(&self, set: i64, reason: String, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| withdraw(c, set, &reason, now))
    }

    fn active_reference(&self) -> Reply<'_, (u64, ReferenceValues)> {
        self.read(|c| {
            // A reader's queries are one transaction, so the number is that of what was read.
            Ok((read::counter(c, "reference")?, active(c)?.into()))
        })
    }
}

/// A set with the number of its values.
const SETS: &str = "SELECT s.*, (SELECT count(*) FROM reference_values v WHERE v.set_id = s.id) AS count \
                    FROM reference_sets s";

fn add_key(c: &Connection, key: &ReleaseKey, now: UnixTime) -> Result<KeyAdded, StoreError> {
    let sql = "SELECT maker, removed IS NULL FROM release_keys WHERE sha256 = ?";
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    match c.prepare_cached(sql)?.find(params![key.sha256()], read)? {
        Some((maker, _)) if maker != key.maker() => return Ok(KeyAdded::OfAnother(maker)),
        Some((_, true)) => return Ok(KeyAdded::Known),
        Some((_, false)) => {
            let sql = "UPDATE release_keys SET removed = NULL, added = ? WHERE sha256 = ?";
            c.prepare_cached(sql)?.execute(params![secs(now), key.sha256()])?;
        }
        None => {
            let sql = "INSERT INTO release_keys (sha256, maker, spki, added) VALUES (?, ?, ?, ?)";
            let values = params![key.sha256(), key.maker(), key.spki(), secs(now)];
            c.prepare_cached(sql)?.execute(values)?;
        }
    }
    let detail = format!("of {} {}", key.maker(), hex::encode(key.sha256()));
    events::add(c, &NewEvent::new(now, EventKind::ReleaseKeyAdded, detail))?;
    Ok(KeyAdded::Added)
}

fn keys(c: &Connection) -> Result<Vec<StoredKey>, StoreError> {
    let sql = "SELECT * FROM release_keys WHERE removed IS NULL ORDER BY maker, sha256";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![], |row| {
        Ok(StoredKey {
            maker: row.get("maker")?,
            sha256: sha256(row, "sha256")?,
            added: time(row, "added")?,
            spki: row.get("spki")?,
        })
    })
}

fn remove_key(c: &Connection, sha256: &Sha256, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE release_keys SET removed = ? WHERE sha256 = ? AND removed IS NULL";
    let removed = c.prepare_cached(sql)?.execute(params![secs(now), sha256])? > 0;
    if removed {
        let event = NewEvent::new(now, EventKind::ReleaseKeyRemoved, hex::encode(sha256));
        events::add(c, &event)?;
    }
    Ok(removed)
}

fn outcome(plan: Plan) -> ReleaseOutcome {
    if plan.refused.is_empty() {
        ReleaseOutcome::Imported(plan.sets)
    } else {
        ReleaseOutcome::Refused(plan.refused)
    }
}

fn import(c: &Connection, release: &Release, terms: &ImportTerms) -> Result<ReleaseOutcome, StoreError> {
    let plan = plan(c, release, terms)?;
    if !plan.refused.is_empty() {
        return Ok(outcome(plan));
    }
    let changed = plan.sets.iter().any(|set| set.change != SetChange::Unchanged);
    for (set, planned) in release.manifest().sets.iter().zip(&plan.sets) {
        if planned.change != SetChange::Unchanged {
            store(c, release, &set.sha256, &set.known, planned, terms)?;
        }
    }
    if changed {
        revoke::raise(c, "reference")?;
    }
    Ok(outcome(plan))
}

fn store(
    c: &Connection,
    release: &Release,
    content_sha256: &Sha256,
    values: &[KnownGood],
    planned: &SetImport,
    terms: &ImportTerms,
) -> Result<(), StoreError> {
    let (manifest, maker, now) = (release.manifest(), release.maker(), secs(terms.now));
    let sql = "UPDATE reference_sets SET state = 'superseded', ended = ? \
               WHERE maker = ? AND name = ? AND state = 'active'";
    c.prepare_cached(sql)?.execute(params![now, maker, planned.name])?;
    let sql = "INSERT INTO reference_sets (maker, name, version, state, format, manifest, profile, file_sha256, \
               content_sha256, signer_sha256, signer, not_before, not_after, imported) \
               VALUES (?, ?, ?, 'active', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";
    let (signer_sha256, signer) = match release.authority() {
        Authority::Operator => (None, None),
        Authority::Key { sha256 } => (Some(sha256), None),
        Authority::Certificate { subject, sha256 } => (Some(sha256), Some(subject)),
    };
    let set = params![
        maker,
        planned.name,
        planned.version,
        manifest.format.name(),
        manifest.id,
        manifest.profile,
        terms.file_sha256,
        content_sha256,
        signer_sha256,
        signer,
        manifest.validity.not_before.map(secs),
        manifest.validity.not_after.map(secs),
        now,
    ];
    let id: i64 = c.prepare_cached(sql)?.query_row(set, |row| row.get("id"))?;
    let sql = "INSERT INTO reference_values (set_id, position, model, instance, implementation_id, component, \
               version, digest, signer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = c.prepare_cached(sql)?;
    for (position, known) in (0_i64..).zip(values) {
        insert.run(params![
            id,
            position,
            known.model,
            known.instance,
            known.implementation_id,
            known.component,
            known.version,
            known.digest,
            known.signer,
        ])?;
    }
    let by = match (signer, signer_sha256) {
        (Some(subject), _) => format!("signed by {subject}"),
        (None, Some(sha256)) => format!("signed by the release key {}", hex::encode(sha256)),
        (None, None) => "not signed".into(),
    };
    let detail = format!(
        "{} version {} of {maker}: {} values, {by}; file {}",
        planned.name,
        planned.version,
        planned.values,
        hex::encode(terms.file_sha256)
    );
    events::add(c, &NewEvent::new(terms.now, EventKind::ReferenceValuesImported, detail))
}

fn withdraw(c: &Connection, set: i64, reason: &str, now: UnixTime) -> Result<bool, StoreError> {
    let mut query = c.prepare_cached(&format!("{SETS} WHERE s.id = ? AND s.state = 'active'"))?;
    let Some(row) = query.find(params![set], set_row)? else { return Ok(false) };
    let sql = "UPDATE reference_sets SET state = 'withdrawn', ended = ? WHERE id = ?";
    c.prepare_cached(sql)?.execute(params![secs(now), set])?;
    revoke::raise(c, "reference")?;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let detail = format!("{} version {} of {}{because}", row.name, row.version, row.maker);
    events::add(c, &NewEvent::new(now, EventKind::ReferenceValuesWithdrawn, detail))?;
    Ok(true)
}

fn find(c: &Connection, digest: &[u8]) -> Result<Vec<(ReferenceSetRow, KnownGood)>, StoreError> {
    let mut query =
        c.prepare_cached("SELECT * FROM reference_values WHERE digest = ? ORDER BY set_id LIMIT 1000")?;
    let rows = query.query_map(params![digest], |row| Ok((row.get::<_, i64>("set_id")?, known(row)?)))?;
    let mut sets = c.prepare_cached(&format!("{SETS} WHERE s.id = ?"))?;
    rows.into_iter().map(|(id, known)| Ok((sets.query_row(params![id], set_row)?, known))).collect()
}

/// The sets that count, whatever their time: that is for the appraisal to see.
fn active(c: &Connection) -> Result<Vec<ReferenceSet>, StoreError> {
    let mut query = c.prepare_cached(&format!("{SETS} WHERE s.state = 'active' ORDER BY s.maker, s.name"))?;
    let rows: Vec<_> = query.query_map(params![], set_row)?;
    let sql = "SELECT * FROM reference_values WHERE set_id = ? ORDER BY position";
    let mut values = c.prepare_cached(sql)?;
    let mut sets = Vec::with_capacity(rows.len());
    for row in rows {
        let known = values.query_map(params![row.id], known)?;
        sets.push(ReferenceSet {
            name: format!("{} version {}", row.name, row.version),
            maker: Some(row.maker),
            not_before: row.not_before,
            not_after: row.not_after,
            known,
        });
    }
    Ok(sets)
}

fn known(row: &Row<'_>) -> Result<KnownGood, StoreError> {
    Ok(KnownGood {
        model: row.get("model")?,
        instance: row.get("instance")?,
        implementation_id: row.get("implementation_id")?,
        component: row.get("component")?,
        version: row.get("version")?,
        digest: row.get("digest")?,
        signer: row.get("signer")?,
    })
}

fn set_row(row: &Row<'_>) -> Result<ReferenceSetRow, StoreError> {
    let state: String = row.get("state")?;
    let state = ReferenceState::ALL.into_iter().find(|known| known.name() == state);
    Ok(ReferenceSetRow {
        id: row.get("id")?,
        maker: row.get("maker")?,
        name: row.get("name")?,
        version: unsigned(row, "version")?,
        state: state.ok_or(StoreError::Damaged { field: "state" })?,
        values: unsigned(row, "count")?,
        format: row.get("format")?,
        manifest: row.get("manifest")?,
        profile: row.get("profile")?,
        file_sha256: sha256(row, "file_sha256")?,
        signer_sha256: row.get("signer_sha256")?,
        signer: row.get("signer")?,
        not_before: optional_time(row, "not_before")?,
        not_after: optional_time(row, "not_after")?,
        imported: time(row, "imported")?,
        ended: optional_time(row, "ended")?,
    })
}
