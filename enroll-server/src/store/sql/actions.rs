//! An operator's actions, and every change of a device's state: all go through the table of moves.

use ca::crl::Reason;
use shared::{DeviceId, UnixTime};

use super::convert::{device_state, secs};
use super::{events, renewals, revoke, rollovers, search, tokens};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{
    Action, Carried, DeviceState, IllegalMove, NewEvent, Page, Selection, Standing, Step, StoreError,
};

/// Carries out `action` for one page of `selection`.
pub(super) fn carry_out(
    c: &Connection,
    selection: &Selection,
    action: &Action,
    page: &Page,
    now: UnixTime,
) -> Result<Carried, StoreError> {
    // To approve or deny many means those that wait; one device can be approved before it asks.
    let waiting = matches!(action, Action::Approve | Action::Deny(_))
        && matches!(selection, Selection::Group(_) | Selection::Tag(_) | Selection::All);
    let (selected, next) = search::select(c, selection, waiting.then_some(DeviceState::Held), page)?;
    let mut carried = Carried { next, ..Carried::default() };
    for (device, from) in selected {
        match action.step().check(&device, from) {
            Ok(step) => {
                let (to, certificates) = Hand { c, device: &device, from, now }.carry_out(action, step)?;
                carried.done += 1;
                carried.certificates += certificates as u64;
                carried.state = Some(to);
            }
            Err(illegal) => carried.illegal.push(illegal),
        }
    }
    Ok(carried)
}

pub(super) const STANDING: &str = "SELECT state, \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?1 AND state = 'held') AS request, \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?1 AND state = 'issued') AS certificate \
    FROM devices WHERE device = ?1";

/// The state of a device and what it has, if it is known.
pub(super) fn standing(
    c: &Connection,
    device: &DeviceId,
) -> Result<Option<(DeviceState, Standing)>, StoreError> {
    let mut query = c.prepare_cached(STANDING)?;
    query.find(params![device.as_str()], |row| {
        let standing = Standing { request: row.get("request")?, certificate: row.get("certificate")? };
        Ok((device_state(row)?, standing))
    })
}

pub(super) const PUT: &str = "UPDATE devices SET state = ?, changed = ? WHERE device = ?";

/// Puts a device from one state into another.
pub(super) fn put(
    c: &Connection,
    device: &DeviceId,
    (from, to): (DeviceState, DeviceState),
    now: UnixTime,
) -> Result<(), StoreError> {
    if from != to {
        c.prepare_cached(PUT)?.execute(params![to.name(), secs(now), device.as_str()])?;
    }
    Ok(())
}

/// As [`put`], for a device that gets a certificate, with the trust bundle that it says it holds: one change of its row.
pub(super) fn grant(
    c: &Connection,
    device: &DeviceId,
    (from, to): (DeviceState, DeviceState),
    trust: Option<u64>,
    now: UnixTime,
) -> Result<(), StoreError> {
    match trust {
        Some(number) if rollovers::is_known(c, number)? => {
            c.prepare_cached(GRANT)?.execute(params![to.name(), secs(now), device.as_str(), number])?;
            Ok(())
        }
        _ => put(c, device, (from, to), now),
    }
}

pub(super) const GRANT: &str = "UPDATE devices SET state = ?1, changed = CASE state WHEN ?1 THEN changed ELSE ?2 END, \
    trust_number = ?4, trust_at = ?2 WHERE device = ?3";

/// What stands in the place of a key where any is approved.
const NEXT_ENROLLMENT: &[u8] = &[];

/// One action on one device, which the table has allowed.
struct Hand<'a> {
    c: &'a Connection,
    device: &'a DeviceId,
    from: DeviceState,
    now: UnixTime,
}

