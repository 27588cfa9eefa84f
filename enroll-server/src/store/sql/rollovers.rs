//! Rollovers, trust bundles, and how devices stand to them.

use ca::Serial;
use shared::{DeviceId, UnixTime};

use super::SqlStore;
use super::convert::{optional_time, secs, time};
use super::{counts, events, read, revoke, search};
use crate::audit::EventKind;
use crate::rollover::{Order, Standing, Step, decide};
use crate::store::database::{Connection, Row, params};
use crate::store::{
    NewEvent, NewRollover, Page, Reply, Rollover, RolloverStore, SignedBundle, Spread, StoreError, TakeStep,
    Taken, Unmoved, UnmovedPage,
};

impl RolloverStore for SqlStore {
    fn rollover_generation(&self) -> Reply<'_, u64> {
        self.read(|c| read::counter(c, "rollover"))
    }

    fn rollovers(&self) -> Reply<'_, Vec<Rollover>> {
        self.read(all)
    }

    fn trust_bundles(&self) -> Reply<'_, Vec<Vec<u8>>> {
        self.read(|c| {
            let mut query = c.prepare_cached("SELECT signed FROM trust_bundles ORDER BY number")?;
            query.query_map(params![], |row| row.get(0))
        })
    }

    fn add_trust_bundles(&self, bundles: Vec<SignedBundle>, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| {
            if bundles.iter().any(|bundle| !matches!(fits(c, bundle), Ok(true))) {
                return Ok(false);
            }
            bundles.iter().try_for_each(|bundle| add_bundle(c, bundle, now))?;
            Ok(true)
        })
    }

    fn begin_rollover(&self, new: NewRollover, now: UnixTime) -> Reply<'_, Option<u32>> {
        self.write(move |c| begin(c, &new, now))
    }

    fn take_step(&self, order: TakeStep, now: UnixTime) -> Reply<'_, Taken> {
        self.write(move |c| take(c, &order, now))
    }

    fn standing(&self, number: u32, now: UnixTime) -> Reply<'_, Option<Standing>> {
        self.read(move |c| goal(c, number)?.map(|goal| standing(c, &goal, now)).transpose())
    }

    fn unmoved(&self, number: u32, page: Page, now: UnixTime) -> Reply<'_, UnmovedPage> {
        self.read(move |c| match goal(c, number)? {
            Some(goal) => unmoved(c, &goal, &page, now),
            None => Ok(UnmovedPage::default()),
        })
    }

    fn confirm_trust<'a>(
        &'a self,
        device: &'a DeviceId,
        number: u64,
        shown: Option<Serial>,
        now: UnixTime,
    ) -> Reply<'a, ()> {
        let device = device.clone();
        self.write(move |c| {
            if let Some(shown) = shown {
                revoke::renewed_with(c, &device, shown, now)?;
            }
            note_trust(c, &device, number, now)
        })
    }

    fn spread(&self, now: UnixTime) -> Reply<'_, Spread> {
        self.read(move |c| counts::spread(c, now))
    }
}

/// Whether a trust bundle is one of ours: a device can say any number, and each is counted.
pub(super) fn is_known(c: &Connection, number: u64) -> Result<bool, StoreError> {
    c.prepare_cached("SELECT 1 FROM trust_bundles WHERE number = ?")?.exists(params![number])
}

/// Writes down which trust bundle a device holds, where it is one of ours.
pub(super) fn note_trust(
    c: &Connection,
    device: &DeviceId,
    number: u64,
    now: UnixTime,
) -> Result<(), StoreError> {
    if is_known(c, number)? {
        let sql = "UPDATE devices SET trust_number = ?1, trust_at = ?2 WHERE device = ?3";
        c.prepare_cached(sql)?.execute(params![number, secs(now), device.as_str()])?;
    }
    Ok(())
}

/// Most rows of a page.
const MAX_PAGE: u32 = 1_000;

fn all(c: &Connection) -> Result<Vec<Rollover>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM rollovers ORDER BY number")?;
    query.query_map(params![], rollover)
}

fn rollover(row: &Row<'_>) -> Result<Rollover, StoreError> {
    let step: String = row.get("step")?;
    Ok(Rollover {
        number: row.get("number")?,
        step: Step::from_name(&step).ok_or(StoreError::Damaged { field: "step" })?,
        plan: row.get("plan")?,
        bundle: number(row, "bundle")?,
        begun: time(row, "begun")?,
        changed: time(row, "changed")?,
    })
}

