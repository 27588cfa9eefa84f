//! What lies ahead, from the counts that triggers keep, and what happened lately, from the newest rows of the trail.

use std::collections::BTreeMap;

use shared::UnixTime;

use super::SqlStore;
use super::convert::{optional_time, secs, unsigned};
use super::writer::QUEUE;
use crate::audit::{EventKind, Refusals};
use crate::store::database::{Connection, params};
use crate::store::{Activity, Day, Hour, Outlook, Reply, StoreError, StoreLoad};

/// Most rows of one kind that are looked at.
const ROWS: u32 = 100_000;

/// Certificates in force by the day on which they end. The counts are by the hour (migration 0020).
const ENDINGS: &str = "SELECT ends / 24 AS day, CAST(sum(number) AS BIGINT) AS number FROM counts \
     WHERE kind = 'certificate' AND state = 'issued' AND ends >= ? GROUP BY 1 HAVING sum(number) > 0 ORDER BY 1";

/// Of so many events the latest time is looked for: what a clock wrote down that was ahead is passed by, once it is set
/// right and so many others came.
const NEWEST: u32 = 1_000;
const LATEST: &str =
    "SELECT max(at) AS latest FROM (SELECT at FROM events ORDER BY number DESC LIMIT ?) AS newest";

impl Outlook for SqlStore {
    fn endings(&self, now: UnixTime) -> Reply<'_, Vec<(Day, u64)>> {
        self.read(move |c| {
            let hour = i64::try_from(Hour::of(now).0).unwrap_or(i64::MAX);
            let mut query = c.prepare_cached(ENDINGS)?;
            query.query_map(params![hour], |row| Ok((Day(unsigned(row, "day")?), unsigned(row, "number")?)))
        })
    }

    fn activity(&self, since: UnixTime) -> Reply<'_, Activity> {
        self.read(move |c| activity(c, since))
    }

    fn latest(&self) -> Reply<'_, Option<UnixTime>> {
        self.look(|c| {
            let mut query = c.prepare_cached(LATEST)?;
            query.query_row(params![NEWEST], |row| optional_time(row, "latest"))
        })
    }

    fn load(&self) -> StoreLoad {
        StoreLoad { commits: self.writer.commits(), waiting: self.writer.waiting(), queue: QUEUE }
    }
}

fn activity(c: &Connection, since: UnixTime) -> Result<Activity, StoreError> {
    // The newest of a kind by the index (kind, number), and no more than so many: what is older than `since` is not
    // looked for, because nothing orders the trail by time.
    let sql = "SELECT at / 3600 AS hour, count(*) AS number FROM \
               (SELECT at FROM events WHERE kind = ?1 ORDER BY number DESC LIMIT ?2) AS newest \
               WHERE at >= ?3 GROUP BY 1 ORDER BY 1";
    let values = params![EventKind::Issued.name(), ROWS, secs(since)];
    let mut query = c.prepare_cached(sql)?;
    let issued =
        query.query_map(values, |row| Ok((Hour(unsigned(row, "hour")?), unsigned(row, "number")?)))?;
    let total: u64 = issued.iter().map(|(_, number)| number).sum();
    let sql = "SELECT reason, detail FROM \
               (SELECT at, reason, detail FROM events WHERE kind = ?1 ORDER BY number DESC LIMIT ?2) AS newest \
               WHERE at >= ?3";
    let values = params![EventKind::Refused.name(), ROWS, secs(since)];
    let mut query = c.prepare_cached(sql)?;
    let rows = query.query_map(values, |row| {
        Ok((row.get::<_, Option<String>>("reason")?, row.get::<_, String>("detail")?))
    })?;
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    for (reason, detail) in rows {
        if let Some((reason, count)) = reason.and_then(|name| Some((name, Refusals::counted(&detail)?))) {
            *refused.entry(reason).or_default() += count;
        }
    }
    let mut refused: Vec<(String, u64)> = refused.into_iter().collect();
    refused.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    Ok(Activity { issued, issued_cut: total >= u64::from(ROWS), refused })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use shared::Reject;

    use super::*;
    use crate::store::{NewEvent, Place, Store as _, on_both};

    /// Half past an hour.
    const NOW: UnixTime = UnixTime::from_secs(1_800_001_800);

    fn before(seconds: u64) -> UnixTime {
        NOW.before(Duration::from_secs(seconds))
    }

    on_both!(
        what_happened_is_counted_by_hour_and_by_reason,
        endings_are_counted_by_day,
        the_latest_time_is_that_of_any_of_the_newest_events
    );

    async fn the_latest_time_is_that_of_any_of_the_newest_events(place: Place) {
        let store = place.open();
        assert_eq!(store.latest().await.unwrap(), None);
        let add = async |at| {
            store.add_event(NewEvent::new(at, EventKind::Imported, ""), Duration::ZERO).await.unwrap();
        };
        add(NOW).await;
        // Of a server whose clock is behind.
        add(before(7_200)).await;
        assert_eq!(store.latest().await.unwrap(), Some(NOW));
        for _ in 0..NEWEST - 2 {
            add(before(60)).await;
        }
        assert_eq!(store.latest().await.unwrap(), Some(NOW));
        add(before(60)).await;
        assert_eq!(store.latest().await.unwrap(), Some(before(60)), "a clock that was ahead is forgotten");
    }

    async fn what_happened_is_counted_by_hour_and_by_reason(place: Place) {
        let store = place.open();
        for seconds in [90_000, 7_200, 7_100, 60, 0] {
            let event = NewEvent::new(before(seconds), EventKind::Issued, "");
            store.add_event(event, Duration::ZERO).await.unwrap();
        }
        let refusals = Refusals::default();
        for reject in [Reject::UnknownMaker, Reject::DebugOpen, Reject::DebugOpen] {
            refusals.count(reject);
        }
        refusals.write(&store, before(100_000)).await.unwrap();
        for at in [before(50), NOW] {
            for reject in [Reject::UnknownMaker, Reject::DebugOpen, Reject::DebugOpen] {
                refusals.count(reject);
            }
            refusals.write(&store, at).await.unwrap();
        }
        let found = store.activity(before(86_400)).await.unwrap();
        let hour = Hour::of(NOW);
        assert_eq!(found.issued, [(hour.before(2), 2), (hour, 2)]);
        let name = |reject: Reject| reject.name().to_owned();
        assert_eq!(found.refused, [(name(Reject::DebugOpen), 4), (name(Reject::UnknownMaker), 2)]);
        assert!(!found.issued_cut);
    }

    async fn endings_are_counted_by_day(place: Place) {
        let store = place.open();
        let today = Day::of(NOW).0;
        let hour = Hour::of(NOW).0;
        for (ends, number) in [(hour - 1, 7), (hour, 1), ((today + 2) * 24, 3), ((today + 2) * 24 + 23, 4)] {
            place.sql(&format!(
                "INSERT INTO counts VALUES ('certificate', 'issued', {ends}, 1, {number}), \
                 ('certificate', 'revoked', {ends}, 2, 50)"
            ));
        }
        assert_eq!(store.endings(NOW).await.unwrap(), [(Day(today), 1), (Day(today + 2), 7)]);
    }
}
