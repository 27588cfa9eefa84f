//! Renewals that an operator wants, and leases of work that one process does at a time.

use shared::{DeviceId, UnixTime};

use super::convert::{device as device_column, optional_time, secs, time};
use super::{SqlStore, actor, counts, events, read, search};
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, params};
use crate::store::{
    DeviceState, DueRenewal, Lease, NewEvent, Page, Renewals, Reply, Selection, StoreError, TOLD_QUIET,
    TellOutcome, Told, Turns, Wanted, WantedCounts, WantedPage, WantedRenewal,
};

/// No lease is longer: one that seems to be was given by a clock that was ahead.
const MAX_LEASE: core::time::Duration = core::time::Duration::from_secs(600);

impl Renewals for SqlStore {
    fn want_renewals(
        &self,
        selection: Selection,
        turns: Turns,
        page: Page,
        now: UnixTime,
    ) -> Reply<'_, Wanted> {
        self.write(move |c| want(c, &selection, &turns, &page, now))
    }

    fn unwant_renewals(&self, selection: Selection, page: Page, now: UnixTime) -> Reply<'_, Wanted> {
        self.write(move |c| unwant(c, &selection, &page, now))
    }

    fn wanted_renewals(&self, selection: Option<Selection>, page: Page) -> Reply<'_, WantedPage> {
        self.read(move |c| wanted(c, selection.as_ref(), &page))
    }

    fn count_wanted_renewals(&self) -> Reply<'_, WantedCounts> {
        self.read(counts::wanted_renewals)
    }

    fn lease_work(&self, name: &'static str, lease: Lease, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| take_lease(c, name, &lease, now))
    }

    fn release_work(&self, name: &'static str, owner: String) -> Reply<'_, ()> {
        self.write(move |c| {
            c.prepare_cached("DELETE FROM leases WHERE name = ? AND owner = ?")?
                .execute(params![name, &owner])?;
            Ok(())
        })
    }

    fn due_renewals(&self, now: UnixTime, limit: u32) -> Reply<'_, Vec<DueRenewal>> {
        self.read(move |c| due(c, now, limit))
    }

    fn note_told(&self, told: Vec<Told>, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| told.iter().try_for_each(|told| note(c, told, now)))
    }

    fn devices_online(&self, devices: Vec<DeviceId>, now: UnixTime) -> Reply<'_, usize> {
        self.write(move |c| online(c, &devices, now))
    }
}

fn want(
    c: &Connection,
    selection: &Selection,
    turns: &Turns,
    page: &Page,
    now: UnixTime,
) -> Result<Wanted, StoreError> {
    let (selected, next) = search::select(c, selection, None, page)?;
    let mut wanted = Wanted { next, ..Wanted::default() };
    let sql = "INSERT INTO wanted_renewals (device, since, actor, turn, due) VALUES (?1, ?2, ?3, ?4, ?4) \
               ON CONFLICT (device) DO UPDATE SET since = excluded.since, actor = excluded.actor, \
               turn = excluded.turn, due = excluded.due, attempts = 0, told = NULL, problem = NULL";
    for (device, state) in selected {
        if state != DeviceState::Enrolled {
            wanted.left += 1;
            continue;
        }
        let turn = turns.of(wanted.done);
        let actor = actor::current().actor.to_string();
        c.prepare_cached(sql)?.execute(params![device.as_str(), secs(now), actor, secs(turn)])?;
        let detail = format!("told from {turn} on");
        events::add(c, &NewEvent::new(now, EventKind::RenewalWanted, detail).about(&device))?;
        wanted.done += 1;
        wanted.last_turn = Some(turn);
    }
    Ok(wanted)
}

fn unwant(c: &Connection, selection: &Selection, page: &Page, now: UnixTime) -> Result<Wanted, StoreError> {
    let (selected, next) = search::select(c, selection, None, page)?;
    let mut wanted = Wanted { next, ..Wanted::default() };
    for (device, _) in selected {
        if forget(c, &device)? {
            let event = NewEvent::new(now, EventKind::RenewalUnwanted, "taken back before it took place");
            events::add(c, &event.about(&device))?;
            wanted.done += 1;
        } else {
            wanted.left += 1;
        }
    }
    Ok(wanted)
}

