//! One-time tokens.

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use super::convert::{optional_device, optional_group, secs, time};
use super::search::{MAX_PAGE, cut};
use super::{events, grants};
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, params};
use crate::store::{ListPlace, NewEvent, Page, Sha256, StoreError, Token, TokenPage};

/// A token as the issuance needs it.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) device: Option<DeviceId>,
    pub(super) group: Option<GroupName>,
    pub(super) expires: UnixTime,
    pub(super) used_by_key: Option<Sha256>,
    pub(super) revoked: bool,
}

pub(super) fn find(c: &Connection, sha256: &Sha256) -> Result<Option<Found>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM tokens WHERE sha256 = ?")?;
    query.find(params![sha256], |row| {
        Ok(Found {
            id: row.get("id")?,
            device: optional_device(row, "device")?,
            group: optional_group(row)?,
            expires: time(row, "expires")?,
            used_by_key: row.get("used_by_key")?,
            revoked: row.get("revoked")?,
        })
    })
}

pub(super) fn use_up(
    c: &Connection,
    sha256: &Sha256,
    device: &DeviceId,
    key: &Sha256,
) -> Result<(), StoreError> {
    let sql = "UPDATE tokens SET used_by = ?, used_by_key = ? WHERE sha256 = ? AND used_by IS NULL";
    let used = c.prepare_cached(sql)?.execute(params![device.as_str(), key, sha256])?;
    // The decision before has seen to it; a store in which it does not hold is not to be trusted.
    if used == 1 { Ok(()) } else { Err(StoreError::Damaged { field: "used_by" }) }
}

pub(super) fn add(c: &Connection, token: &Token, sha256: &Sha256) -> Result<(), StoreError> {
    let sql = "INSERT INTO tokens (sha256, id, device, device_group, created, expires) \
               VALUES (?, ?, ?, ?, ?, ?) RETURNING *";
    let (created, expires) = (secs(token.created), secs(token.expires));
    let device = token.device.as_ref().map(DeviceId::as_str);
    let group = token.group.as_ref().map(GroupName::as_str);
    let values = params![sha256, token.id, device, group, created, expires];
    let row = c.prepare_cached(sql)?.query_row(values, grants::token)?;
    let event = NewEvent::new(token.created, EventKind::TokenCreated, row.said());
    events::add(c, &NewEvent { device: token.device.clone(), ..event })
}

/// The newest ones, and those behind a place: along an index, whatever number of tokens comes before and after.
const NEWEST: &str = "SELECT * FROM tokens ORDER BY created DESC, id DESC LIMIT ?";
const BEHIND: &str =
    "SELECT * FROM tokens WHERE (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT ?";

pub(super) fn page(c: &Connection, page: &Page<ListPlace>) -> Result<TokenPage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let mut tokens = match &page.after {
        None => c.prepare_cached(NEWEST)?.query_map(params![limit + 1], token)?,
        Some(ListPlace { created, id }) => {
            c.prepare_cached(BEHIND)?.query_map(params![secs(*created), id, limit + 1], token)?
        }
    };
    let next = cut(&mut tokens, limit, |token| ListPlace { created: token.created, id: token.id.clone() });
    Ok(TokenPage { tokens, next })
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.get("id")?,
        device: optional_device(row, "device")?,
        group: optional_group(row)?,
        created: time(row, "created")?,
        expires: time(row, "expires")?,
        used_by: optional_device(row, "used_by")?,
        revoked: row.get("revoked")?,
    })
}

pub(super) fn revoke(c: &Connection, id: &str, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE tokens SET revoked = 1 WHERE id = ?";
    let found = c.prepare_cached(sql)?.execute(params![id])? > 0;
    if found {
        events::add(c, &revoked(id, now))?;
    }
    Ok(found)
}

/// A token of the last owner must not let the device, or another under its name, in again.
pub(super) fn revoke_of(c: &Connection, device: &DeviceId, now: UnixTime) -> Result<(), StoreError> {
    let sql =
        "UPDATE tokens SET revoked = 1 WHERE device = ? AND used_by IS NULL AND revoked = 0 RETURNING id";
    let ids: Vec<String> = c.prepare_cached(sql)?.query_map(params![device.as_str()], |row| row.get("id"))?;
    ids.iter().try_for_each(|id| events::add(c, &revoked(id, now).about(device)))
}

