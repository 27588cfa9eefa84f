//! What a running server does by itself beside its requests: writes down refusals, drops old records.

use core::time::Duration;
use std::sync::Arc;

use shared::UnixTime;
use tokio::sync::watch;

use crate::audit::{Refusals, Repeated};
use crate::clock::Clock;
use crate::issuance::{Journal, chain};
use crate::serve::stopped;
use crate::store::{Store, StoreError};

/// How often counted refusals are written to the audit trail.
const AUDIT: Duration = Duration::from_secs(30);

/// How often records of refusals are written.
const RECORD: Duration = Duration::from_millis(500);
/// How often it is looked for records that are older than they are kept.
const PRUNE: Duration = Duration::from_secs(600);

/// Further behind the newest events than the clocks of servers may differ, a clock is wrong.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Says where this server's clock is behind what was written before. It stops nothing: the clock that was ahead then may have
/// been the wrong one, and would stop all servers.
pub(super) async fn look_at_clock(store: &dyn Store, now: UnixTime) -> Result<(), StoreError> {
    if let Some(latest) = store.latest().await?
        && latest.since(now) > TOLERANCE
    {
        tracing::error!(
            %now, %latest,
            "the clock is behind the newest events: set it right, or certificates begin and end too early; if it is right, those \
             were written by a clock that was ahead"
        );
    }
    Ok(())
}

/// Writes the records of refusals that wait, and drops records that are older than they are kept.
pub(super) async fn keep_records(
    records: Arc<Journal>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    let mut since_pruned = PRUNE;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(RECORD) => since_pruned += RECORD,
        }
        records.write(store.as_ref()).await;
        if since_pruned >= PRUNE {
            match store.prune_appraisals(clock.now()).await {
                // As long as there are some, they go with every round.
                Ok(1..) => {}
                Ok(0) => since_pruned = Duration::ZERO,
                Err(error) => tracing::warn!(error = chain(&error), "old records could not be dropped"),
            }
        }
    }
}

/// Writes counted and repeated refusals to the audit trail.
pub(super) async fn write_refusals(
    (refusals, repeated): (Arc<Refusals>, Arc<Repeated>),
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(AUDIT) => {}
        }
        write_counted(&refusals, &repeated, store.as_ref(), clock.now()).await;
    }
}

/// Writes what was counted by now. Where the store fails, the log says so.
pub(super) async fn write_counted(
    refusals: &Refusals,
    repeated: &Repeated,
    store: &dyn Store,
    now: UnixTime,
) {
    if let Err(error) = refusals.write(store, now).await {
        tracing::warn!(error = chain(&error), "counted refusals could not be written to the audit trail");
    }
    if let Err(error) = repeated.write(store).await {
        tracing::warn!(error = chain(&error), "repeated refusals could not be written to the audit trail");
    }
}
