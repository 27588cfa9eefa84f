//! Records of appraisals: adds them, keeps their number within its bounds, reads them.

use appraisal::policy::PolicyDigest;
use appraisal::{GroupName, RuleRecord};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject, UnixTime};

use super::convert::{device as device_column, secs, time, unsigned};
use crate::store::database::{Connection, Row, params};
use crate::store::{
    Appraisal, AppraisalFilter, Asked, Difference, NewAppraisal, Opinion, RecordLimits, Ruled, StoreError,
    StoredEvidence,
};

/// In which class a record counts.
const DECIDED: i64 = 0;
const PROVED: i64 = 1;
const UNPROVED: i64 = 2;
const STRANGER: i64 = 3;

/// Adds one, and drops what is too much of its class.
pub(super) fn add(c: &Connection, new: &NewAppraisal, limits: &RecordLimits) -> Result<(), StoreError> {
    add_as(c, new, new.ruled, limits)
}

/// As [`add`], of a request that ended so.
pub(super) fn add_as(
    c: &Connection,
    new: &NewAppraisal,
    ruled: Ruled,
    limits: &RecordLimits,
) -> Result<(), StoreError> {
    let class = class(c, new, ruled)?;
    insert(c, new, ruled, class)?;
    let newest = |keep: u32, sql: &str, device: Option<&str>| -> Result<(), StoreError> {
        let mut change = c.prepare_cached(sql)?;
        match device {
            Some(device) => change.execute(params![class, keep, device])?,
            None => change.execute(params![class, keep])?,
        };
        Ok(())
    };
    if class != STRANGER {
        let sql = "DELETE FROM appraisals WHERE device = ?3 AND class = ?1 AND number <= \
                   (SELECT number FROM appraisals WHERE device = ?3 AND class = ?1 \
                   ORDER BY number DESC LIMIT 1 OFFSET ?2)";
        newest(limits.per_device, sql, Some(new.device.as_str()))?;
    }
    let ring = match class {
        UNPROVED => limits.unproved,
        STRANGER => limits.strangers,
        _ => return Ok(()),
    };
    let sql = "DELETE FROM appraisals WHERE class = ?1 AND class > 1 AND number <= \
               (SELECT number FROM appraisals WHERE class = ?1 AND class > 1 \
               ORDER BY number DESC LIMIT 1 OFFSET ?2)";
    newest(ring, sql, None)
}

fn class(c: &Connection, new: &NewAppraisal, ruled: Ruled) -> Result<i64, StoreError> {
    if ruled != Ruled::Refused {
        return Ok(DECIDED);
    }
    let mut query = c.prepare_cached("SELECT 1 FROM devices WHERE device = ?")?;
    if !query.exists(params![new.device.as_str()])? {
        return Ok(STRANGER);
    }
    let proved = new.case.as_ref().is_some_and(|case| case.verified.is_some());
    Ok(if proved { PROVED } else { UNPROVED })
}

fn insert(c: &Connection, new: &NewAppraisal, ruled: Ruled, class: i64) -> Result<(), StoreError> {
    let unwritable = |_| StoreError::Failed("a record of an appraisal cannot be written".into());
    let rules = serde_json::to_string(&new.rules.iter().map(written).collect::<Vec<_>>());
    let case = new.case.as_ref().map(serde_json::to_string).transpose().map_err(unwritable)?;
    let endorsements = (!new.endorsements.is_empty())
        .then(|| serde_cbor::to_vec(&new.endorsements))
        .transpose()
        .map_err(|_| StoreError::Failed("a record of an appraisal cannot be written".into()))?;
    let (evidence, other) = (new.evidence.as_ref(), new.other.as_ref());
    let kind = new.case.as_ref().and_then(|case| case.kind).or_else(|| evidence.map(|e| e.kind));
    let sql = "INSERT INTO appraisals (at, device, class, asked, device_group, ruled, reject, rule, reason, \
               policy, by_candidate, other_policy, other_ruled, other_rule, rules, appraised_case, nonce, \
               evidence_sha256, evidence_kind, evidence, endorsements) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![
        secs(new.at),
        new.device.as_str(),
        class,
        new.asked.name(),
        new.group.as_ref().map(GroupName::as_str),
        ruled.name(),
        new.reject.map(Reject::code),
        new.rule,
        new.reason,
        new.policy.as_ref().map(PolicyDigest::as_bytes),
        new.by_candidate,
        other.map(|other| other.policy.as_bytes()),
        other.map(|other| other.ruled.name()),
        other.and_then(|other| other.rule.as_deref()),
        rules.map_err(unwritable)?,
        case,
        new.nonce,
        new.evidence_sha256,
        kind.map(|kind| i64::try_from(kind.code()).unwrap_or(i64::MAX)),
        evidence.map(|evidence| &evidence.body),
        endorsements,
    ])?;
    Ok(())
}

