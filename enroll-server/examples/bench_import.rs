//! How fast an inventory is imported into SQLite, and in how much memory.
//!
//!     cargo run --release -p enroll-server --example bench_import -- [ROWS]
//!
//! Writes a file of ROWS rows (a million by default) with a device, a model, an identity and a group each, imports
//! it as `device import` does (the check of the whole file first, then chunks of 10,000 rows, each a durable
//! transaction), and compares that with what SQLite itself takes for the same rows into the same tables in one
//! transaction, with nothing checked. Fails where a million rows take more than 60 s.

#![expect(clippy::print_stdout, reason = "it prints its findings")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use core::error::Error;
use core::ops::ControlFlow;
use core::time::Duration;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use enroll_server::admin::Admin;
use enroll_server::clock::SystemClock;
use enroll_server::inventory::ImportOptions;
use enroll_server::store::{SqlStore, SqliteOptions};
use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the project promises for a million rows.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    // Beside the program: the system's folder for temporary files may be in memory, where nothing is synced.
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(program.parent().unwrap_or_else(|| Path::new(".")))?;
    let file = folder.path().join("inventory.csv");
    write(&file, rows)?;
    println!("file: {rows} rows, {} MiB", std::fs::metadata(&file)?.len() >> 20);
    let before = peak_kib()?;

    let database = folder.path().join("store.sqlite");
    let store = SqlStore::sqlite(&SqliteOptions::new(&database))?;
    let admin = Admin::new(Arc::new(store), Arc::new(SystemClock));
    let begun = Instant::now();
    let mut checked = None;
    let mut watch = |progress: enroll_server::inventory::Progress| {
        if progress.step == "importing" && checked.is_none() {
            checked = Some(begun.elapsed());
        }
        ControlFlow::Continue(())
    };
    let summary = admin.import_file(&file, &ImportOptions::default(), &mut watch).await?;
    let took = begun.elapsed();
    if summary.counts.added != rows {
        return Err(format!("{} of {rows} rows were added", summary.counts.added).into());
    }
    println!(
        "import: {} ({} until the first chunk was stored)",
        rate(rows, took),
        seconds(checked.unwrap_or(took))
    );
    println!("memory: {} MiB at most, {} MiB before the import", peak_kib()? >> 10, before >> 10);

    let begun = Instant::now();
    let again =
        admin.import_file(&file, &ImportOptions::default(), &mut |_| ControlFlow::Continue(())).await?;
    println!("again, nothing new: {}", rate(rows, begun.elapsed()));
    if again.counts.unchanged != rows {
        return Err(format!("{} of {rows} rows were unchanged", again.counts.unchanged).into());
    }
    admin.close().await?;

    let bare = bare(&database, &folder.path().join("bare.sqlite"), rows)?;
    println!("compared with SQLite alone, one transaction, nothing checked: {}", rate(rows, bare));
    println!("the import takes {:.1} times as long", took.as_secs_f64() / bare.as_secs_f64());
    let allowed = LIMIT.mul_f64((rows as f64 / 1_000_000.0).max(1.0));
    if took > allowed {
        return Err(format!("{} is more than {} allowed", seconds(took), seconds(allowed)).into());
    }
    Ok(())
}

fn write(path: &Path, rows: u64) -> Outcome<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "device,model,idevid_sha256,group")?;
    for number in 0..rows {
        writeln!(out, "SN-{number:09},sensor-a,{},lot-{}", identity(number), number % 8)?;
    }
    out.flush()?;
    Ok(())
}

fn identity(number: u64) -> String {
    hex::encode(digest(&SHA256, &number.to_be_bytes()))
}

/// The same rows, straight into an empty copy of the tables.
fn bare(from: &Path, to: &Path, rows: u64) -> Outcome<Duration> {
    let schema = Connection::open(from)?;
    let mut query =
        schema.prepare("SELECT sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL AND tbl_name = 'devices'")?;
    let statements: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut bare = Connection::open(to)?;
    bare.pragma_update(None, "journal_mode", "wal")?;
    bare.pragma_update(None, "synchronous", "full")?;
    bare.execute_batch(&statements.join(";\n"))?;
    let begun = Instant::now();
    let transaction = bare.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO devices (device, model, idevid_sha256, state, changed, added, device_group) \
             VALUES (?1, 'sensor-a', ?2, 'registered', 0, 0, ?3)",
        )?;
        for number in 0..rows {
            let hash = digest(&SHA256, &number.to_be_bytes());
            insert.execute(params![
                format!("SN-{number:09}"),
                hash.as_ref(),
                format!("lot-{}", number % 8)
            ])?;
        }
    }
    transaction.commit()?;
    Ok(begun.elapsed())
}

fn rate(rows: u64, took: Duration) -> String {
    format!("{}, {:.0} rows/s", seconds(took), rows as f64 / took.as_secs_f64())
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// The most memory the process has had, in KiB (proc(5), `VmHWM`).
fn peak_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM in /proc/self/status")?;
    Ok(number.parse()?)
}
