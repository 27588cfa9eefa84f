//! That nothing is signed, and why: a note in the store, which all replicas see.

use crate::store::{Store, StoreError};

/// The name of the note; empty where an operator has decided.
const NOTE: &str = "signing-stopped";

/// Why nothing is signed, where an older database was put in place and nobody has decided yet.
pub(crate) async fn stopped(store: &dyn Store) -> Result<Option<String>, StoreError> {
    Ok(store.note(NOTE).await?.filter(|why| !why.is_empty()))
}

/// From now on nothing is signed.
pub(crate) async fn stop(store: &dyn Store, why: String) -> Result<(), StoreError> {
    store.set_note(NOTE, why).await
}

/// From now on it is signed again.
pub(crate) async fn go_on(store: &dyn Store) -> Result<(), StoreError> {
    store.set_note(NOTE, String::new()).await
}
