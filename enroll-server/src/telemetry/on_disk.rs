//! What stands in files and has an end, or grows: certificates of servers, the database.
//!
//! They are read for each scrape, in a task that may block: others replace them, and what counts is what is there. Of this
//! server's own certificate what counts is what it shows, which a file that cannot be shown does not change.

use std::fs;
use std::path::{Path, PathBuf};

use shared::UnixTime;
use tokio::sync::watch;

use crate::config::Config;
use crate::tls_files::Seen;

/// Where to look.
#[derive(Clone, Debug)]
pub struct OnDisk {
    /// The chain that this server shows.
    shown: watch::Receiver<Vec<u8>>,
    certificates: Vec<(String, PathBuf)>,
    /// The SQLite database, where there is one, and the size it may have.
    store: Option<(PathBuf, Option<u64>)>,
}

/// What was found; a file that cannot be read is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Servers' certificates by name: begin and end.
    pub certificates: Vec<(String, UnixTime, UnixTime)>,
    /// Bytes of the database.
    pub store: Option<u64>,
    /// Bytes that it may have.
    pub store_most: Option<u64>,
}

/// What this server's own certificate is called, as in events.
const OWN: &str = "enroll-server";
/// What its client certificate at the brokers is called.
const MQTT: &str = "mqtt-client";

impl OnDisk {
    /// The files that the settings name, and the chain that is `shown`.
    #[must_use]
    pub fn of(config: &Config, shown: watch::Receiver<Vec<u8>>) -> Self {
        let mut certificates = Vec::new();
        certificates.extend(config.mqtt.as_ref().map(|mqtt| (MQTT.to_owned(), mqtt.certificate.clone())));
        let others = config.tls_files.iter();
        certificates.extend(others.map(|file| (file.name.clone(), file.files.certificate.clone())));
        let most = config.limits.store_mib.map(|mib| u64::from(mib) << 20);
        let store = config.postgres.is_none().then(|| (config.files.store.clone(), most));
        Self { shown, certificates, store }
    }

    /// Looks.
    #[must_use]
    pub fn look(&self) -> Found {
        let life = |name: &str, seen: Option<Seen>| {
            seen.map(|seen| (name.to_owned(), seen.not_before(), seen.not_after()))
        };
        let own = life(OWN, first(&self.shown.borrow()));
        let others = self.certificates.iter().filter_map(|(name, path)| life(name, leaf(path)));
        let size = |path: &Path| fs::metadata(path).ok().map(|file| file.len());
        let store = self.store.as_ref();
        let with_log = |path: &PathBuf| {
            let mut log = path.clone().into_os_string();
            log.push("-wal");
            size(path).map(|bytes| bytes.saturating_add(size(Path::new(&log)).unwrap_or(0)))
        };
        Found {
            certificates: own.into_iter().chain(others).collect(),
            store: store.and_then(|(path, _)| with_log(path)),
            store_most: store.and_then(|(_, most)| *most),
        }
    }
}

/// The first certificate of a file.
fn leaf(path: &Path) -> Option<Seen> {
    first(&fs::read(path).ok()?)
}

/// The first certificate of a chain in PEM.
fn first(pem: &[u8]) -> Option<Seen> {
    Seen::read(ca::pem::read_certificates(pem).ok()?.first()?)
}
