//! Brings the tables up to date, step by step, each step whole or not at all.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Every step there ever was, in order. A step that was released is never edited: the next one corrects it.
pub(super) const STEPS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_groups.sql"),
    include_str!("../migrations/0003_events.sql"),
];

/// Runs the steps the database has not seen.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    // Exclusive from the start, so that two processes that start at once do not both migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (number, step) in (1_i64..).zip(STEPS) {
        if number > found {
            transaction.execute_batch(step)?;
        }
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
