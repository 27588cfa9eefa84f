//! Attempts to come in as an administrator with a credential that is none.
//!
//! Anyone on the network can make as many as they like. So they are counted in memory, never with what was shown, and
//! written as one row for each door: the first at the next round, then what came meanwhile, once in [`QUIET`]. Who shows nothing has
//! not tried.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use shared::UnixTime;

use super::{Actor, EventKind, QUIET};
use crate::store::{NewEvent, Store, StoreError};

/// Where administrators come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Calls below `/admin/`, by the token.
    AdminApi,
    /// The dashboard's page to sign in, by a link or a certificate.
    Dashboard,
}

impl Door {
    const ALL: [Self; 2] = [Self::AdminApi, Self::Dashboard];

    /// The stable name, as the reason of the event.
    const fn name(self) -> &'static str {
        match self {
            Self::AdminApi => "admin-api",
            Self::Dashboard => "dashboard",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::AdminApi => "calls of the admin API with a wrong token",
            Self::Dashboard => {
                "attempts to sign in to the dashboard by a link or a certificate that is not good"
            }
        }
    }
}

/// Attempts since they were last written to the trail.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<[Guess; Door::ALL.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct Guess {
    count: u64,
    last: Option<SocketAddr>,
    written: Option<UnixTime>,
}

impl Guess {
    fn is_due(&self, now: UnixTime) -> bool {
        let quiet = |written: UnixTime| written <= now && now < written.after(QUIET);
        self.count > 0 && !self.written.is_some_and(quiet)
    }
}

impl Guesses {
    /// Counts one.
    pub fn count(&self, door: Door, from: Option<SocketAddr>) {
        self.change(door, |guess| {
            guess.count = guess.count.saturating_add(1);
            guess.last = from.or(guess.last);
        });
    }

    /// Writes what is due to the trail. What cannot be written is counted on.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &dyn Store, now: UnixTime) -> Result<(), StoreError> {
        for door in Door::ALL {
            let due = self.change(door, |guess| {
                let begun = Guess { written: Some(now), ..Guess::default() };
                guess.is_due(now).then(|| core::mem::replace(guess, begun))
            });
            let Some(due) = due else { continue };
            let last = due.last.map(|from| format!("; the last from {from}")).unwrap_or_default();
            let detail = format!("{} {}{last}", due.count, door.says());
            let event = NewEvent::new(now, EventKind::AdministratorRefused, detail).because(door.name());
            if let Err(error) = store.add_event(event.by(Actor::System), Duration::ZERO).await {
                self.change(door, |guess| {
                    guess.count = guess.count.saturating_add(due.count);
                    guess.written = due.written;
                });
                return Err(error);
            }
        }
        Ok(())
    }

    fn change<T>(&self, door: Door, change: impl FnOnce(&mut Guess) -> T) -> T {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [api, dashboard] = &mut *guesses;
        change(match door {
            Door::AdminApi => api,
            Door::Dashboard => dashboard,
        })
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use shared::UnixTime;

    use super::{Door, Guesses, QUIET};
    use crate::audit::EventKind;
    use crate::store::{EventQuery, Place, SqlStore, Store as _};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    async fn details(store: &SqlStore) -> Vec<String> {
        let kinds = vec![EventKind::AdministratorRefused];
        let events = store.events(EventQuery { kinds, ..EventQuery::after(0, 1_000) }).await.unwrap();
        events.into_iter().map(|event| event.detail).collect()
    }

    #[tokio::test]
    async fn a_flood_is_one_row_an_hour_and_none_of_it_is_forgotten() {
        let (store, guesses) = (Place::sqlite().open(), Guesses::default());
        let from = Some("203.0.113.7:4711".parse().unwrap());
        // A round is every thirty seconds; a thousand attempts come in each, for three hours.
        for round in 0..360 {
            (0..1_000).for_each(|_| guesses.count(Door::AdminApi, from));
            guesses.write(&store, NOW.after(Duration::from_secs(30 * round))).await.unwrap();
        }
        guesses.count(Door::Dashboard, None);
        guesses.write(&store, NOW.after(3 * QUIET)).await.unwrap();
        let said = "calls of the admin API with a wrong token; the last from 203.0.113.7:4711";
        let dashboard = "attempts to sign in to the dashboard by a link or a certificate that is not good";
        let expected = [
            format!("1000 {said}"),
            format!("120000 {said}"),
            format!("120000 {said}"),
            format!("119000 {said}"),
            format!("1 {dashboard}"),
        ];
        assert_eq!(details(&store).await, expected);
        guesses.write(&store, NOW.after(9 * QUIET)).await.unwrap();
        assert_eq!(details(&store).await.len(), 5, "nothing came");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted_on_and_a_clock_that_jumps_back_hides_nothing() {
        let (place, guesses) = (Place::sqlite(), Guesses::default());
        let store = place.open();
        guesses.count(Door::AdminApi, None);
        store.close().await.unwrap();
        guesses.write(&store, NOW).await.unwrap_err();
        let store = place.open();
        guesses.count(Door::AdminApi, None);
        guesses.write(&store, NOW).await.unwrap();
        guesses.count(Door::AdminApi, None);
        guesses.write(&store, NOW.before(Duration::from_secs(1))).await.unwrap();
        let said = details(&store).await;
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("2 calls") && said[1].starts_with("1 calls"), "{said:?}");
    }
}