/// Wants no renewal of a device any more; whether one was wanted.
pub(super) fn forget(c: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM wanted_renewals WHERE device = ?";
    Ok(c.prepare_cached(sql)?.execute(params![device.as_str()])? > 0)
}

fn wanted(c: &Connection, selection: Option<&Selection>, page: &Page) -> Result<WantedPage, StoreError> {
    let limit = page.limit.clamp(1, search::MAX_PAGE);
    let mut conditions = search::Conditions::default();
    if let Some(selection) = selection {
        conditions.selection(selection);
    }
    conditions.after(page);
    let from = "SELECT * FROM wanted_renewals JOIN devices USING (device)";
    let mut renewals = conditions.select(c, from, "device", limit + 1, wanted_row)?;
    let next = search::cut(&mut renewals, limit, |renewal| renewal.device.clone());
    Ok(WantedPage { renewals, next })
}

fn wanted_row(row: &Row<'_>) -> Result<WantedRenewal, StoreError> {
    Ok(WantedRenewal {
        device: device_column(row, "device")?,
        group: read::group(row)?,
        since: time(row, "since")?,
        actor: row.get("actor")?,
        turn: time(row, "turn")?,
        due: time(row, "due")?,
        attempts: row.get("attempts")?,
        told: optional_time(row, "told")?,
        problem: row.get("problem")?,
    })
}

fn take_lease(c: &Connection, name: &str, lease: &Lease, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "INSERT INTO leases (name, owner, until) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE \
               SET owner = excluded.owner, until = excluded.until \
               WHERE leases.owner = excluded.owner OR leases.until <= ?4 OR leases.until > ?5";
    let values = params![name, lease.owner, secs(lease.until), secs(now), secs(now.after(MAX_LEASE))];
    Ok(c.prepare_cached(sql)?.execute(values)? > 0)
}

fn due(c: &Connection, now: UnixTime, limit: u32) -> Result<Vec<DueRenewal>, StoreError> {
    // A device that is suspended would be refused; its turn comes when it is back.
    let sql = "SELECT device, device_group, attempts FROM wanted_renewals JOIN devices USING (device) \
               WHERE due <= ? AND state = 'enrolled' ORDER BY due, device LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![secs(now), limit], |row| {
        Ok(DueRenewal {
            device: device_column(row, "device")?,
            group: read::group(row)?,
            attempts: row.get("attempts")?,
        })
    })
}

fn note(c: &Connection, told: &Told, now: UnixTime) -> Result<(), StoreError> {
    let (device, next) = (told.device.as_str(), secs(told.next));
    match &told.outcome {
        TellOutcome::Taken => {
            let sql = "UPDATE wanted_renewals SET attempts = attempts + 1, told = ?, due = ?, problem = NULL \
                       WHERE device = ?";
            c.prepare_cached(sql)?.execute(params![secs(now), next, device])?;
        }
        TellOutcome::Failed(problem) => {
            let sql = "UPDATE wanted_renewals SET attempts = attempts + 1, due = ?, problem = ? \
                       WHERE device = ?";
            c.prepare_cached(sql)?.execute(params![next, problem, device])?;
        }
        TellOutcome::Postponed(problem) => {
            let sql = "UPDATE wanted_renewals SET due = ?, problem = ? WHERE device = ?";
            c.prepare_cached(sql)?.execute(params![next, problem, device])?;
        }
    }
    Ok(())
}

fn online(c: &Connection, devices: &[DeviceId], now: UnixTime) -> Result<usize, StoreError> {
    let sql = "UPDATE wanted_renewals SET due = ?1 WHERE device = ?2 AND turn <= ?1 AND due > ?1 \
               AND (told IS NULL OR told <= ?3)";
    let quiet = secs(now.before(TOLD_QUIET));
    let mut changed = 0;
    for device in devices {
        changed += c.prepare_cached(sql)?.execute(params![secs(now), device.as_str(), quiet])?;
    }
    Ok(changed)
}
