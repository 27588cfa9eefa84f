//! How long a start takes, and a scrape of the metrics, by the number of devices.
//!
//!     cargo run --release -p enroll-server --example bench_start -- [DEVICES ...]
//!
//! For each number of DEVICES (0, 100,000 and a million by default): fills a database, each device with a certificate
//! that is in the log; starts a server on it five times, and reads its metrics; then revokes one certificate in twenty,
//! and does the same again. A start ends when the server answers: the complete revocation list is out then. Fails where
//! a start without revoked certificates takes more than 100 ms.

#![expect(clippy::print_stdout, reason = "it prints its findings")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../bench_revocation/fill.rs"]
mod fill;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::config::Config;
use enroll_server::startup::Server;
use enroll_server::store::{LogStore as _, SqlStore, SqliteOptions};
use fill::{Outcome, show, spread};

/// What the project promises with a million devices.
const LIMIT: Duration = Duration::from_millis(100);
const STARTS: u32 = 5;
const SCRAPES: u32 = 50;
/// One of so many certificates is revoked in the second half.
const REVOKED: u64 = 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let asked: Vec<u64> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let sizes = if asked.is_empty() { vec![0, 100_000, 1_000_000] } else { asked };
    let mut late = Vec::new();
    for devices in sizes {
        // Beside the program: the system's folder for temporary files may be in memory, where nothing is synced.
        let program = std::env::current_exe()?;
        let folder = tempfile::tempdir_in(program.parent().unwrap_or_else(|| Path::new(".")))?;
        let mut config = fill::set_up(&folder.path().join("server"))?;
        config.listen.http = Some(([127, 0, 0, 1], 0).into());
        let begun = Instant::now();
        fill::fill(&config, devices, true, SystemClock.now())?;
        let filled = begun.elapsed();
        let begun = Instant::now();
        log_all(&config).await?;
        let size = std::fs::metadata(&config.files.store)?.len() >> 20;
        println!(
            "{devices} devices: database of {size} MiB, filled in {}, logged in {}",
            show(filled),
            show(begun.elapsed())
        );
        let slowest = measure(&config, "nothing revoked").await?;
        if slowest > LIMIT {
            late.push(format!("{devices} devices: {} is more than {} allowed", show(slowest), show(LIMIT)));
        }
        if devices >= REVOKED {
            fill::revoke(&config, devices, devices / REVOKED, SystemClock.now())?;
            measure(&config, &format!("{} revoked", devices / REVOKED)).await?;
        }
    }
    if late.is_empty() { Ok(()) } else { Err(late.join("; ").into()) }
}

/// A server that runs until everything is in the log.
async fn log_all(config: &Config) -> Outcome<()> {
    let server = Box::pin(Server::start(config.clone(), Arc::new(SystemClock))).await?;
    let store = SqlStore::sqlite(&SqliteOptions::new(&config.files.store))?;
    loop {
        let head = store.log_head().await?;
        if head.size == head.leaves {
            break;
        }
        server.log_now();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::task::spawn_blocking(move || store.close_blocking()).await?;
    server.stop().await;
    Ok(())
}

/// Starts and scrapes; gives the half of the starts.
async fn measure(config: &Config, what: &str) -> Outcome<Duration> {
    let (mut starts, mut scrapes) = (vec![], vec![]);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let server = Box::pin(Server::start(config.clone(), Arc::new(SystemClock))).await?;
        starts.push(begun.elapsed());
        let address = server.bound().http.ok_or("there is no listener without TLS")?;
        for _ in 0..SCRAPES / STARTS {
            let begun = Instant::now();
            let page = tokio::task::spawn_blocking(move || scrape(address)).await??;
            scrapes.push(begun.elapsed());
            if !page.contains("enroll_devices_trust") {
                return Err("the metrics lack the devices".into());
            }
        }
        server.stop().await;
    }
    println!("  {what}: starts in {}; the metrics are read in {}", spread(&mut starts), spread(&mut scrapes));
    starts.get(starts.len() / 2).copied().ok_or_else(|| "nothing was measured".into())
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
