//! Links and sessions of the dashboard.

use shared::UnixTime;

use super::SqlStore;
use super::convert::{secs, sha256 as hash, time};
use super::events;
use crate::audit::EventKind;
use crate::dashboard::Role;
use crate::store::database::{Connection, Row, params};
use crate::store::{Link, NewEvent, NewSession, Redeemed, Reply, Session, Sessions, Sha256, StoreError};

/// How links stand, in the column `used`.
const UNUSED: i64 = 0;
const USED: i64 = 1;
const USED_AGAIN: i64 = 2;

impl Sessions for SqlStore {
    fn add_link(&self, link: Link, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| add_link(c, &link, now))
    }

    fn link(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, Option<Link>> {
        self.read(move |c| link(c, &sha256, now))
    }

    fn redeem_link(&self, link: Sha256, session: NewSession, now: UnixTime) -> Reply<'_, Redeemed> {
        self.write(move |c| redeem(c, &link, &session, now))
    }

    fn open_session(&self, session: Session, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| open(c, &session, now))
    }

    fn session(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, Option<Session>> {
        self.read(move |c| {
            let sql = "SELECT * FROM dashboard_sessions WHERE sha256 = ? AND expires > ?";
            c.prepare_cached(sql)?.find(params![sha256, secs(now)], session_row)
        })
    }

    fn touch_session(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| {
            let sql = "UPDATE dashboard_sessions SET seen = ?1 WHERE sha256 = ?2 AND seen < ?1";
            c.prepare_cached(sql)?.execute(params![secs(now), sha256]).map(drop)
        })
    }

    fn sessions(&self, now: UnixTime) -> Reply<'_, Vec<Session>> {
        self.read(move |c| {
            let sql = "SELECT * FROM dashboard_sessions WHERE expires > ? ORDER BY seen DESC, id";
            c.prepare_cached(sql)?.query_map(params![secs(now)], session_row)
        })
    }

    fn end_sessions(&self, id: Option<String>, now: UnixTime) -> Reply<'_, u64> {
        self.write(move |c| end(c, id.as_deref(), now))
    }
}

fn add_link(c: &Connection, link: &Link, now: UnixTime) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM dashboard_links WHERE expires <= ?")?.execute(params![secs(now)])?;
    let sql = "INSERT INTO dashboard_links (sha256, label, role, created, expires) VALUES (?, ?, ?, ?, ?)";
    let (created, expires) = (secs(link.created), secs(link.expires));
    c.prepare_cached(sql)?.execute(params![link.sha256, link.label, link.role.name(), created, expires])?;
    let detail = format!("for {} as {}, until {}", link.label, link.role, link.expires);
    events::add(c, &NewEvent::new(now, EventKind::DashboardLink, detail))
}

fn link(c: &Connection, sha256: &Sha256, now: UnixTime) -> Result<Option<Link>, StoreError> {
    let sql = "SELECT * FROM dashboard_links WHERE sha256 = ? AND expires > ?";
    c.prepare_cached(sql)?.find(params![sha256, secs(now)], |row| {
        Ok(Link {
            sha256: hash(row, "sha256")?,
            label: row.get("label")?,
            role: role(row)?,
            created: time(row, "created")?,
            expires: time(row, "expires")?,
            used: row.get::<_, i64>("used")? != UNUSED,
        })
    })
}

fn redeem(
    c: &Connection,
    sha256: &Sha256,
    session: &NewSession,
    now: UnixTime,
) -> Result<Redeemed, StoreError> {
    let Some(found) = link(c, sha256, now)? else { return Ok(Redeemed::Unknown) };
    let sql = "UPDATE dashboard_links SET used = ?1 WHERE sha256 = ?2 AND used = ?3";
    let mut mark = c.prepare_cached(sql)?;
    if mark.execute(params![USED, sha256, UNUSED])? == 0 {
        if mark.execute(params![USED_AGAIN, sha256, USED])? > 0 {
            let detail = format!("the link for {} as {}", found.label, found.role);
            events::add(c, &NewEvent::new(now, EventKind::DashboardLinkReused, detail))?;
        }
        return Ok(Redeemed::UsedBefore);
    }
    let session = Session {
        sha256: session.sha256,
        id: session.id.clone(),
        label: found.label,
        role: found.role,
        certificate: None,
        created: now,
        seen: now,
        expires: now.after(session.lifetime),
    };
    open(c, &session, now)?;
    Ok(Redeemed::Opened(session))
}

fn open(c: &Connection, session: &Session, now: UnixTime) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM dashboard_sessions WHERE expires <= ?")?.execute(params![secs(now)])?;
    let sql = "INSERT INTO dashboard_sessions (sha256, id, label, role, certificate, created, seen, expires) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![
        session.sha256,
        session.id,
        session.label,
        session.role.name(),
        session.certificate,
        secs(session.created),
        secs(session.seen),
        secs(session.expires)
    ])?;
    let how = if session.certificate.is_some() { "by certificate" } else { "by link" };
    let detail = format!("{} as {} {how}, session {}", session.label, session.role, session.id);
    events::add(c, &NewEvent::new(now, EventKind::DashboardSignIn, detail))
}

fn end(c: &Connection, id: Option<&str>, now: UnixTime) -> Result<u64, StoreError> {
    let (ended, detail) = match id {
        Some(id) => {
            let sql = "DELETE FROM dashboard_sessions WHERE id = ?";
            (c.prepare_cached(sql)?.execute(params![id])?, format!("session {id}"))
        }
        None => {
            let sessions = c.prepare_cached("DELETE FROM dashboard_sessions")?.execute(params![])?;
            let sql = "DELETE FROM dashboard_links WHERE used = ?";
            let links = c.prepare_cached(sql)?.execute(params![UNUSED])?;
            (sessions + links, format!("all: {sessions} sessions and {links} unused links"))
        }
    };
    if ended > 0 {
        events::add(c, &NewEvent::new(now, EventKind::DashboardSignOut, detail))?;
    }
    Ok(ended as u64)
}

