//! One statement, prepared, to be run with values.

use rusqlite::CachedStatement;

use super::postgres::Session;
use super::{Bind, Row, sqlite};
use crate::store::StoreError;

/// A prepared statement. A query gives all that it finds at once: what is read is bounded by the query.
pub(in crate::store) enum Statement<'c> {
    /// Of SQLite.
    Sqlite(CachedStatement<'c>),
    /// Of PostgreSQL, which prepares it when it is first run, as only then the types of its parameters are known.
    Postgres {
        /// Where it runs.
        session: &'c Session,
        /// Its text, with `?` for parameters.
        sql: String,
    },
}

impl Statement<'_> {
    /// Runs it; gives how many rows it changed.
    pub(in crate::store) fn execute(&mut self, values: &[&dyn Bind]) -> Result<usize, StoreError> {
        #[cfg(test)]
        super::injected::carries_out(self);
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(sqlite::bound(values))?),
            Self::Postgres { session, sql } => session.execute(sql, values),
        }
    }

    /// Runs it, whatever number of rows it changes. That it failed may only show at the next statement, or at the end of
    /// the change: PostgreSQL is not waited for.
    pub(in crate::store) fn run(&mut self, values: &[&dyn Bind]) -> Result<(), StoreError> {
        #[cfg(test)]
        super::injected::carries_out(self);
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(sqlite::bound(values)).map(drop)?),
            Self::Postgres { session, sql } => session.send(sql, values),
        }
    }

    /// The rows it finds, each read by `read`.
    pub(in crate::store) fn query_map<T>(
        &mut self,
        values: &[&dyn Bind],
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        #[cfg(test)]
        super::injected::carries_out(self);
        match self {
            Self::Sqlite(statement) => {
                let mut rows = statement.query(sqlite::bound(values))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(read(&Row::Sqlite(row))?);
                }
                Ok(found)
            }
            Self::Postgres { session, sql } => {
                session.query(sql, values)?.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// The first row it finds, if it finds one.
    pub(in crate::store) fn find<T>(
        &mut self,
        values: &[&dyn Bind],
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        #[cfg(test)]
        super::injected::carries_out(self);
        match self {
            Self::Sqlite(statement) => {
                let mut rows = statement.query(sqlite::bound(values))?;
                rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres { session, sql } => {
                let rows = session.query(sql, values)?;
                rows.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }

    /// The first row of a query that always finds one.
    pub(in crate::store) fn query_row<T>(
        &mut self,
        values: &[&dyn Bind],
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.find(values, read)?.ok_or(StoreError::Damaged { field: "row" })
    }

    /// Whether it finds a row.
    pub(in crate::store) fn exists(&mut self, values: &[&dyn Bind]) -> Result<bool, StoreError> {
        Ok(self.find(values, |_| Ok(()))?.is_some())
    }
}
