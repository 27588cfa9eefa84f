//! What to do with the records found at start.

use shared::{DeviceId, UnixTime};

use super::{Dates, Identity, Stage, State, Stored, identity_record, read_state, save};
use crate::platform::{KeyError, KeyStore, SigningKey as _, Slot, Storage, StorageError};

/// What the records say, put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The state they amount to.
    pub state: State,
    /// Dates of the identities in slots A and B that the state names.
    pub dates: [Option<Dates>; 2],
    /// Something lies in a slot that the state does not name, and is to be erased.
    pub leftovers: bool,
    /// A record was damaged, or the records did not fit each other as an ordinary power cut leaves them.
    pub repaired: bool,
    /// The state that is stored; blank where there is none.
    pub stored: State,
}

impl Inspection {
    /// What is stored says the same of the slots. A floor that rose with the build time alone is no reason to write: it
    /// rises again at each start.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored.is_like(&self.state)
    }
}

/// Reads all records and decides what counts; changes nothing. `buffer` is as long as
/// [`Record::MAX`](crate::platform::Record::MAX).
///
/// # Errors
/// Where the medium or the key hardware does not answer. That is no finding about the records: nothing is
/// given up because of it.
pub async fn inspect<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    device: &DeviceId,
    floor: UnixTime,
    buffer: &mut [u8],
) -> Result<Inspection, KeyError> {
    let found = read_state(storage).await?;
    let a = look(keys, storage, device, Slot::A, buffer).await?;
    let b = look(keys, storage, device, Slot::B, buffer).await?;
    let state = settle(found.as_ref(), a, b, floor);
    let repaired = match &found {
        None => a != Content::Nothing || b != Content::Nothing,
        Some(found) => {
            found.current().is_some_and(|lost| state.current().is_none_or(|kept| kept.slot != lost.slot))
        }
    };
    let named = |slot, content: Content| content.dates().filter(|_| !state.is_unreferenced(slot));
    let left = |slot, content| content != Content::Nothing && state.is_unreferenced(slot);
    Ok(Inspection {
        dates: [named(Slot::A, a), named(Slot::B, b)],
        leftovers: left(Slot::A, a) || left(Slot::B, b),
        repaired,
        stored: found.unwrap_or_else(|| State::blank(floor)),
        state,
    })
}

/// As [`inspect`], and makes the state durable. At most one write; cut short, the next boot decides the same. Where it fails,
/// what is stored goes on being in force: a device with a good identity must not be stopped by a disk that is full.
///
/// # Errors
/// As [`inspect`].
pub async fn boot<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    device: &DeviceId,
    floor: UnixTime,
    buffer: &mut [u8],
) -> Result<(Stored, Inspection), KeyError> {
    let mut inspection = inspect(keys, storage, device, floor, buffer).await?;
    let state = inspection.state.clone();
    let stored = if inspection.is_stored() {
        Stored::as_read(state)
    } else {
        save(storage, state, 0).await.unwrap_or_else(|_| Stored::as_read(inspection.stored.clone()))
    };
    inspection.stored = stored.state().clone();
    Ok((stored, inspection))
}

/// What lies in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// No record at all.
    Nothing,
    /// Records without use: damaged, or a certificate without its key.
    Remains,
    /// A key without a certificate for it.
    Key,
    /// A key and its certificate.
    Identity(Dates),
}

impl Content {
    const fn dates(self) -> Option<Dates> {
        match self {
            Self::Identity(dates) => Some(dates),
            _ => None,
        }
    }

    const fn is_identity(self) -> bool {
        matches!(self, Self::Identity(_))
    }
}

/// Decides what counts. Afterwards: the identity in use is whole; a candidate is whole; a request has its key;
/// and where any slot holds a whole identity, one is in use.
pub(super) fn settle(found: Option<&State>, a: Content, b: Content, floor: UnixTime) -> State {
    let content = |slot| match slot {
        Slot::A => a,
        Slot::B => b,
    };
    let mut state = found.cloned().unwrap_or_else(|| State::blank(floor));
    state.raise_floor(floor);
    for dates in [a, b].into_iter().filter_map(Content::dates) {
        // After the loss of the state record, what is issued next still has to count as the newest.
        state.count_from(dates.order);
    }
    match state.next() {
        Some(next) if next.stage == Stage::Issued && !content(next.slot).is_identity() => {
            state.give_up_next()
        }
        Some(next) if content(next.slot).is_identity() && next.stage != Stage::Issued => {
            // The certificate came and was stored; the cut fell before the state said so.
            state.issued();
        }
        Some(next) if matches!(content(next.slot), Content::Nothing | Content::Remains) => {
            state.give_up_next()
        }
        _ => {}
    }
    if state.current().is_some_and(|current| !content(current.slot).is_identity()) {
        state.lose_current();
    }
    if state.current().is_none() {
        adopt(&mut state, a, b);
    }
    state
}

