//! How many there are, from the few rows that the database's triggers keep: with a million certificates a scrape of the
//! metrics costs what it costs with ten.

use shared::UnixTime;

use super::convert::{certificate_state, device_state, secs, unsigned};
use super::issuers;
use crate::store::database::{Connection, Row, params};
use crate::store::{Counts, Spread, StoreError, WantedCounts};

/// A state, and how many are in it. Held certificates and intents are counted by the index that holds nothing else.
pub(super) const CERTIFICATES: &str = "SELECT state, CAST(sum(number) AS BIGINT) AS number FROM counts WHERE kind = 'certificate' GROUP BY state \
     UNION ALL \
     SELECT state, count(*) FROM certificates WHERE state IN ('held', 'intent') GROUP BY state";

/// Certificates that are neither revoked nor over, by issuing CA: whole hours by their counts, and what ends in this
/// one by the index. ?1 the time, ?2 its hour, ?3 the last second of that.
pub(super) const LIVE: &str = "SELECT issuer, CAST(sum(number) AS BIGINT) AS number FROM ( \
       SELECT whose AS issuer, number FROM counts WHERE kind = 'certificate' AND state = 'issued' AND ends > ?2 \
       UNION ALL \
       SELECT number, (SELECT count(*) FROM certificates WHERE certificates.issuer = issuers.number \
         AND state = 'issued' AND not_after BETWEEN ?1 AND ?3) FROM issuers \
     ) AS found GROUP BY issuer HAVING sum(number) > 0 ORDER BY issuer";

/// As the step of the migrations that made the table counts them.
const HOUR: u64 = 3_600;

pub(super) fn by_state(c: &Connection) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    let sql = "SELECT state, CAST(sum(number) AS BIGINT) AS number FROM counts WHERE kind = 'device' GROUP BY state";
    let mut query = c.prepare_cached(sql)?;
    for row in query.query_map(params![], |row| Ok((device_state(row)?, unsigned(row, "number")?)))? {
        counts.devices.push(row);
    }
    let mut query = c.prepare_cached(CERTIFICATES)?;
    for row in query.query_map(params![], |row| Ok((certificate_state(row)?, unsigned(row, "number")?)))? {
        counts.certificates.push(row);
    }
    counts.devices.retain(|(_, number)| *number > 0);
    counts.certificates.retain(|(_, number)| *number > 0);
    Ok(counts)
}

pub(super) fn wanted_renewals(c: &Connection) -> Result<WantedCounts, StoreError> {
    let mut counts = WantedCounts::default();
    let mut query = c.prepare_cached("SELECT state, number FROM counts WHERE kind = 'renewal'")?;
    for (state, number) in
        query.query_map(params![], |row| Ok((row.get::<_, String>("state")?, unsigned(row, "number")?)))?
    {
        counts.wanted += number;
        if state == "untold" {
            counts.untold = number;
        }
    }
    Ok(counts)
}

pub(super) fn spread(c: &Connection, now: UnixTime) -> Result<Spread, StoreError> {
    // Who waits for an operator and has confirmed none counts as one that has no certificate yet, as nearly all of them.
    let sql = "SELECT whose, CAST(sum(number) AS BIGINT) AS number FROM counts \
               WHERE kind = 'device' AND (state IN ('enrolled', 'suspended') OR (state = 'held' AND whose <> -1)) \
               GROUP BY whose HAVING sum(number) > 0 ORDER BY whose";
    let mut query = c.prepare_cached(sql)?;
    let trust = query.query_map(params![], |row| Ok((bundle(row)?, unsigned(row, "number")?)))?;
    let hour = now.as_secs() / HOUR;
    let (number_of_hour, end) = (i64::try_from(hour), UnixTime::from_secs(hour * HOUR + HOUR - 1));
    let mut query = c.prepare_cached(LIVE)?;
    let issuers = query
        .query_map(params![secs(now), number_of_hour.unwrap_or(i64::MAX), secs(end)], |row| {
            Ok((issuers::number(row, "issuer")?, unsigned(row, "number")?))
        })?;
    Ok(Spread { trust, issuers })
}

/// The trust bundle that was confirmed; -1 stands for none.
fn bundle(row: &Row<'_>) -> Result<Option<u64>, StoreError> {
    match row.get::<_, i64>("whose")? {
        -1 => Ok(None),
        number => u64::try_from(number).map(Some).map_err(|_| StoreError::Damaged { field: "whose" }),
    }
}