fn revoked(id: &str, now: UnixTime) -> NewEvent {
    NewEvent::new(now, EventKind::TokenRevoked, format!("token {id}"))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use shared::{DeviceId, UnixTime};

    use super::{BEHIND, NEWEST};
    use crate::store::{EventQuery, ListPlace, Page, Place, Store as _, Token, on_both};

    const BEGIN: UnixTime = UnixTime::from_secs(1_800_000_000);

    on_both!(
        pages_of_tokens_are_complete_and_never_too_long,
        what_is_done_with_a_token_is_said_of_its_device
    );

    async fn what_is_done_with_a_token_is_said_of_its_device(place: Place) {
        let store = place.open();
        let token = |id: &str, device: Option<&str>| Token {
            id: id.into(),
            device: device.map(|name| DeviceId::new(name).unwrap()),
            group: None,
            created: BEGIN,
            expires: BEGIN,
            used_by: None,
            revoked: false,
        };
        let tokens = vec![(token("a", Some("SN-1")), [1; 32]), (token("b", None), [2; 32])];
        store.add_tokens(tokens).await.unwrap();
        let events = async || {
            let events = store.events(EventQuery::after(0, 9)).await.unwrap();
            events.into_iter().map(|event| (event.kind, event.device)).collect::<Vec<_>>()
        };
        let made = |device: Option<&str>| ("token-created".to_owned(), device.map(str::to_owned));
        assert_eq!(events().await, [made(Some("SN-1")), made(None)]);
        assert!(!store.revoke_token("x".into(), BEGIN).await.unwrap());
        assert_eq!(events().await.len(), 2, "there is none");
        assert!(store.revoke_token("a".into(), BEGIN).await.unwrap());
        assert_eq!(events().await.len(), 3);
        let revoked = |token: Token| (token.id, token.revoked);
        let all = store.tokens(Page::first(9)).await.unwrap().tokens.into_iter().map(revoked);
        assert_eq!(all.collect::<Vec<_>>(), [("b".to_owned(), false), ("a".to_owned(), true)]);
    }

    /// Forty tokens, five in each second.
    async fn pages_of_tokens_are_complete_and_never_too_long(place: Place) {
        let store = place.open();
        let tokens = (0..40_u8).map(|number| {
            let created = BEGIN.after(Duration::from_secs(u64::from(number / 5)));
            // Within a second, names are in no order.
            let id = format!("{:02x}{number:02x}", number.wrapping_mul(151));
            let (device, group, used_by) = (None, None, None);
            (Token { id, device, group, created, expires: created, used_by, revoked: false }, [number; 32])
        });
        store.add_tokens(tokens.collect()).await.unwrap();
        let mut all = store.tokens(Page::first(100)).await.unwrap().tokens;
        assert_eq!(all.len(), 40);
        assert!(all.is_sorted_by_key(|token| core::cmp::Reverse((token.created, token.id.clone()))));
        for limit in [1, 3, 5, 39, 40, 41, 0, u32::MAX] {
            let (mut page, mut found) = (Page::first(limit), Vec::new());
            loop {
                let part = store.tokens(page).await.unwrap();
                assert!(part.tokens.len() <= limit.clamp(1, 1_000) as usize);
                found.extend(part.tokens);
                match part.next {
                    Some(next) => page = Page { after: Some(next), limit },
                    None => break,
                }
            }
            assert_eq!(found, all, "{limit}");
        }
        // A place is one although its token is not there.
        let between = ListPlace { created: BEGIN.after(Duration::from_secs(1)), id: "0".into() };
        all.retain(|token| token.created == BEGIN);
        let rest = store.tokens(Page { after: Some(between), limit: 100 }).await.unwrap();
        assert_eq!((rest.tokens, rest.next), (all, None));
    }

    /// With any number of tokens a page costs its own rows: nothing is sorted, and none are passed over.
    #[test]
    fn a_page_of_tokens_is_read_along_an_index() {
        for (sql, start) in [(NEWEST, "SCAN tokens USING INDEX"), (BEHIND, "SEARCH tokens USING INDEX")] {
            let steps = Place::sqlite().plan(sql);
            assert!(steps.len() == 1 && steps[0].starts_with(start), "{sql}: {steps:?}");
        }
    }
}
