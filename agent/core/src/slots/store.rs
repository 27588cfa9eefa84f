//! Writing and reading the state and identity records.

use shared::UnixTime;

use super::record;
use super::{Identity, State, identity_record};
use crate::platform::{KeyError, KeyStore, Record, Slot, Storage, StorageError};

/// A state that is known to be durable: it was written or read in full. Made by [`save`] and
/// [`boot`](super::boot) only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored(State);

impl Stored {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.0
    }

    /// For [`boot`](super::boot), after it read the state.
    pub(super) const fn as_read(state: State) -> Self {
        Self(state)
    }
}

/// Writes `state` in place of one that had the counter `before`, and returns it as durable.
///
/// # Errors
/// Where storage fails; the state before is still in force.
pub async fn save(storage: &mut impl Storage, mut state: State, before: u64) -> Result<Stored, StorageError> {
    state.count_on(before);
    let mut buffer = [0; STATE];
    let length = record::seal(Record::State, &state, &mut buffer)?;
    storage.store(Record::State, buffer.get(..length).ok_or(StorageError::TooLong)?).await?;
    Ok(Stored(state))
}

/// Reads the state record; `None` where there is none or it is damaged. Says nothing about the slots: for an
/// agent that is to run, use [`boot`](super::boot).
///
/// # Errors
/// Where storage fails.
pub async fn read_state(storage: &mut impl Storage) -> Result<Option<State>, StorageError> {
    let mut buffer = [0; STATE];
    let length = match storage.load(Record::State, &mut buffer).await {
        Ok(Some(length)) => length,
        Ok(None) | Err(StorageError::TooLong) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(buffer.get(..length).and_then(|bytes| record::open(Record::State, bytes).ok()))
}

/// Writes the identity for the request under way into its slot. The state does not name it yet.
///
/// # Errors
/// Where storage fails, `buffer` is too short, or `stored` has no request under way.
pub async fn store_identity(
    storage: &mut impl Storage,
    stored: &Stored,
    identity: &Identity<'_>,
    buffer: &mut [u8],
) -> Result<Slot, StorageError> {
    let slot = stored.state().requested_slot().ok_or(StorageError::Medium)?;
    let length = identity.write(slot, buffer)?;
    let content = buffer.get(..length).ok_or(StorageError::TooLong)?;
    storage.store(identity_record(slot), content).await?;
    Ok(slot)
}

/// Erases both slots and then the state, of which only the time floor and the counter, `before`, stay. Cut short at any point, what is
/// left boots as a device without the erased keys; calling it again goes on.
///
/// # Errors
/// Where something could not be erased.
pub async fn reset<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    floor: UnixTime,
    before: u64,
) -> Result<(), KeyError> {
    for slot in [Slot::A, Slot::B] {
        keys.erase(slot, storage).await?;
        storage.erase(identity_record(slot)).await?;
    }
    save(storage, State::blank(floor), before).await?;
    Ok(())
}

/// Longest state record.
const STATE: usize = 128;
