//! Databases for tests: a file, or a database on a PostgreSQL server that all tests of the program share.

use core::time::Duration;
use std::sync::{Mutex, PoisonError, Weak};
use std::sync::Arc;

use postgres_server::PostgresServer;

use super::SqlStore;
use crate::store::{PostgresOptions, SqliteOptions};

/// The server, for as long as a test uses it: it goes with the last of them.
static SERVER: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());

fn server() -> Arc<PostgresServer> {
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let started = Arc::new(PostgresServer::start().unwrap());
    *shared = Arc::downgrade(&started);
    started
}

/// A database that can be opened again and again.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres { server: Arc<PostgresServer>, url: String },
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn postgres() -> Self {
        let server = server();
        let url = server.database().unwrap();
        Self::Postgres { server, url }
    }

    pub(crate) fn open(&self) -> SqlStore {
        match self {
            Self::Sqlite(folder) => {
                let options = SqliteOptions::new(&folder.path().join("s.sqlite"));
                SqlStore::sqlite(&SqliteOptions { busy_timeout: Duration::from_millis(100), ..options }).unwrap()
            }
            Self::Postgres { url, .. } => SqlStore::postgres(&self.options(url)).unwrap(),
        }
    }

    pub(crate) fn options(&self, url: &str) -> PostgresOptions {
        let options = PostgresOptions::new(url).unwrap();
        PostgresOptions { lock_timeout: Duration::from_millis(300), readers: 2, ..options }
    }

    /// Runs SQL beside the store, as an operator could.
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(folder) => {
                let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
                raw.execute_batch(sql).unwrap();
                String::new()
            }
            Self::Postgres { server, url } => {
                let database = url.rsplit('=').next().unwrap();
                server.sql(database, sql).unwrap()
            }
        }
    }
}

/// Makes a test of each function for each database. A function takes a [`Place`].
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::store::Place::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::store::Place::postgres()).await;
            })+
        }
    };
}
pub(crate) use on_both;