/// A rule as it is written: its name, its verdict, what was found, what was wanted. Without names, so that the record of an
/// ordinary appraisal fits into a page.
fn written(record: &RuleRecord) -> (&str, &str, &str, &str) {
    (record.rule, record.verdict.name(), &record.found, &record.wanted)
}

/// A rule as it is read.
#[derive(serde::Serialize)]
struct ReadRule {
    found: String,
    rule: String,
    verdict: String,
    wanted: String,
}

/// Rules as a JSON array of objects, which older versions wrote.
fn rules(text: String) -> Result<String, StoreError> {
    if !text.starts_with("[[") {
        return Ok(text);
    }
    let damaged = |_| StoreError::Damaged { field: "rules" };
    let written: Vec<(String, String, String, String)> = serde_json::from_str(&text).map_err(damaged)?;
    let read = written
        .into_iter()
        .map(|(rule, verdict, found, wanted)| ReadRule { found, rule, verdict, wanted })
        .collect::<Vec<_>>();
    serde_json::to_string(&read).map_err(damaged)
}

/// Drops what is older than `before`, `most` at a time; gives how many there were.
pub(super) fn prune(c: &Connection, before: UnixTime, most: u32) -> Result<usize, StoreError> {
    let sql = "DELETE FROM appraisals WHERE number IN \
               (SELECT number FROM appraisals WHERE at < ? ORDER BY at LIMIT ?)";
    c.prepare_cached(sql)?.execute(params![secs(before), most])
}

pub(super) fn read(c: &Connection, filter: &AppraisalFilter) -> Result<Vec<Appraisal>, StoreError> {
    let device = filter.device.as_ref().map(DeviceId::as_str);
    let group = filter.group.as_ref().map(GroupName::as_str);
    let before = filter.before.and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX);
    let of_device = if device.is_some() { "device = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT * FROM appraisals WHERE {of_device} AND (?2 IS NULL OR device_group = ?2) AND at >= ?3 \
         AND number < ?4 ORDER BY number DESC LIMIT ?5"
    );
    let mut query = c.prepare_cached(&sql)?;
    query.query_map(params![device, group, secs(filter.since), before, filter.limit], row)
}

/// How many there are since a time, for a progress bar.
pub(super) fn count(c: &Connection, filter: &AppraisalFilter) -> Result<u64, StoreError> {
    let group = filter.group.as_ref().map(GroupName::as_str);
    let sql = "SELECT count(*) FROM appraisals WHERE at >= ?1 AND (?2 IS NULL OR device_group = ?2)";
    let count: i64 =
        c.prepare_cached(sql)?.query_row(params![secs(filter.since), group], |row| row.get(0))?;
    u64::try_from(count).map_err(|_| StoreError::Damaged { field: "count" })
}

/// Where two policies were before a request, and how often they came to which ends.
pub(super) fn differences(c: &Connection) -> Result<Vec<Difference>, StoreError> {
    let sql = "SELECT device_group, policy, by_candidate, ruled, rule, other_policy, other_ruled, other_rule, \
               count(*) AS number FROM appraisals WHERE other_policy IS NOT NULL AND device_group IS NOT NULL \
               AND policy IS NOT NULL \
               GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY number DESC";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![], |row| {
        Ok(Difference {
            group: row.get("device_group")?,
            policy: PolicyDigest::from_bytes(row.get("policy")?),
            by_candidate: row.get("by_candidate")?,
            ruled: ruled(&row.get::<_, String>("ruled")?)?,
            rule: row.get("rule")?,
            other: opinion(row)?.ok_or(StoreError::Damaged { field: "other_policy" })?,
            count: unsigned(row, "number")?,
        })
    })
}

