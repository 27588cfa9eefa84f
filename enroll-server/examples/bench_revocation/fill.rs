//! A server's folder and a database with many certificates, put in by SQL: enrolling a million devices takes longer than
//! anyone waits.

use core::error::Error;
use core::time::Duration;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use ca::Serial;
use enroll_server::clock::SystemClock;
use enroll_server::config::Config;
use enroll_server::startup::{InitOptions, default_hosts, init};
use enroll_server::store::{SqlStore, SqliteOptions};
use rusqlite::{Connection, params};
use shared::UnixTime;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the lists are said to be.
pub(crate) const ADDRESS: &str = "http://ca.example/crl/{issuer}/{partition}.crl";
/// Certificates that name one list.
pub(crate) const PARTITION: u32 = 10_000;

/// Seconds since 1970 in the first serial number.
const BEGIN: u64 = 1_800_000_000;
/// Seconds that a certificate lives.
const LIFE: u64 = 90 * 86_400;
/// Bytes of a certificate and of its evidence, as they are with a recorded exchange.
const CERTIFICATE: i64 = 640;

/// The device of a row.
pub(crate) fn name(row: u64) -> String {
    format!("SN-{row:09}")
}

/// The serial number of a row, as the server draws them: it begins with the time, of a certificate's life for all rows. The
/// row's number takes the place of 32 of the random bits, so that the table is filled from front to back.
pub(crate) fn serial(row: u64, rows: u64) -> Serial {
    let time = BEGIN + row * LIFE / rows;
    let low = digest(&SHA256, &row.to_be_bytes());
    let mut bytes = [0; 16];
    let last_four = |number: u64| number.to_be_bytes().into_iter().skip(4);
    let parts = last_four(time).chain(last_four(row)).chain(low.as_ref().iter().copied());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    Serial::from_bytes(bytes).unwrap_or_else(|| unreachable!("the first byte is never zero"))
}

/// A new server in a folder, with lists by distribution point.
pub(crate) fn set_up(directory: &Path) -> Outcome<Config> {
    let options = InitOptions {
        directory: directory.to_owned(),
        tenant: "Bench".into(),
        hosts: default_hosts(),
        broker_host: "localhost".into(),
        broker_port: 8883,
        pen: 32473,
    };
    let mut config = Config::load(&init(&options, &SystemClock)?.config)?;
    config.listen.https = ([127, 0, 0, 1], 0).into();
    config.listen.http = None;
    config.certificates.crl_url = Some(ADDRESS.into());
    config.crl.partition_size = PARTITION;
    Ok(config)
}

/// Fills the database with devices, each with a certificate. With `leaves` each has a place in the log, too, and waits
/// for it.
pub(crate) fn fill(config: &Config, rows: u64, leaves: bool, now: UnixTime) -> Outcome<()> {
    // Brings the tables up to date.
    SqlStore::sqlite(&SqliteOptions::new(&config.files.store))?.close_blocking();
    let mut raw = open(config)?;
    let transaction = raw.transaction()?;
    let (begin, end) = (i64::try_from(now.as_secs())?, i64::try_from(now.as_secs() + LIFE)?);
    {
        let mut device = transaction.prepare(
            "INSERT INTO devices (device, model, state, changed, added, device_group) \
             VALUES (?1, 'sensor-a', 'enrolled', ?2, ?2, 'default')",
        )?;
        let mut certificate = transaction.prepare(
            "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
             recorded, der, issuer, crl_partition) \
             VALUES (?1, ?2, 'issued', zeroblob(65), ?3, ?3, ?4, ?5, ?4, zeroblob(?6), 1, ?7)",
        )?;
        let mut leaf = transaction.prepare(
            "INSERT INTO log_leaves (position, kind, serial, leaf) \
             SELECT coalesce(max(position) + 1, 0), 'issued', ?1, zeroblob(?2) FROM log_leaves",
        )?;
        let mut partition = transaction.prepare(
            "INSERT INTO crl_partitions (issuer, number, url, certificates, ends) VALUES (1, ?1, ?2, ?3, ?4)",
        )?;
        for row in 0..rows {
            let number = row / u64::from(PARTITION) + 1;
            let serial = serial(row, rows);
            device.execute(params![name(row), begin])?;
            certificate.execute(params![
                serial.as_bytes(),
                name(row),
                digest(&SHA256, &row.to_be_bytes()).as_ref(),
                begin,
                end,
                CERTIFICATE,
                i64::try_from(number)?
            ])?;
            if leaves {
                leaf.execute(params![serial.as_bytes(), CERTIFICATE])?;
            }
        }
        for number in 1..=rows.div_ceil(PARTITION.into()) {
            let url = ADDRESS.replace("{issuer}", "1").replace("{partition}", &number.to_string());
            partition.execute(params![i64::try_from(number)?, url, PARTITION, end])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Revokes so many of the certificates, spread over all; gives how many rows there are to a revoked one.
pub(crate) fn revoke(config: &Config, rows: u64, revoked: u64, now: UnixTime) -> Outcome<u64> {
    let every = rows / revoked;
    let mut raw = open(config)?;
    let transaction = raw.transaction()?;
    let at = i64::try_from(now.as_secs())?;
    {
        let mut change = transaction.prepare(
            "UPDATE certificates SET state = 'revoked', revoked = ?2, reason = 'key-compromise' WHERE serial = ?1",
        )?;
        for row in (0..revoked).map(|number| number * every) {
            change.execute(params![serial(row, rows).as_bytes(), at])?;
        }
    }
    transaction.commit()?;
    Ok(every)
}

/// Without safety, since the file is thrown away.
fn open(config: &Config) -> Outcome<Connection> {
    let raw = Connection::open(&config.files.store)?;
    raw.pragma_update(None, "journal_mode", "off")?;
    raw.pragma_update(None, "synchronous", "off")?;
    // Not more: what is freed stays with the process for a while, and is not to be taken for memory of the lists.
    raw.pragma_update(None, "cache_size", -16 * 1024)?;
    Ok(raw)
}

/// The half of them, and nearly all of them.
pub(crate) fn spread(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |share: usize| took.get((took.len() * share / 100).min(took.len().saturating_sub(1))).copied();
    let [half, most] = [50, 99].map(|share| show(at(share).unwrap_or_default()));
    format!("p50 {half}, p99 {most}")
}

pub(crate) fn show(took: Duration) -> String {
    match took {
        short if short < Duration::from_millis(1) => format!("{} µs", short.as_micros()),
        short if short < Duration::from_secs(1) => format!("{:.1} ms", short.as_secs_f64() * 1e3),
        long => format!("{:.1} s", long.as_secs_f64()),
    }
}
