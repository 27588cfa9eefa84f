//! A session that outlives its connections: when one ended, the next transaction makes a new one.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::live::Live;
use crate::store::StoreError;
use crate::store::database::{Bind, Intent, PostgresOptions};

/// How long to wait after a connection that could not be made; doubled each time, up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What an answer may take beyond the time that the server gives a statement: after that the connection is dead.
const GRACE: Duration = Duration::from_secs(5);

/// Which transactions of this program change the database, one at a time over all replicas: PostgreSQL's own lock, held
/// to the end of the transaction, and free at once when its holder's connection ends. "enrollsv" in ASCII.
pub(in crate::store) const WRITERS: i64 = 0x656e_726f_6c6c_7376;

/// A session.
pub(in crate::store) struct Session {
    options: Arc<PostgresOptions>,
    runtime: Runtime,
    live: RefCell<Option<Live>>,
    /// Whether a transaction was begun on the connection that is up.
    open: Cell<bool>,
    /// Not to be tried before, and the pause after the next failure.
    pause: Cell<Option<(Instant, Duration)>>,
    /// Whether an answer may take as long as it does.
    unhurried: Cell<bool>,
}

impl Session {
    /// Connects.
    pub(in crate::store) fn open(options: Arc<PostgresOptions>) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let session = Self {
            options,
            runtime,
            live: RefCell::new(None),
            open: Cell::new(false),
            pause: Cell::new(None),
            unhurried: Cell::new(false),
        };
        session.connect()?;
        Ok(session)
    }

    /// Waits for something else, and sees meanwhile whether the connection ends.
    pub(in crate::store) fn wait<T>(&self, other: impl Future<Output = T>) -> T {
        self.runtime.block_on(other)
    }

    /// Begins a transaction that waits for nobody.
    pub(in crate::store) fn begin_plain(&self) -> Result<(), StoreError> {
        self.open.set(true);
        self.control("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE")
    }

    /// Begins a transaction, on a new connection where the last one ended.
    pub(in crate::store) fn begin(&self, intent: Intent) -> Result<(), StoreError> {
        self.look();
        if self.is_closed() {
            self.connect()?;
        }
        let begun = match self.begin_on_this_connection(intent) {
            // Nothing was done yet, so that a connection which ended unnoticed costs nobody anything.
            Err(_) if self.is_closed() => self.connect().and_then(|()| self.begin_on_this_connection(intent)),
            begun => begun,
        };
        // Where waiting for the others took too long, the transaction is there, and failed.
        self.open.set(begun.is_ok() || !self.is_closed());
        begun
    }

    /// Takes in what has arrived: a connection that ended while another transaction was waited for is seen to have ended.
    fn look(&self) {
        // The first lets the connection's socket be asked, the second lets its task run.
        self.runtime.block_on(async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
    }

    fn begin_on_this_connection(&self, intent: Intent) -> Result<(), StoreError> {
        match intent {
            Intent::Read => self.control("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
            Intent::Write => self.begin_to_write(),
        }
    }

    /// What each statement sees is what the last writer committed, because the lock is held by then.
    fn begin_to_write(&self) -> Result<(), StoreError> {
        self.begin_plain()?;
        #[cfg(test)]
        if self.options.without_lock {
            return self.settle();
        }
        self.query("SELECT pg_advisory_xact_lock(?)::text", &[&WRITERS]).map(drop)
    }

    /// Whether no transaction is open.
    pub(in crate::store) fn is_idle(&self) -> bool {
        !self.open.get() || self.is_closed()
    }

    fn is_closed(&self) -> bool {
        self.live.borrow().as_ref().is_none_or(Live::is_closed)
    }

    /// Sends statements without values.
    pub(in crate::store) fn control(&self, sql: &'static str) -> Result<(), StoreError> {
        if matches!(sql, "COMMIT" | "ROLLBACK") {
            self.open.set(false);
        }
        self.with(async |live| live.control(sql).await)
    }

    /// Runs statements without values.
    pub(in crate::store) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.with(async |live| {
            live.control(sql).await?;
            live.settle().await
        })
    }

    /// Waits for all that was sent.
    pub(in crate::store) fn settle(&self) -> Result<(), StoreError> {
        self.with(async |live| live.settle().await)
    }

    /// The rows that a query finds.
    pub(in crate::store) fn query(&self, sql: &str, values: &[&dyn Bind]) -> Result<Vec<Row>, StoreError> {
        self.with(async |live| live.query(sql, values).await)
    }

    /// The rows that a query without values finds, which is not kept prepared.
    pub(in crate::store) fn query_once(&self, sql: &str) -> Result<Vec<Row>, StoreError> {
        self.with(async |live| live.query_once(sql).await)
    }

    /// Where the database is, without secrets.
    pub(in crate::store) fn place(&self) -> String {
        self.options.place()
    }

    /// Runs a statement; gives how many rows it changed.
    pub(in crate::store) fn execute(&self, sql: &str, values: &[&dyn Bind]) -> Result<usize, StoreError> {
        let changed = self.with(async |live| live.execute(sql, values).await)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Sends a statement without waiting for it.
    pub(in crate::store) fn send(&self, sql: &str, values: &[&dyn Bind]) -> Result<(), StoreError> {
        self.with(async |live| live.send(sql, values).await)
    }

    /// Does work whose statements take as long as they do, on both sides: what changes whole tables, and what waits for that. A
    /// peer that is gone is noticed by the kernel then.
    pub(in crate::store) fn unhurried<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.unhurried.set(true);
        let done =
            self.batch("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").and_then(|()| work());
        self.unhurried.set(false);
        done
    }

    fn with<T>(&self, ask: impl AsyncFnOnce(&mut Live) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut live = self.live.borrow_mut();
        let Some(up) = live.as_mut() else {
            return Err(StoreError::Unreachable(format!("{}: no connection", self.options.place())));
        };
        if self.unhurried.get() {
            return self.runtime.block_on(ask(up));
        }
        let limit = self.options.statement_timeout.saturating_add(GRACE);
        let done = self.runtime.block_on(async { tokio::time::timeout(limit, ask(up)).await });
        done.unwrap_or_else(|_| {
            // Its answer may come later and would be taken for another's.
            *live = None;
            Err(StoreError::Failed(format!("{}: no answer within {limit:?}", self.options.place())))
        })
    }

    fn connect(&self) -> Result<(), StoreError> {
        *self.live.borrow_mut() = None;
        self.open.set(false);
        let pause = self.runtime.block_on(async {
            let due = self.pause.get().map(|(until, _)| until);
            due.filter(|until| Instant::now() < *until)
        });
        if pause.is_some() {
            return Err(StoreError::Unreachable(format!("{}: no connection", self.options.place())));
        }
        match self.runtime.block_on(Live::connect(&self.options)) {
            Ok(live) => {
                *self.live.borrow_mut() = Some(live);
                self.pause.set(None);
                Ok(())
            }
            Err(error) => {
                let pause = self.pause.get().map_or(FIRST_PAUSE, |(_, last)| (last * 2).min(LONGEST_PAUSE));
                self.pause.set(Some((Instant::now() + pause, pause)));
                tracing::warn!(%error, "the database cannot be used");
                Err(error)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            let closed = self.runtime.block_on(async { tokio::time::timeout(GRACE, live.close()).await });
            tracing::debug!(clean = closed.is_ok(), "a session of the database ended");
        }
    }
}
