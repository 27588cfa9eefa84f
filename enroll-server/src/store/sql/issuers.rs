//! The issuing CAs.

use shared::UnixTime;

use super::convert::{secs, sha256, time};
use crate::store::database::{Connection, Row, params};
use crate::store::{IssuerNumber, KnownIssuer, Sha256, StoreError};

/// Adds a CA under the next number, if it is not there yet.
pub(super) fn add(c: &Connection, hash: &Sha256, der: &[u8], now: UnixTime) -> Result<(), StoreError> {
    let sql = "INSERT INTO issuers (number, sha256, der, added) \
               SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM issuers WHERE true \
               ON CONFLICT (sha256) DO NOTHING";
    c.prepare_cached(sql)?.execute(params![hash, der, secs(now)])?;
    Ok(())
}

/// All of them, by number.
pub(super) fn all(c: &Connection) -> Result<Vec<KnownIssuer>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM issuers ORDER BY number")?;
    query.query_map(params![], known)
}

/// The number in a row of the table of certificates.
pub(super) fn number(row: &Row<'_>, column: &'static str) -> Result<IssuerNumber, StoreError> {
    let found: i64 = row.get(column)?;
    u32::try_from(found).map(IssuerNumber::given).map_err(|_| StoreError::Damaged { field: column })
}

fn known(row: &Row<'_>) -> Result<KnownIssuer, StoreError> {
    Ok(KnownIssuer {
        number: number(row, "number")?,
        sha256: sha256(row, "sha256")?,
        der: row.get("der")?,
        added: time(row, "added")?,
    })
}
