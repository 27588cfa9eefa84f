//! Rows of the audit trail that went with a database, as the events say that were written when an older one was found.

use std::collections::HashMap;

use super::log::AuditError;
use super::record::Record;
use crate::audit::{EventKind, LostRows};
use crate::store::{EventQuery, Store};

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Each such event: the place of its leaf, and which rows it says are lost, if any. It counts only as it stands in the log,
/// or waits for it.
#[derive(Debug, Default)]
pub(super) struct Lost(Vec<(u64, Option<LostRows>)>);

impl Lost {
    /// Reads them from `store`; `record` is what the first `size` leaves say.
    pub(super) async fn read(store: &dyn Store, record: &Record, size: u64) -> Result<Self, AuditError> {
        let (mut said, mut last) = (Vec::new(), 0);
        let mut waiting = None;
        loop {
            let kinds = vec![EventKind::DatabaseRestored];
            let rows = store.events(EventQuery { kinds, ..EventQuery::after(last, PAGE) }).await?;
            let Some(row) = rows.last() else { return Ok(Self(said)) };
            last = row.number;
            for event in rows {
                let logged = record.events.get(&event.number);
                let place = match logged.filter(|logged| logged.commitment == event.commitment()) {
                    Some(logged) => Some(logged.index),
                    None => {
                        if waiting.is_none() {
                            waiting = Some(waiting_events(store, size).await?);
                        }
                        waiting.as_ref().and_then(|waiting| waiting.get(&event.number).copied())
                    }
                };
                said.extend(place.map(|place| (place, LostRows::find(&event.detail))));
            }
        }
    }

    /// Whether it was said after the leaf `index` that the row with this number, which that leaf has, was lost. The rows
    /// that the database had by then instead are before that event, too.
    pub(super) fn explains(&self, number: u64, index: u64) -> bool {
        let has =
            |rows: &Option<LostRows>| rows.as_ref().is_some_and(|LostRows(rows)| rows.contains(&number));
        self.0.iter().any(|(place, rows)| index < *place && has(rows))
    }

    /// Whether an older database was found after the leaf `index`.
    pub(super) fn is_after(&self, index: u64) -> bool {
        self.0.iter().any(|(place, _)| index < *place)
    }
}

/// The events whose leaves wait for the next checkpoint, with the places of those.
async fn waiting_events(store: &dyn Store, size: u64) -> Result<HashMap<u64, u64>, AuditError> {
    let (mut waiting, mut next) = (HashMap::new(), size);
    loop {
        let rows = store.leaf_rows(next, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(waiting) };
        next = last.position + 1;
        waiting.extend(rows.iter().filter_map(|row| Some((row.event?, row.position))));
    }
}
