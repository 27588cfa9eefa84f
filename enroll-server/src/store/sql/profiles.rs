//! The profiles that certificates were recorded with.

use std::sync::Arc;

use ca::Bound;

use crate::store::StoreError;
use crate::store::database::{Connection, Row, params};

/// The columns of [`of`], for a query over `certificates` that joins this.
pub(super) const COLUMNS: &str = "profiles.name AS profile_name, profiles.text AS profile_text";
/// The join.
pub(super) const JOIN: &str = "LEFT JOIN profiles ON profiles.number = certificates.profile";

/// The number of a profile; it is added where it is new.
pub(super) fn number(c: &Connection, profile: &Bound) -> Result<i64, StoreError> {
    let sha256 = profile.sha256();
    let mut query = c.prepare_cached("SELECT number FROM profiles WHERE sha256 = ?")?;
    if let Some(number) = query.find(params![sha256], |row| row.get(0))? {
        return Ok(number);
    }
    let sql = "INSERT INTO profiles (sha256, name, text) VALUES (?, ?, ?) RETURNING number";
    c.prepare_cached(sql)?.query_row(params![sha256, profile.name(), profile.text()], |row| row.get(0))
}

/// The profile of a certificate; none where it was recorded before there were profiles. `likely` saves reading it where
/// it is that one.
pub(super) fn of(row: &Row<'_>, likely: Option<&Arc<Bound>>) -> Result<Option<Arc<Bound>>, StoreError> {
    if row.get::<_, i64>("profile")? == 0 {
        return Ok(None);
    }
    let damaged = || StoreError::Damaged { field: "profile" };
    let name: String = row.get::<_, Option<String>>("profile_name")?.ok_or_else(damaged)?;
    let text: String = row.get::<_, Option<String>>("profile_text")?.ok_or_else(damaged)?;
    if let Some(likely) = likely.filter(|likely| likely.name() == name && likely.text() == text) {
        return Ok(Some(Arc::clone(likely)));
    }
    // What cannot be read again is not signed.
    Bound::from_record(&name, &text).map(|bound| Some(Arc::new(bound))).map_err(|_| damaged())
}