fn number(row: &Row<'_>, column: &'static str) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = row.get(column)?;
    found.map(|found| u64::try_from(found).map_err(|_| StoreError::Damaged { field: column })).transpose()
}

/// Whether a bundle can be added: its number is free and above all others, or it is there already.
fn fits(c: &Connection, bundle: &SignedBundle) -> Result<bool, StoreError> {
    let Ok(number) = i64::try_from(bundle.number) else { return Ok(false) };
    let same = "SELECT signed FROM trust_bundles WHERE number = ?";
    let there: Option<Vec<u8>> = c.prepare_cached(same)?.find(params![number], |row| row.get(0))?;
    if let Some(there) = there {
        return Ok(there == bundle.signed);
    }
    let newest: Option<i64> =
        c.prepare_cached("SELECT max(number) FROM trust_bundles")?.query_row(params![], |row| row.get(0))?;
    Ok(newest.is_none_or(|newest| newest < number))
}

fn add_bundle(c: &Connection, bundle: &SignedBundle, now: UnixTime) -> Result<(), StoreError> {
    let sql = "INSERT INTO trust_bundles (number, signed, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    let added = c.prepare_cached(sql)?.execute(params![bundle.number, bundle.signed, secs(now)])?;
    if added > 0 {
        revoke::raise(c, "rollover")?;
        let detail = format!("trust bundle {}", bundle.number);
        events::add(c, &NewEvent::new(now, EventKind::TrustBundlePublished, detail))?;
    }
    Ok(())
}

fn begin(c: &Connection, new: &NewRollover, now: UnixTime) -> Result<Option<u32>, StoreError> {
    let under_way = "SELECT 1 FROM rollovers WHERE step IN ('prepared', 'switched')";
    if c.prepare_cached(under_way)?.exists(params![])? {
        return Ok(None);
    }
    if let Some(bundle) = &new.bundle {
        if !fits(c, bundle)? {
            return Ok(None);
        }
        add_bundle(c, bundle, now)?;
    }
    let sql = "INSERT INTO rollovers (number, step, plan, issuer, bundle, begun, changed) \
               SELECT coalesce(max(number), 0) + 1, 'prepared', ?1, ?2, ?3, ?4, ?4 FROM rollovers";
    let bundle = new.bundle.as_ref().and_then(|bundle| i64::try_from(bundle.number).ok());
    c.prepare_cached(sql)?.execute(params![new.plan, new.issuer, bundle, secs(now)])?;
    let number = "SELECT max(number) FROM rollovers";
    let number: u32 = c.prepare_cached(number)?.query_row(params![], |row| row.get(0))?;
    revoke::raise(c, "rollover")?;
    events::add(c, &NewEvent::new(now, EventKind::RolloverStarted, &new.detail))?;
    Ok(Some(number))
}

fn take(c: &Connection, order: &TakeStep, now: UnixTime) -> Result<Taken, StoreError> {
    let Some(goal) = goal(c, order.number)? else { return Ok(Taken::Changed) };
    let decided = match decide(goal.step, order.order, standing(c, &goal, now)?, order.force) {
        Ok(decided) => decided,
        Err(not_yet) => return Ok(Taken::NotYet(not_yet)),
    };
    if let Some(bundle) = &order.bundle {
        if !fits(c, bundle)? {
            return Ok(Taken::Changed);
        }
        add_bundle(c, bundle, now)?;
    }
    let sql = "UPDATE rollovers SET step = ?, changed = ? WHERE number = ?";
    c.prepare_cached(sql)?.execute(params![decided.to.name(), secs(now), order.number])?;
    revoke::raise(c, "rollover")?;
    let kind = match order.order {
        Order::Switch => EventKind::RolloverSwitched,
        Order::Retire => EventKind::RolloverRetired,
        Order::Abort => EventKind::RolloverAborted,
    };
    let number = order.number;
    events::add(c, &NewEvent::new(now, kind, format!("rollover {number}")))?;
    let left_behind = decided.left_behind;
    if left_behind > 0 {
        let what = order.order.name();
        let detail = format!("rollover {number}: {what} leaves {left_behind} devices behind");
        events::add(c, &NewEvent::new(now, EventKind::RolloverForced, detail))?;
    }
    Ok(Taken::Done { left_behind })
}

