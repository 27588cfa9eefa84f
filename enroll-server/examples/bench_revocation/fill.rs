//! A database with many certificates, put in by SQL: enrolling a million devices takes longer than anyone waits.

use aws_lc_rs::digest::{SHA256, digest};
use ca::Serial;
use enroll_server::config::Config;
use enroll_server::store::{SqlStore, SqliteOptions};
use rusqlite::{Connection, params};
use shared::UnixTime;

use super::{ADDRESS, Outcome, PARTITION};

/// Days that a certificate lives.
const LIFE: u64 = 90 * 86_400;
/// Bytes of a certificate and of its evidence, as they are with a recorded exchange.
const CERTIFICATE: i64 = 640;

/// The device of a row.
pub(crate) fn name(row: u64) -> String {
    format!("SN-{row:09}")
}

/// The serial number of a row: in the order of the rows, so that the table is filled from front to back, and spread
/// over all that there are, as random ones are.
pub(crate) fn serial(row: u64, rows: u64) -> Serial {
    let span = (u64::MAX - (1 << 56)) / rows;
    let high = (1 << 56) + row * span;
    let low = digest(&SHA256, &row.to_be_bytes());
    let mut bytes = [0; 16];
    let parts = high.to_be_bytes().into_iter().chain(low.as_ref().iter().copied());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    Serial::from_bytes(bytes).unwrap_or_else(|| unreachable!("the first byte is never zero"))
}

/// Fills the database; gives how many rows there are to a revoked one.
pub(crate) fn fill(config: &Config, rows: u64, revoked: u64, now: UnixTime) -> Outcome<u64> {
    // Brings the tables up to date.
    SqlStore::sqlite(&SqliteOptions::new(&config.files.store))?.close_blocking();
    let every = rows / revoked;
    let mut raw = Connection::open(&config.files.store)?;
    raw.pragma_update(None, "journal_mode", "off")?;
    raw.pragma_update(None, "synchronous", "off")?;
    raw.pragma_update(None, "cache_size", -256 * 1024)?;
    let transaction = raw.transaction()?;
    let (begin, end) = (i64::try_from(now.as_secs())?, i64::try_from(now.as_secs() + LIFE)?);
    {
        let mut device = transaction.prepare(
            "INSERT INTO devices (device, model, state, changed, added, device_group) \
             VALUES (?1, 'sensor-a', 'enrolled', ?2, ?2, 'default')",
        )?;
        let mut certificate = transaction.prepare(
            "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
             recorded, der, revoked, reason, issuer, crl_partition) \
             VALUES (?1, ?2, ?3, zeroblob(65), ?4, ?4, ?5, ?6, ?5, zeroblob(?7), ?8, ?9, 1, ?10)",
        )?;
        let mut partition = transaction.prepare(
            "INSERT INTO crl_partitions (issuer, number, url, certificates, ends) VALUES (1, ?1, ?2, ?3, ?4)",
        )?;
        for row in 0..rows {
            let number = row / u64::from(PARTITION) + 1;
            let is_revoked = row % every == 0 && row / every < revoked;
            device.execute(params![name(row), begin])?;
            certificate.execute(params![
                serial(row, rows).as_bytes(),
                name(row),
                if is_revoked { "revoked" } else { "issued" },
                digest(&SHA256, &row.to_be_bytes()).as_ref(),
                begin,
                end,
                CERTIFICATE,
                is_revoked.then_some(begin),
                is_revoked.then_some("key-compromise"),
                i64::try_from(number)?
            ])?;
        }
        for number in 1..=rows.div_ceil(PARTITION.into()) {
            let url = ADDRESS.replace("{issuer}", "1").replace("{partition}", &number.to_string());
            partition.execute(params![i64::try_from(number)?, url, PARTITION, end])?;
        }
    }
    transaction.commit()?;
    drop(raw);
    Ok(every)
}
