//! Watches the files while the server runs.

use core::time::Duration;
use std::sync::Arc;

use shared::UnixTime;
use tokio::sync::{Notify, watch};

use super::{Look, Policies, Report};
use crate::audit::EventKind;
use crate::clock::Clock;
use crate::issuance::chain;
use crate::serve::stopped;
use crate::store::{NewEvent, Store, StoreError};
use crate::telemetry::Metrics;

/// How often the files are looked at; a change is in force after twice that at most.
const LOOK: Duration = Duration::from_millis(500);
/// Longest account of mistakes in the audit trail, in characters.
const MAX_DETAIL: usize = 2_000;

/// Looks at the files until the end, and at once when `asked`.
pub(crate) async fn watch(
    policies: Arc<Policies>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    asked: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    let since = clock.now();
    let mut report = Report::new(&policies.current(), since, None);
    let mut written = false;
    loop {
        if !written {
            // What cannot be written now is written at a later look.
            written = write(store.as_ref(), &report).await;
        }
        let at_once = tokio::select! {
            () = stopped(&mut stop) => return,
            () = asked.notified() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let files = Arc::clone(&policies);
        let look = move || if at_once { files.reload() } else { files.look() };
        let Ok(look) = tokio::task::spawn_blocking(look).await else { continue };
        let now = clock.now();
        let event = match look {
            Look::Nothing => continue,
            Look::Taken(in_force) => {
                report = Report::new(&in_force, now, None);
                metrics.policies_loaded(true);
                tracing::info!(policies = report.line(), "policies were loaded");
                (EventKind::PolicyReloaded, report.line())
            }
            Look::Broken(problem) => {
                metrics.policies_loaded(false);
                tracing::error!(problem, "the policy files have mistakes; what was in force stays in force");
                report.problem = Some(problem.clone());
                (EventKind::PolicyBroken, problem)
            }
        };
        written = false;
        if let Err(error) = add_event(store.as_ref(), event, now).await {
            tracing::warn!(error = chain(&error), "the audit trail does not say that policies were loaded");
        }
    }
}

async fn add_event(
    store: &dyn Store,
    (kind, detail): (EventKind, String),
    now: UnixTime,
) -> Result<(), StoreError> {
    let detail: String = detail.chars().take(MAX_DETAIL).collect();
    store.add_event(NewEvent::new(now, kind, detail), Duration::ZERO).await
}

async fn write(store: &dyn Store, report: &Report) -> bool {
    let Ok(text) = serde_json::to_string(report) else { return true };
    match store.set_note("policies", text).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(error = chain(&error), "the report on policies waits");
            false
        }
    }
}