fn ruled(name: &str) -> Result<Ruled, StoreError> {
    Ruled::ALL.into_iter().find(|ruled| ruled.name() == name).ok_or(StoreError::Damaged { field: "ruled" })
}

fn opinion(row: &Row<'_>) -> Result<Option<Opinion>, StoreError> {
    let Some(policy) = row.get::<_, Option<[u8; 32]>>("other_policy")? else { return Ok(None) };
    let policy = PolicyDigest::from_bytes(policy);
    let ruled = ruled(&row.get::<_, String>("other_ruled")?)?;
    Ok(Some(Opinion { policy, ruled, rule: row.get("other_rule")? }))
}

fn row(row: &Row<'_>) -> Result<Appraisal, StoreError> {
    let asked: String = row.get("asked")?;
    let asked = Asked::ALL.into_iter().find(|known| known.name() == asked);
    let endorsements: Option<Vec<u8>> = row.get("endorsements")?;
    let endorsements = endorsements.map(|cbor| serde_cbor::from_slice(&cbor)).transpose();
    Ok(Appraisal {
        number: unsigned(row, "number")?,
        at: time(row, "at")?,
        device: device_column(row, "device")?,
        asked: asked.ok_or(StoreError::Damaged { field: "asked" })?,
        group: row.get("device_group")?,
        ruled: ruled(&row.get::<_, String>("ruled")?)?,
        reject: row.get::<_, Option<u16>>("reject")?.and_then(Reject::from_code),
        rule: row.get("rule")?,
        reason: row.get("reason")?,
        policy: row.get::<_, Option<[u8; 32]>>("policy")?.map(PolicyDigest::from_bytes),
        by_candidate: row.get("by_candidate")?,
        other: opinion(row)?,
        rules: rules(row.get("rules")?)?,
        case: row.get("appraised_case")?,
        nonce: row.get("nonce")?,
        evidence_sha256: row.get("evidence_sha256")?,
        evidence: evidence(row)?,
        endorsements: endorsements
            .map_err(|_| StoreError::Damaged { field: "endorsements" })?
            .unwrap_or_default(),
    })
}

fn evidence(row: &Row<'_>) -> Result<Option<StoredEvidence>, StoreError> {
    let Some(body) = row.get::<_, Option<Vec<u8>>>("evidence")? else { return Ok(None) };
    let code: i64 = row.get("evidence_kind")?;
    let kind = u64::try_from(code).ok().and_then(EvidenceKind::from_code);
    Ok(Some(StoredEvidence { kind: kind.ok_or(StoreError::Damaged { field: "evidence_kind" })?, body }))
}

/// Sets a note, whatever it was.
pub(super) fn set_note(c: &Connection, name: &str, text: &str) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO notes (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text";
    c.prepare_cached(sql)?.execute(params![name, text])?;
    Ok(())
}

pub(super) fn note(c: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut query = c.prepare_cached("SELECT text FROM notes WHERE name = ?")?;
    query.find(params![name], |row| row.get("text"))
}

/// How many devices each group has.
pub(super) fn groups(c: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT device_group, count(*) AS number FROM devices GROUP BY device_group ORDER BY 1";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![], |row| Ok((row.get("device_group")?, unsigned(row, "number")?)))
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn rules_read_the_same_as_those_of_older_versions() {
        let old = r#"[{"found":"a \"x\"","rule":"model","verdict":"passed","wanted":"any"}]"#;
        assert_eq!(rules(old.to_owned()).unwrap(), old);
        assert_eq!(rules(r#"[["model","passed","a \"x\"","any"]]"#.to_owned()).unwrap(), old);
        assert_eq!(rules("[]".to_owned()).unwrap(), "[]");
        rules(r#"[["model","passed"]]"#.to_owned()).unwrap_err();
    }
}