impl Hand<'_> {
    /// The state it led to, and how many certificates were revoked.
    fn carry_out(&self, action: &Action, step: Step) -> Result<(DeviceState, usize), StoreError> {
        let (kind, detail, revoked) = match action {
            Action::Approve => {
                let sql = "UPDATE devices SET denied = NULL, approval = coalesce((SELECT key_sha256 \
                           FROM certificates WHERE device = ?1 AND state = 'held'), ?2) WHERE device = ?1";
                self.c.prepare_cached(sql)?.run(params![self.device.as_str(), NEXT_ENROLLMENT])?;
                (EventKind::Approved, "its held request, or its next enrollment".to_owned(), 0)
            }
            Action::Deny(why) => {
                self.void()?;
                let sql = "UPDATE devices SET approval = NULL, denied = ?2 WHERE device = ?1";
                self.c.prepare_cached(sql)?.execute(params![self.device.as_str(), why])?;
                (EventKind::Denied, why.clone(), 0)
            }
            Action::Suspend => {
                self.void()?;
                self.set("approval = NULL")?;
                revoke::raise(self.c, "revocations")?;
                (EventKind::DeviceStateChanged, "its certificates are on hold".to_owned(), 0)
            }
            Action::Resume => {
                revoke::raise(self.c, "revocations")?;
                (EventKind::DeviceStateChanged, "its certificates are in force again".to_owned(), 0)
            }
            Action::Revoke(reason) => {
                let revoked = self.end(*reason)?;
                (EventKind::Revoked, format!("{}; {revoked} certificates", reason.name()), revoked)
            }
            Action::Retire => {
                let revoked = self.end(Reason::CessationOfOperation)?;
                (EventKind::DeviceStateChanged, format!("{revoked} certificates"), revoked)
            }
            Action::Return => {
                let revoked = self.begin_anew("default", Reason::CessationOfOperation)?;
                (EventKind::DeviceStateChanged, format!("{revoked} certificates"), revoked)
            }
            Action::Transfer(group) => {
                let from = self.group()?;
                // RFC 5280, section 5.3.1: what the certificate says of its holder is no longer right.
                let revoked = self.begin_anew(group.as_str(), Reason::AffiliationChanged)?;
                (
                    EventKind::DeviceStateChanged,
                    format!("from {from} to {group}; {revoked} certificates"),
                    revoked,
                )
            }
        };
        let (from, standing) =
            standing(self.c, self.device)?.ok_or(StoreError::Damaged { field: "device" })?;
        let to = step.to(standing);
        put(self.c, self.device, (from, to), self.now)?;
        let repeated =
            to == self.from && matches!(action, Action::Suspend | Action::Revoke(_) | Action::Retire);
        if !repeated {
            let detail = format!("{} -> {}: {detail}", self.from.name(), to.name());
            let reason = match action {
                Action::Revoke(reason) => reason.name(),
                _ => action.step().name(),
            };
            let event = NewEvent::new(self.now, kind, detail).about(self.device).because(reason);
            events::add(self.c, &event)?;
        }
        Ok((to, revoked))
    }

    /// Sets columns of the device; `columns` comes from this file.
    fn set(&self, columns: &str) -> Result<(), StoreError> {
        let sql = format!("UPDATE devices SET {columns} WHERE device = ?1");
        self.c.prepare_cached(&sql)?.execute(params![self.device.as_str()])?;
        Ok(())
    }

    /// What is held, or being signed at this moment, is given up: it will never leave the server.
    fn void(&self) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET state = 'voided', intent_mac = NULL \
                   WHERE device = ? AND state IN ('held', 'intent')";
        self.c.prepare_cached(sql)?.execute(params![self.device.as_str()])?;
        Ok(())
    }

    /// Ends all that the device has. Gives the number of its certificates.
    fn end(&self, reason: Reason) -> Result<usize, StoreError> {
        self.void()?;
        self.set("approval = NULL")?;
        renewals::forget(self.c, self.device)?;
        let revoked = revoke::all(self.c, self.device, reason, self.now)?;
        revoke::raise(self.c, "revocations")?;
        Ok(revoked)
    }

    /// Ends all of its old life; what remains is its name, its model and its pinned identity.
    fn begin_anew(&self, group: &str, reason: Reason) -> Result<usize, StoreError> {
        let revoked = self.end(reason)?;
        let name = self.device.as_str();
        let sql = "UPDATE devices SET device_group = ?2, denied = NULL WHERE device = ?1";
        self.c.prepare_cached(sql)?.execute(params![name, group])?;
        self.c.prepare_cached("DELETE FROM device_tags WHERE device = ?")?.execute(params![name])?;
        self.c.prepare_cached("DELETE FROM device_claims WHERE device = ?")?.execute(params![name])?;
        tokens::revoke_of(self.c, self.device, self.now)?;
        Ok(revoked)
    }

    fn group(&self) -> Result<String, StoreError> {
        let mut query = self.c.prepare_cached("SELECT device_group FROM devices WHERE device = ?")?;
        query.query_row(params![self.device.as_str()], |row| row.get(0))
    }
}

/// That a step which was decided on is illegal means that the decision was wrong.
pub(super) fn undecided(_: IllegalMove) -> StoreError {
    StoreError::Damaged { field: "state" }
}