fn session_row(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        sha256: hash(row, "sha256")?,
        id: row.get("id")?,
        label: row.get("label")?,
        role: role(row)?,
        certificate: row.get("certificate")?,
        created: time(row, "created")?,
        seen: time(row, "seen")?,
        expires: time(row, "expires")?,
    })
}

fn role(row: &Row<'_>) -> Result<Role, StoreError> {
    let name: String = row.get("role")?;
    Role::from_name(&name).ok_or(StoreError::Damaged { field: "role" })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::store::{EventQuery, Place, Store as _, on_both};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn later(seconds: u64) -> UnixTime {
        NOW.after(Duration::from_secs(seconds))
    }

    fn a_link(byte: u8) -> Link {
        Link {
            sha256: [byte; 32],
            label: "ada".into(),
            role: Role::Operator,
            created: NOW,
            expires: later(900),
            used: false,
        }
    }

    fn a_session(byte: u8) -> NewSession {
        NewSession { sha256: [byte; 32], id: format!("id{byte}"), lifetime: Duration::from_secs(3_600) }
    }

    on_both!(a_link_opens_one_session, sessions_end, all_are_ended_at_once);

    async fn kinds(store: &SqlStore) -> Vec<String> {
        let events = store.events(EventQuery::after(0, 100)).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn a_link_opens_one_session(place: Place) {
        // Two servers on one database: whichever is asked second says no.
        let (one, other) = (place.open(), place.open());
        one.add_link(a_link(1), NOW).await.unwrap();
        let (first, second) = tokio::join!(
            one.redeem_link([1; 32], a_session(11), later(1)),
            other.redeem_link([1; 32], a_session(12), later(1))
        );
        let opened: Vec<Session> = [first.unwrap(), second.unwrap()]
            .into_iter()
            .filter_map(|done| match done {
                Redeemed::Opened(session) => Some(session),
                Redeemed::UsedBefore | Redeemed::Unknown => None,
            })
            .collect();
        let [session] = opened.as_slice() else { panic!("{opened:?}") };
        assert_eq!((session.label.as_str(), session.role), ("ada", Role::Operator));
        for store in [&one, &other] {
            assert_eq!(store.sessions(later(2)).await.unwrap(), opened, "on both servers");
            assert_eq!(store.session(session.sha256, later(2)).await.unwrap().as_ref(), Some(session));
        }
        let reused = ["dashboard-link", "dashboard-sign-in", "dashboard-link-reused"];
        assert_eq!(kinds(&one).await, reused, "the second says so");
        let again = one.redeem_link([1; 32], a_session(13), later(3)).await.unwrap();
        assert_eq!(again, Redeemed::UsedBefore);
        assert_eq!(one.redeem_link([9; 32], a_session(14), later(3)).await.unwrap(), Redeemed::Unknown);
        // That it came again is in the trail once, however often it comes.
        assert_eq!(kinds(&one).await, reused);
        assert!(one.link([1; 32], later(3)).await.unwrap().unwrap().used);
    }

    async fn sessions_end(place: Place) {
        let store = place.open();
        store.add_link(a_link(1), NOW).await.unwrap();
        assert!(!store.link([1; 32], NOW).await.unwrap().unwrap().used);
        assert_eq!(store.redeem_link([1; 32], a_session(2), later(900)).await.unwrap(), Redeemed::Unknown);
        store.add_link(a_link(3), NOW).await.unwrap();
        store.redeem_link([3; 32], a_session(4), NOW).await.unwrap();
        store.touch_session([4; 32], later(60)).await.unwrap();
        // A server whose clock is behind takes nothing back.
        store.touch_session([4; 32], later(30)).await.unwrap();
        assert_eq!(store.session([4; 32], later(61)).await.unwrap().unwrap().seen, later(60));
        assert_eq!(store.session([4; 32], later(3_600)).await.unwrap(), None);
        assert_eq!(store.sessions(later(3_600)).await.unwrap(), []);
        let signed_out =
            async || kinds(&store).await.iter().filter(|kind| *kind == "dashboard-sign-out").count();
        assert_eq!(store.end_sessions(Some("id4".into()), later(61)).await.unwrap(), 1);
        assert_eq!(signed_out().await, 1);
        assert_eq!(store.end_sessions(Some("id4".into()), later(61)).await.unwrap(), 0);
        assert_eq!(signed_out().await, 1, "nobody was there the second time");
        assert_eq!(store.session([4; 32], later(61)).await.unwrap(), None);
    }

    async fn all_are_ended_at_once(place: Place) {
        let store = place.open();
        for byte in 1..=3 {
            store.add_link(a_link(byte), NOW).await.unwrap();
        }
        store.redeem_link([1; 32], a_session(11), NOW).await.unwrap();
        store.redeem_link([2; 32], a_session(12), NOW).await.unwrap();
        assert_eq!(store.end_sessions(None, NOW).await.unwrap(), 3, "two sessions and a link");
        assert_eq!(store.redeem_link([3; 32], a_session(13), NOW).await.unwrap(), Redeemed::Unknown);
        assert_eq!(store.session([11; 32], NOW).await.unwrap(), None);
        // A link that was used is still told from one that never was.
        assert_eq!(store.redeem_link([1; 32], a_session(14), NOW).await.unwrap(), Redeemed::UsedBefore);
    }
}
