//! That nothing is signed, and why: a note in the store, which all replicas see.

use core::time::Duration;

use shared::UnixTime;

use crate::audit::EventKind;
use crate::store::{NewEvent, Store, StoreError};

/// The name of the note; empty where an operator has decided.
pub(crate) const NOTE: &str = "signing-stopped";

const OLDER: &str = "an older database was put in place while servers run; start every server again, which brings in what was \
                     published since, and then decide";

/// Why nothing is signed, where an older database was put in place and nobody has decided yet.
pub(crate) async fn stopped(store: &dyn Store) -> Result<Option<String>, StoreError> {
    Ok(store.note(NOTE).await?.filter(|why| !why.is_empty()))
}

/// From now on nothing is signed, since an older database was put in place.
pub(crate) async fn stop(store: &dyn Store, why: String, now: UnixTime) -> Result<(), StoreError> {
    // First the note: whoever dies in between has not begun to sign.
    store.set_note(NOTE, why.clone()).await?;
    store.add_event(NewEvent::new(now, EventKind::DatabaseRestored, why), Duration::ZERO).await
}

/// An older database was found while the server runs. Only a start brings in again what was published, so this is said as
/// often as it is seen. `published`: the size of the log that is out, where it is known.
pub(crate) async fn stop_for_older(
    store: &dyn Store,
    published: Option<u64>,
    now: UnixTime,
) -> Result<(), StoreError> {
    if stopped(store).await?.is_none() {
        tracing::error!("{OLDER}");
        if let Some(size) = published {
            // What is written to the trail from now on is not taken for the rows that are lost.
            store.pass_over_events(size).await?;
        }
        stop(store, OLDER.to_owned(), now).await?;
    }
    Ok(())
}

/// From now on it is signed again.
pub(crate) async fn go_on(store: &dyn Store) -> Result<(), StoreError> {
    store.set_note(NOTE, String::new()).await
}
