//! A connection to one of the two databases, and its transactions.

use core::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{PostgresOptions, SqliteOptions, Statement, postgres, sqlite};
use crate::store::StoreError;

/// What a connection or a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Intent {
    /// Looking, at one state of the database.
    Read,
    /// Changing it, alone.
    Write,
}

/// A connection. It belongs to one thread.
pub(in crate::store) enum Connection {
    /// To a SQLite file.
    Sqlite(rusqlite::Connection),
    /// To PostgreSQL.
    Postgres(postgres::Session),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres(_) => "Postgres",
        })
    }
}

impl Connection {
    /// Opens a SQLite file, whose tables have to be there already when it is for reading.
    pub(in crate::store) fn sqlite(options: &SqliteOptions, intent: Intent) -> Result<Self, StoreError> {
        let connection = sqlite::connect(options)?;
        match intent {
            Intent::Write => {
                crate::store::migrate::sqlite(&connection, options)?;
                sqlite::for_writing(&connection, options.cache_kib)?;
            }
            // Opens the file of the log too: whatever cannot be opened shows now, and no descriptor comes later.
            Intent::Read => connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?,
        }
        Ok(Self::Sqlite(connection))
    }

    /// Connects to PostgreSQL; with the intent to write, brings its tables up to date.
    pub(in crate::store) fn postgres(
        options: Arc<PostgresOptions>,
        intent: Intent,
    ) -> Result<Self, StoreError> {
        let session = postgres::Session::open(Arc::clone(&options))?;
        if intent == Intent::Write {
            crate::store::migrate::postgres(&session, &options)?;
        }
        Ok(Self::Postgres(session))
    }

    /// Prepares a statement, or takes one that was prepared before.
    pub(in crate::store) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>, StoreError> {
        #[cfg(test)]
        let sql = &*super::injected::in_place_of(self, sql)?;
        Ok(match self {
            Self::Sqlite(connection) => Statement::Sqlite(connection.prepare_cached(sql)?),
            Self::Postgres(session) => Statement::Postgres { session, sql: sql.to_owned() },
        })
    }

    /// Waits for what comes next in a queue, `None` when it was closed. A connection that ends meanwhile is noticed.
    pub(in crate::store) fn receive<T>(&self, queue: &mut mpsc::Receiver<T>) -> Option<T> {
        match self {
            Self::Sqlite(_) => queue.blocking_recv(),
            Self::Postgres(session) => session.wait(queue.recv()),
        }
    }

    /// Begins a transaction. One that writes is the only one that does, over all processes.
    pub(in crate::store) fn begin(&self, intent: Intent) -> Result<(), StoreError> {
        match (self, intent) {
            (Self::Sqlite(_), Intent::Read) => self.control("BEGIN"),
            (Self::Sqlite(_), Intent::Write) => self.control("BEGIN IMMEDIATE"),
            (Self::Postgres(session), intent) => {
                #[cfg(test)]
                super::injected::control(self, "BEGIN")?;
                session.begin(intent)
            }
        }
    }

    /// Begins a change inside of the transaction, that can be undone by itself.
    pub(in crate::store) fn begin_change(&self) -> Result<(), StoreError> {
        self.control("SAVEPOINT change")
    }

    /// Ends the change, whose statements have all been carried out.
    pub(in crate::store) fn end_change(&self) -> Result<(), StoreError> {
        self.control("RELEASE change")
    }

    /// Waits until all statements were carried out.
    pub(in crate::store) fn settle(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(session) => session.settle(),
        }
    }

    /// Undoes the change and ends it.
    pub(in crate::store) fn undo_change(&self) -> Result<(), StoreError> {
        self.control("ROLLBACK TO change")?;
        self.control("RELEASE change")?;
        self.settle()
    }

    /// Makes all changes of the transaction durable, or says that it is not known whether they are.
    pub(in crate::store) fn commit(&self) -> Result<(), StoreError> {
        self.control("COMMIT")?;
        self.settle()
    }

    /// Ends a transaction that read.
    pub(in crate::store) fn end_read(&self) -> Result<(), StoreError> {
        self.control("COMMIT")
    }

    /// Ends the transaction, if there is one, without its changes.
    pub(in crate::store) fn roll_back(&self) {
        if self.is_idle() {
            return;
        }
        let ended = self.control("ROLLBACK").and_then(|()| self.settle());
        tracing::debug!(ok = ended.is_ok(), "a transaction was rolled back");
    }

    /// Whether there is no transaction: none was begun, or it is gone with all its changes.
    pub(in crate::store) fn is_idle(&self) -> bool {
        match self {
            Self::Sqlite(connection) => connection.is_autocommit(),
            Self::Postgres(session) => session.is_idle(),
        }
    }

    fn control(&self, sql: &'static str) -> Result<(), StoreError> {
        #[cfg(test)]
        super::injected::control(self, sql)?;
        match self {
            Self::Sqlite(connection) => connection.prepare_cached(sql)?.execute([]).map(drop)?,
            Self::Postgres(session) => session.control(sql)?,
        }
        #[cfg(test)]
        super::injected::carried_out(self, sql)?;
        Ok(())
    }
}

#[cfg(test)]
impl Connection {
    /// Runs one statement with values.
    pub(in crate::store) fn execute(
        &self,
        sql: &str,
        values: &[&dyn super::Bind],
    ) -> Result<usize, StoreError> {
        self.prepare_cached(sql)?.execute(values)
    }

    /// Runs any statements.
    pub(in crate::store) fn execute_batch(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Self::Postgres(session) => session.batch(sql),
        }
    }

    /// SQLite's own connection.
    pub(in crate::store) fn raw(&self) -> &rusqlite::Connection {
        match self {
            Self::Sqlite(connection) => connection,
            Self::Postgres(_) => panic!("this test is about SQLite"),
        }
    }
}
