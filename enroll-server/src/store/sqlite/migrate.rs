//! Brings the tables up to date, step by step, each step whole or not at all.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Every step there ever was, in order. A step that was released is never edited: the next one corrects it.
pub(super) const STEPS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_groups.sql"),
    include_str!("../migrations/0003_events.sql"),
    include_str!("../migrations/0004_states.sql"),
    include_str!("../migrations/0005_attestation_keys.sql"),
    include_str!("../migrations/0006_appraisals.sql"),
    include_str!("../migrations/0007_maker_crls.sql"),
    include_str!("../migrations/0008_credentials.sql"),
    include_str!("../migrations/0009_held.sql"),
    include_str!("../migrations/0010_imports.sql"),
    include_str!("../migrations/0011_webhooks.sql"),
    include_str!("../migrations/0012_reference.sql"),
    include_str!("../migrations/0013_issuers.sql"),
    include_str!("../migrations/0014_log.sql"),
    include_str!("../migrations/0015_revocation.sql"),
    include_str!("../migrations/0016_via.sql"),
    include_str!("../migrations/0017_wanted_renewals.sql"),
    include_str!("../migrations/0018_profiles.sql"),
    include_str!("../migrations/0019_rollover.sql"),
    include_str!("../migrations/0020_counts.sql"),
];

/// Runs the steps the database has not seen.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    // A step may make a table anew that others refer to; inside a transaction this switch does nothing.
    connection.pragma_update(None, "foreign_keys", false)?;
    let migrated = run(connection);
    connection.pragma_update(None, "foreign_keys", true)?;
    migrated
}

fn run(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    // Exclusive from the start, so that two processes that start at once do not both migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    if found == known {
        return Ok(());
    }
    for (number, step) in (1_i64..).zip(STEPS) {
        if number > found {
            transaction.execute_batch(step)?;
        }
    }
    if transaction.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err(StoreError::Damaged { field: "reference to another table" });
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
