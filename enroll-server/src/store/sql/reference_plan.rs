//! What an import would do, set by set: which version takes whose place, and what must not come back.
//!
//! Changes nothing. The import makes its plan in the transaction that carries it out.

use reference_values::{Authority, Release, Versioned};

use crate::store::database::{Connection, params};
use crate::store::{ImportTerms, SetChange, SetImport, SetRefused, Sha256, StoreError};

/// A plan for a release.
pub(super) struct Plan {
    /// One for each of its sets, in order, where none is refused.
    pub(super) sets: Vec<SetImport>,
    pub(super) refused: Vec<SetRefused>,
}

pub(super) fn plan(c: &Connection, release: &Release, terms: &ImportTerms) -> Result<Plan, StoreError> {
    let mut plan = Plan { sets: Vec::new(), refused: Vec::new() };
    for set in &release.manifest().sets {
        match plan_set(c, release, set, terms)? {
            Ok(planned) => plan.sets.push(planned),
            Err(refused) => plan.refused.push(refused),
        }
    }
    Ok(plan)
}

/// A version that is there already.
struct There {
    version: u64,
    active: bool,
    withdrawn: bool,
    content: Sha256,
    signer: Option<Sha256>,
}

fn plan_set(
    c: &Connection,
    release: &Release,
    set: &Versioned,
    terms: &ImportTerms,
) -> Result<Result<SetImport, SetRefused>, StoreError> {
    let name = set.name.clone().unwrap_or_else(|| terms.name.clone());
    let newest = there(c, release.maker(), &name, None)?;
    let said = set.version.or(terms.version);
    // A set that says no version is known again by its content: an old file is an old version.
    let same = match said {
        Some(_) => None,
        None => there(c, release.maker(), &name, Some(&set.sha256))?,
    };
    let next = newest.as_ref().map_or(1, |newest| newest.version.saturating_add(1));
    let version = said.unwrap_or_else(|| same.as_ref().map_or(next, |same| same.version));
    let active = active_version(c, release.maker(), &name)?;
    let planned = |change| SetImport {
        name: name.clone(),
        version,
        values: set.known.len(),
        change,
        replaces: active.filter(|_| change == SetChange::Superseded),
    };
    let change = if active.is_some() { SetChange::Superseded } else { SetChange::Added };
    let Some(newest) = newest else { return Ok(Ok(planned(change))) };
    let refused = if version < newest.version {
        Some(SetRefused::Older { name: name.clone(), found: version, newest: newest.version })
    } else if version > newest.version {
        None
    } else if newest.content != set.sha256 {
        Some(SetRefused::Differs { name: name.clone(), version })
    } else if newest.withdrawn {
        Some(SetRefused::Withdrawn { name: name.clone(), version })
    } else if newest.active && !adds_signature(release, &newest) {
        return Ok(Ok(planned(SetChange::Unchanged)));
    } else {
        None
    };
    Ok(match refused {
        Some(refused) if !terms.force => Err(refused),
        _ => Ok(planned(change)),
    })
}

/// Whether someone else stands behind the same content now; that nobody does any more takes nothing away.
fn adds_signature(release: &Release, there: &There) -> bool {
    match release.authority() {
        Authority::Operator => false,
        Authority::Key { sha256 } | Authority::Certificate { sha256, .. } => there.signer != Some(*sha256),
    }
}

/// The newest version, or the newest with this content.
fn there(
    c: &Connection,
    maker: &str,
    name: &str,
    content: Option<&Sha256>,
) -> Result<Option<There>, StoreError> {
    let sql = "SELECT version, state, content_sha256, signer_sha256 FROM reference_sets \
               WHERE maker = ?1 AND name = ?2 AND (?3 IS NULL OR content_sha256 = ?3) \
               ORDER BY version DESC, id DESC LIMIT 1";
    c.prepare_cached(sql)?.find(params![maker, name, content], |row| {
        let (version, state): (i64, String) = (row.get(0)?, row.get(1)?);
        let there = There {
            version: version.unsigned_abs(),
            active: state == "active",
            withdrawn: state == "withdrawn",
            content: row.get(2)?,
            signer: row.get(3)?,
        };
        Ok(there)
    })
}

fn active_version(c: &Connection, maker: &str, name: &str) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT version FROM reference_sets WHERE maker = ? AND name = ? AND state = 'active'";
    let found = c.prepare_cached(sql)?.find(params![maker, name], |row| row.get::<_, i64>(0));
    Ok(found?.map(i64::unsigned_abs))
}
