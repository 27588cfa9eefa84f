//! Makers' revocation lists: the newest of each issuer.

use shared::UnixTime;

use super::convert::{secs, sha256, time};
use super::{events, revoke};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{CrlStored, NewEvent, StoreError, StoredCrl};

/// Takes the place of an older list; a newer one, or another one with the same number, stays.
pub(super) fn put(c: &Connection, crl: &StoredCrl, now: UnixTime) -> Result<CrlStored, StoreError> {
    let sql = "SELECT number, der FROM maker_crls WHERE issuer = ?";
    let held: Option<([u8; 20], Vec<u8>)> =
        c.prepare_cached(sql)?.find(params![&crl.issuer], |row| Ok((row.get("number")?, row.get("der")?)))?;
    if let Some((number, der)) = held {
        if der == crl.der {
            return Ok(CrlStored::Unchanged);
        }
        if number >= crl.number {
            return Ok(CrlStored::Older { held: number });
        }
    }
    let sql = "INSERT INTO maker_crls (issuer, maker, number, added, chain, der) VALUES (?, ?, ?, ?, ?, ?) \
               ON CONFLICT (issuer) DO UPDATE SET maker = excluded.maker, number = excluded.number, \
               added = excluded.added, chain = excluded.chain, der = excluded.der";
    c.prepare_cached(sql)?.execute(params![
        crl.issuer,
        crl.maker,
        crl.number,
        secs(crl.added),
        crl.chain,
        crl.der
    ])?;
    // Whoever holds the makers reads them anew, lists included.
    revoke::raise(c, "makers")?;
    let detail = format!("number {} of issuer {}", hex::encode(crl.number), hex::encode(crl.issuer));
    events::add(c, &NewEvent::new(now, EventKind::MakerCrl, detail))?;
    Ok(CrlStored::Stored)
}

pub(super) fn all(c: &Connection) -> Result<Vec<StoredCrl>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM maker_crls ORDER BY maker, issuer")?;
    query.query_map(params![], |row| {
        Ok(StoredCrl {
            issuer: sha256(row, "issuer")?,
            maker: sha256(row, "maker")?,
            number: row.get("number")?,
            added: time(row, "added")?,
            chain: row.get("chain")?,
            der: row.get("der")?,
        })
    })
}
