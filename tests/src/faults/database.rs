//! The databases of a harness: SQLite in each server's folder, or a PostgreSQL server of the harness's own, with a database
//! for each folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

pub use firmware_sim::bench::StoreKind;
use postgres_server::{PASSWORD, PostgresServer, without_password};

use super::trace::Fault;

/// A PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The server.
    pub server: Arc<PostgresServer>,
    /// Lets operations on its files fail, where it was made so.
    pub(super) fault: Option<Arc<Fault>>,
}

/// A database of a [`Cluster`]. Gone when dropped.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) cluster: Cluster,
    pub(super) name: String,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Panics
    /// Where PostgreSQL is missing or does not start.
    #[must_use]
    pub fn start() -> Self {
        let server = PostgresServer::start().unwrap_or_else(|error| panic!("{error}"));
        Self { server: Arc::new(server), fault: None }
    }

    /// Starts one whose files can fail.
    pub(super) fn on_a_disk_that_fails() -> Self {
        let fault = Fault::new();
        let server = PostgresServer::start_under(|folder| fault.variables(&folder.join("data")));
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        Self { server: Arc::new(server), fault: Some(Arc::new(fault)) }
    }

    /// A new database.
    pub(super) fn database(&self) -> Database {
        self.named(&self.server.database().expect("a database"))
    }

    /// A database like `database`, to which nobody may be connected.
    pub(super) fn copy(&self, database: &Database) -> Database {
        self.named(&self.server.copy(&database.name).expect("a copy of a database"))
    }

    fn named(&self, address: &str) -> Database {
        let name = address.rsplit('=').next().expect("the name of a database").to_owned();
        Database { cluster: self.clone(), name }
    }
}

impl Database {
    /// The settings that name it, in TOML, by table and field. The password lies in a file beside the settings in
    /// `folder`.
    pub(super) fn settings(&self, folder: &Path) -> [(&'static str, &'static str, String); 2] {
        let path = folder.join(PASSWORD_FILE);
        fs::write(&path, PASSWORD).expect("to write the password");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("to keep the password");
        let address = without_password(&self.cluster.server.address(&self.name));
        let quoted = |text: &str| format!("\"{text}\"");
        [("store", "postgres", quoted(&address)), ("store", "password_file", quoted(PASSWORD_FILE))]
    }

    /// Runs SQL as the superuser.
    pub(super) fn sql(&self, sql: &str) -> String {
        let said = self.cluster.server.sql(&self.name, sql);
        said.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Where the test has killed the server, its folder goes anyway.
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        let _gone = self.cluster.server.sql("postgres", &drop).is_ok();
    }
}

const PASSWORD_FILE: &str = "store.password";
