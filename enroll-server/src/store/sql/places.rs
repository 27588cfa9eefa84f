//! Databases for tests: a file, or a database on a PostgreSQL server that all tests of the program share.

use core::time::Duration;
use std::sync::LazyLock;

use postgres_server::PostgresServer;
use shared::DeviceId;

use super::SqlStore;
use crate::store::database::{Connection, params};
use crate::store::{InventoryEntry, PostgresOptions, SqliteOptions, StoreError};

/// The server of all tests; it is gone when the program is.
static SERVER: LazyLock<PostgresServer> = LazyLock::new(|| PostgresServer::start().unwrap());

/// A database that can be opened again and again.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres { url: String },
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres { url: SERVER.database().unwrap() }
    }

    pub(crate) fn open(&self) -> SqlStore {
        match self {
            Self::Sqlite(folder) => {
                let options = SqliteOptions::new(&folder.path().join("s.sqlite"));
                SqlStore::sqlite(&SqliteOptions { busy_timeout: Duration::from_millis(100), ..options })
                    .unwrap()
            }
            Self::Postgres { url } => SqlStore::postgres(&Self::options(url)).unwrap(),
        }
    }

    pub(crate) fn options(url: &str) -> PostgresOptions {
        let mut options = PostgresOptions::new(url).unwrap();
        // A test never fails because the machine is slow.
        (options.lock_timeout, options.readers) = (Duration::from_secs(30), 2);
        options
    }

    /// The steps in which SQLite carries a statement out.
    pub(crate) fn plan(&self, sql: &str) -> Vec<String> {
        self.explained(&format!("EXPLAIN QUERY PLAN {sql}"), "detail")
    }

    /// How many tables SQLite makes for itself to carry a statement out.
    pub(crate) fn tables_made(&self, sql: &str) -> usize {
        let opcodes = self.explained(&format!("EXPLAIN {sql}"), "opcode");
        opcodes.iter().filter(|opcode| *opcode == "OpenEphemeral").count()
    }

    /// A column of what SQLite says of a statement.
    fn explained(&self, sql: &str, column: &str) -> Vec<String> {
        let Self::Sqlite(folder) = self else { panic!("statements are explained on SQLite only") };
        self.open().close_blocking();
        let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
        let mut query = raw.prepare(sql).unwrap();
        let numbers = rusqlite::params_from_iter((0..query.parameter_count()).map(|_| 1));
        let rows = query.query_map(numbers, |row| row.get(column)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Runs SQL beside the store, as an operator could.
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(folder) => {
                let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
                raw.execute_batch(sql).unwrap();
                String::new()
            }
            Self::Postgres { url } => SERVER.sql(url.rsplit('=').next().unwrap(), sql).unwrap(),
        }
    }
}

/// A device of which no more is known than its name.
pub(crate) fn entry(number: usize) -> InventoryEntry {
    let device = DeviceId::new(&format!("SN-{number}")).unwrap();
    InventoryEntry { device, model: None, idevid_sha256: None, group: None, tags: Vec::new() }
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

/// A device in this state.
pub(super) fn add_device(c: &Connection, name: &str, state: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO devices (device, state, changed, added) VALUES (?1, ?2, 1, 1)";
    c.execute(sql, params![name, state]).map(drop)
}

/// A certificate of a device by the first CA, with serial number, key and nonce out of its number. It ends in 2096, and is there where
/// it is `issued`.
pub(super) fn add_certificate(
    c: &Connection,
    (name, number, state, parent): (&str, u8, &str, Option<u8>),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, parent, not_before, not_after, \
               recorded, der, issuer) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 1, 4000000000, 1, ?7, 1)";
    let (parent, der) = (parent.map(|parent| [parent; 16]), (state == "issued").then_some([0x30_u8]));
    c.execute(sql, params![[number; 16], name, state, [0_u8; 65], [number; 32], parent, der]).map(drop)
}