/// What devices are held against.
struct Goal {
    step: Step,
    /// The least number of a trust bundle; 0 where the root stays.
    trust: i64,
    /// The new CA's number; -1, which no certificate has, before the server has seen it.
    issuer: i64,
}

fn goal(c: &Connection, number: u32) -> Result<Option<Goal>, StoreError> {
    let sql = "SELECT step, bundle, \
               (SELECT issuers.number FROM issuers WHERE issuers.sha256 = rollovers.issuer) AS issuer \
               FROM rollovers WHERE number = ?";
    let read = |row: &Row<'_>| {
        let step: String = row.get("step")?;
        Ok(Goal {
            step: Step::from_name(&step).ok_or(StoreError::Damaged { field: "step" })?,
            trust: row.get::<_, Option<i64>>("bundle")?.unwrap_or(0),
            issuer: row.get::<_, Option<i64>>("issuer")?.unwrap_or(-1),
        })
    };
    c.prepare_cached(sql)?.find(params![number], read)
}

// A living device: see `Standing`. Conditions with ?1 the time, ?2 the bundle, ?3 the new CA.
// The states word for word as the index of trust bundles has them.
const STATES: &str = "(devices.state = 'held' OR devices.state = 'enrolled' OR devices.state = 'suspended')";
const LIVING: &str = "EXISTS (SELECT 1 FROM certificates live WHERE live.device = devices.device \
                      AND live.state = 'issued' AND live.not_after >= ?1)";
const UNCONFIRMED: &str = "coalesce(trust_number, 0) < ?2";
const OLD: &str = "EXISTS (SELECT 1 FROM certificates old WHERE old.device = devices.device \
                   AND old.state = 'issued' AND old.not_after >= ?1 AND old.issuer <> ?3)";

fn standing(c: &Connection, goal: &Goal, now: UnixTime) -> Result<Standing, StoreError> {
    let count = |sql: String, with_goal: bool| -> Result<u64, StoreError> {
        let mut query = c.prepare_cached(&sql)?;
        let found: i64 = if with_goal {
            query.query_row(params![secs(now), goal.trust, goal.issuer], |row| row.get(0))?
        } else {
            query.query_row(params![secs(now)], |row| row.get(0))?
        };
        Ok(u64::try_from(found).unwrap_or(0))
    };
    let devices = format!("SELECT count(*) FROM devices WHERE {STATES} AND {LIVING}");
    // Each by its own index, so that near the end, where few are left, little is read.
    let unconfirmed = format!(
        "SELECT count(*) FROM devices WHERE {STATES} AND (trust_number < ?2 OR (trust_number IS NULL AND ?2 > 0)) \
         AND {LIVING} AND ?3 IS NOT NULL"
    );
    let unmoved = format!(
        "SELECT count(DISTINCT c.device) FROM certificates c JOIN devices USING (device) \
         WHERE c.state = 'issued' AND c.issuer IN (SELECT number FROM issuers WHERE number <> ?3) \
         AND c.not_after >= ?1 AND {STATES} AND ?2 IS NOT NULL"
    );
    Ok(Standing {
        living: count(devices, false)?,
        unconfirmed: count(unconfirmed, true)?,
        unmoved: count(unmoved, true)?,
    })
}

fn unmoved(c: &Connection, goal: &Goal, page: &Page, now: UnixTime) -> Result<UnmovedPage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let sql = format!(
        "SELECT device, trust_number, trust_at, {UNCONFIRMED} AS unconfirmed, {OLD} AS old_certificate \
         FROM devices WHERE {STATES} AND {LIVING} AND ({UNCONFIRMED} OR {OLD}) AND device > ?4 \
         ORDER BY device LIMIT ?5"
    );
    let after = page.after.as_ref().map_or("", DeviceId::as_str);
    let mut query = c.prepare_cached(&sql)?;
    let values = params![secs(now), goal.trust, goal.issuer, after, limit + 1];
    let mut devices = query.query_map(values, |row| {
        Ok(Unmoved {
            device: row.get("device")?,
            trust: number(row, "trust_number")?,
            trust_at: optional_time(row, "trust_at")?,
            unconfirmed: row.get("unconfirmed")?,
            old_certificate: row.get("old_certificate")?,
        })
    })?;
    let next = search::cut(&mut devices, limit, |unmoved| unmoved.device.clone());
    Ok(UnmovedPage { devices, next })
}
