//! What the queries of the store need of a database, and the two databases that have it: SQLite and PostgreSQL.
//!
//! There is one text for each query, in the SQL that both understand; [`dialect`] holds the few words in which they
//! differ. Values are whole numbers, texts and byte strings, with or without NULL: nothing else is in a column. All of
//! this blocks and belongs to one thread: the store's writer or one of its readers.

mod bind;
mod connection;
mod dialect;
mod fault;
#[cfg(test)]
pub(in crate::store) mod injected;
mod options;
mod postgres;
mod row;
mod sqlite;
mod statement;

pub(in crate::store) use bind::{Bind, Value, borrowed, params};
pub(in crate::store) use connection::{Connection, Intent};
pub(crate) use options::SERVING_CACHE_KIB;
pub use options::{PostgresOptions, PostgresUrlError, SqliteOptions};
pub(in crate::store) use postgres::{Session, WRITERS, storable};
pub(in crate::store) use row::{Cell, Row};
pub(in crate::store) use sqlite::cell as sqlite_cell;
pub(in crate::store) use statement::Statement;
