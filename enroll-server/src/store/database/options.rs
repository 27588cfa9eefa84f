//! How a database is opened.

use core::time::Duration;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use crate::outgoing::Anchors;
use crate::store::{Partitioning, RecordLimits};

/// Memory of the page cache where much is written at once: an import puts hashes, which come in no order, into an index,
/// and touches most of its pages again and again.
const IMPORT_CACHE_KIB: u32 = 64 * 1024;
/// Where requests are served: what one of them touches is less, and SQLite goes through the whole cache at a commit that
/// balanced a tree (3.51 does it under the page number of the lock byte).
pub(crate) const SERVING_CACHE_KIB: u32 = 4 * 1024;
/// Longer than any step over a large table; whoever still holds the database then hangs.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How a SQLite database is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file.
    pub path: PathBuf,
    /// Largest size in MiB.
    pub max_mib: Option<u32>,
    /// Memory of the writer's page cache, in KiB.
    pub cache_kib: u32,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// How long to wait for another process that brings an old database up to date.
    pub migration_timeout: Duration,
    /// What is kept of appraisals.
    pub records: RecordLimits,
    /// How new certificates are put on revocation lists of their own; `None` where all name the complete one.
    pub partitioning: Option<Partitioning>,
    /// Plants `synchronous=NORMAL`.
    #[cfg(any(test, feature = "plants"))]
    pub commits_without_sync: bool,
}

impl SqliteOptions {
    /// The database at `path`, without a cap on its size.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            max_mib: None,
            cache_kib: IMPORT_CACHE_KIB,
            busy_timeout: Duration::from_secs(2),
            migration_timeout: MIGRATION_TIMEOUT,
            records: RecordLimits::default(),
            partitioning: None,
            #[cfg(any(test, feature = "plants"))]
            commits_without_sync: false,
        }
    }
}

/// Why an address of a PostgreSQL database cannot be used. The address itself may hold a password, and is not shown.
#[derive(Debug, thiserror::Error)]
pub enum PostgresUrlError {
    /// It is none.
    #[error("expected an address such as postgres://enroll@db.example/enroll?sslmode=require")]
    Form(#[source] tokio_postgres::Error),
    /// It does not say where.
    #[error("the address names no host, no user or no database")]
    Incomplete,
    /// Over a network, without TLS.
    #[error(
        "sslmode=disable is for this machine only (a socket, localhost, 127.0.0.0/8, [::1]); elsewhere TLS is used"
    )]
    Plain,
}

/// How a PostgreSQL database is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) server: Config,
    /// Whose certificates the server may have.
    pub anchors: Anchors,
    /// How long one server has to accept a connection.
    pub connect_timeout: Duration,
    /// How long a statement may take, on the server.
    pub statement_timeout: Duration,
    /// How long another replica may hold what a change waits for.
    pub lock_timeout: Duration,
    /// How long to wait for another replica that brings the tables up to date.
    pub migration_timeout: Duration,
    /// Connections that read; one more writes.
    pub readers: u16,
    /// A planted bug: changes do not keep out of each other's way.
    #[cfg(test)]
    pub(crate) without_lock: bool,
    /// What is kept of appraisals.
    pub records: RecordLimits,
    /// How new certificates are put on revocation lists of their own; `None` where all name the complete one.
    pub partitioning: Option<Partitioning>,
}

impl PostgresOptions {
    /// The database at `url`, which is as libpq reads it: `postgres://USER[:PASSWORD]@HOST[:PORT],.../DATABASE`, or
    /// `host=... dbname=...`. Where it says nothing of TLS, a network host is spoken to by TLS only.
    ///
    /// # Errors
    /// Says what it lacks.
    pub fn new(url: &str) -> Result<Self, PostgresUrlError> {
        let mut server: Config = url.parse().map_err(PostgresUrlError::Form)?;
        if server.get_hosts().is_empty() || server.get_user().is_none() || server.get_dbname().is_none() {
            return Err(PostgresUrlError::Incomplete);
        }
        let on_sockets = server.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        match server.get_ssl_mode() {
            SslMode::Disable if server.get_hosts().iter().all(is_here) => {}
            SslMode::Disable => return Err(PostgresUrlError::Plain),
            // There is no other machine on the way.
            _ if on_sockets => {
                server.ssl_mode(SslMode::Disable);
            }
            _ => {
                server.ssl_mode(SslMode::Require);
            }
        }
        // Of several hosts, the one that takes changes: after a failover it is another one.
        server.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if server.get_application_name().is_none() {
            server.application_name("enroll-server");
        }
        Ok(Self {
            server,
            anchors: Anchors::System,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            migration_timeout: MIGRATION_TIMEOUT,
            readers: 4,
            #[cfg(test)]
            without_lock: false,
            records: RecordLimits::default(),
            partitioning: None,
        })
    }

    /// Sets the password, where the address holds none.
    pub fn set_password(&mut self, password: &Zeroizing<String>) {
        self.server.password(password.as_bytes());
    }

    /// Whether a password is known.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.server.get_password().is_some()
    }

    /// Where the database is, without secrets: for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let hosts = self.server.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        format!("database {} on {}", self.server.get_dbname().unwrap_or_default(), hosts.join(", "))
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

impl core::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PostgresOptions").field("place", &self.place()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::{PostgresOptions, PostgresUrlError};

    #[test]
    fn a_network_is_crossed_by_tls_only() {
        for (url, mode) in [
            ("postgres://u@db.example/d", SslMode::Require),
            ("postgres://u@db.example/d?sslmode=prefer", SslMode::Require),
            ("postgres://u@127.0.0.1/d", SslMode::Require),
            ("postgres://u@127.0.0.1/d?sslmode=disable", SslMode::Disable),
            ("host=/run/postgresql user=u dbname=d", SslMode::Disable),
        ] {
            assert_eq!(PostgresOptions::new(url).unwrap().server.get_ssl_mode(), mode, "{url}");
        }
        for url in
            ["postgres://u@db.example/d?sslmode=disable", "postgres://u@127.0.0.1,10.0.0.1/d?sslmode=disable"]
        {
            assert!(matches!(PostgresOptions::new(url), Err(PostgresUrlError::Plain)), "{url}");
        }
        for url in ["postgres://", "postgres://u@h", "host=h dbname=d"] {
            assert!(matches!(PostgresOptions::new(url), Err(PostgresUrlError::Incomplete)), "{url}");
        }
    }

    #[test]
    fn no_message_shows_a_password() {
        let options = PostgresOptions::new("postgres://u:hunter2@db.example/d").unwrap();
        assert!(options.has_password());
        assert!(!format!("{options:?} {}", options.place()).contains("hunter2"));
        let broken = PostgresOptions::new("postgres://u:hunter2@db.example/d?nonsense=hunter2").unwrap_err();
        let text = format!("{broken} {broken:?}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