/// Nothing says which identity is in use: the older one is, and the newer one is on trial beside it. So the
/// broker decides between them, as it would have without the damage.
fn adopt(state: &mut State, a: Content, b: Content) {
    match (a.dates(), b.dates()) {
        (Some(in_a), Some(in_b)) => {
            let older = if in_a.order <= in_b.order { Slot::A } else { Slot::B };
            state.adopt(older);
            state.put_on_trial(older.other());
        }
        (Some(_), None) => state.adopt(Slot::A),
        (None, Some(_)) => state.adopt(Slot::B),
        (None, None) => {}
    }
}

async fn look<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    device: &DeviceId,
    slot: Slot,
    buffer: &mut [u8],
) -> Result<Content, KeyError> {
    let length = match storage.load(identity_record(slot), buffer).await {
        Ok(length) => length,
        Err(StorageError::TooLong) => Some(0),
        Err(error) => return Err(error.into()),
    };
    let without_key = if length.is_some() { Content::Remains } else { Content::Nothing };
    let key = match keys.open(slot, storage).await {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(without_key),
        Err(KeyError::Damaged) => return Ok(Content::Remains),
        Err(error) => return Err(error),
    };
    let identity = length.and_then(|length| buffer.get(..length)).and_then(|b| Identity::read(slot, b).ok());
    let dates = identity.and_then(|identity| identity.check(&key.public_point(), device).ok());
    Ok(dates.map_or(Content::Key, Content::Identity))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::{Content, settle};
    use crate::flow::BrokerAccepted;
    use crate::platform::Slot;
    use crate::slots::{Asked, Dates, State};
    use shared::UnixTime;

    const FLOOR: UnixTime = UnixTime::from_secs(1000);

    fn identity(order: u64) -> Content {
        let at = UnixTime::from_secs(5000);
        Content::Identity(Dates { not_before: at, not_after: at, renew_at: at, order })
    }

    /// Everything that can lie in a slot.
    fn contents(order: u64) -> [Content; 4] {
        [Content::Nothing, Content::Remains, Content::Key, identity(order)]
    }

    /// Every state that the methods of `State` can bring about, in either slot, and none.
    fn states() -> Vec<Option<State>> {
        let mut states = Vec::from([None]);
        let mut add = |state: &State| states.push(Some(state.clone()));
        let mut state = State::blank(FLOOR);
        add(&state);
        // Three identities one after the other: slots A, B and A again.
        for slot in [Slot::A, Slot::B, Slot::A] {
            state.request(Asked::bare_renewal());
            add(&state);
            state.refused(60, true, FLOOR);
            add(&state);
            state.issued();
            add(&state);
            let first = state.candidate().is_none();
            assert_eq!(
                state.accept(&BrokerAccepted::for_test(slot)),
                !first,
                "all but the first push one out"
            );
            add(&state);
        }
        states
    }

    #[test]
    fn every_combination_of_records_gives_one_working_identity_if_there_is_any() {
        let mut combinations = 0;
        for found in states() {
            for a in contents(1) {
                for b in contents(2) {
                    let state = settle(found.as_ref(), a, b, FLOOR);
                    let content = |slot| if slot == Slot::A { a } else { b };
                    let whole = |slot| matches!(content(slot), Content::Identity(_));
                    let what = std::format!("{found:?}, A {a:?}, B {b:?}: {state:?}");
                    assert_eq!(state.current().is_some(), whole(Slot::A) || whole(Slot::B), "{what}");
                    if let Some(current) = state.current() {
                        assert!(whole(current.slot), "{what}");
                    }
                    if let Some(slot) = state.candidate() {
                        assert!(whole(slot) && state.current().is_some_and(|c| c.slot != slot), "{what}");
                    }
                    if let Some(slot) = state.requested_slot() {
                        assert_eq!(content(slot), Content::Key, "{what}");
                        assert!(state.current().is_none_or(|c| c.slot != slot), "{what}");
                    }
                    // What was in use stays in use as long as it is whole.
                    if let Some(before) = found.as_ref().and_then(State::current).filter(|c| whole(c.slot)) {
                        assert_eq!(state.current(), Some(before), "{what}");
                    }
                    // Decided once, it stays decided: a cut during recovery changes nothing.
                    assert_eq!(settle(Some(&state), a, b, FLOOR), state, "{what}");
                    combinations += 1;
                }
            }
        }
        assert_eq!(combinations, 14 * 16);
    }

    #[test]
    fn without_a_state_the_older_identity_is_in_use_and_the_newer_on_trial() {
        let state = settle(None, identity(9), identity(4), FLOOR);
        assert_eq!(state.current().map(|current| (current.slot, current.accepted)), Some((Slot::B, false)));
        assert_eq!(state.candidate(), Some(Slot::A));
        assert!(state.counter() >= 9, "what is issued next is newer than both");
    }

    #[test]
    fn a_certificate_that_came_before_the_cut_is_not_asked_for_again() {
        let mut found = State::blank(FLOOR);
        found.request(Asked::bare_renewal());
        let state = settle(Some(&found), identity(1), Content::Nothing, FLOOR);
        assert_eq!(state.requested_slot(), None);
        assert_eq!(state.current().map(|current| current.slot), Some(Slot::A));
    }
}
