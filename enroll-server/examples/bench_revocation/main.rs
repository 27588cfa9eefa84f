//! What a revocation and an OCSP answer cost when there are many certificates.
//!
//!     cargo run --release -p enroll-server --example bench_revocation -- [CERTIFICATES] [REVOKED]
//!
//! Fills a database with CERTIFICATES rows (a million by default) of which REVOKED (50,000) are revoked, on lists of
//! 10,000 certificates each, and measures: the first lists after a start, one more revocation (from the operator's call
//! to the new lists) against reading and building all anew, and OCSP answers without HTTP. Fails where one more
//! revocation takes more than a second to be on a list.

#![expect(clippy::print_stdout, reason = "it prints its findings")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

mod fill;
mod questions;

use core::time::Duration;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use ca::crl::{Reason, Scope};
use ca::{CaCertificate, CrlAddress, FileKey, Issuer};
use enroll_server::admin::Admin;
use enroll_server::authorities::{Authorities, InOffice};
use enroll_server::clock::{Clock, SystemClock};
use enroll_server::config::Config;
use enroll_server::ocsp::Ocsp;
use enroll_server::revocation::Publisher;
use enroll_server::startup::Server;
use enroll_server::store::{Partitioning, SqlStore, SqliteOptions, Store};
use fill::{ADDRESS, Outcome, PARTITION, set_up, show, spread};
use shared::DeviceId;

/// Revocations that are measured.
const MORE: u64 = 50;
/// What the project promises, from the call to the list.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(1_000_000), |rows| rows.parse())?;
    let revoked: u64 = arguments.next().map_or(Ok(50_000), |rows| rows.parse())?;
    if revoked == 0 || revoked > rows / 2 || rows < 1_000 {
        return Err("at least 1000 certificates, of which 1 to half are revoked".into());
    }
    // Beside the program: the system's folder for temporary files may be in memory, where nothing is synced.
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(program.parent().unwrap_or_else(|| Path::new(".")))?;
    let config = set_up(&folder.path().join("server"))?;
    let begun = Instant::now();
    fill::fill(&config, rows, false, SystemClock.now())?;
    let every = fill::revoke(&config, rows, revoked, SystemClock.now())?;
    let size = std::fs::metadata(&config.files.store)?.len() >> 20;
    println!(
        "database: {rows} certificates, {revoked} revoked, {size} MiB, filled in {}",
        show(begun.elapsed())
    );

    let site = Site::open(&config).await?;
    let before = resident_kib()?;
    let mut publisher = site.publisher(&config);
    start(&mut publisher).await?;
    println!(
        "memory: {} MiB for the lists, {} MiB in all",
        (resident_kib()? - before) >> 10,
        resident_kib()? >> 10
    );
    let slowest = revoke_more(&site, &mut publisher, every).await?;
    parts(&site, &mut publisher, &config)?;
    anew(&site).await?;
    answers(&site, rows, every).await?;
    println!("memory: {} MiB in all", resident_kib()? >> 10);
    site.store.close().await?;
    drop((site, publisher));

    let begun = Instant::now();
    let server = Server::start(config, Arc::new(SystemClock)).await?;
    println!("a whole server starts in {}, its complete list included", show(begun.elapsed()));
    server.stop().await;
    if slowest > LIMIT {
        return Err(format!("{} is more than {} allowed", show(slowest), show(LIMIT)).into());
    }
    Ok(())
}

/// The parts of a server that are measured.
struct Site {
    store: Arc<dyn Store>,
    issuer: CaCertificate,
    in_office: Arc<InOffice>,
    clock: Arc<dyn Clock>,
    admin: Admin,
}

impl Site {
    async fn open(config: &Config) -> Outcome<Self> {
        let mut options = SqliteOptions::new(&config.files.store);
        options.partitioning = Some(Partitioning { address: CrlAddress::parse(ADDRESS)?, size: PARTITION });
        let begun = Instant::now();
        let store: Arc<dyn Store> = Arc::new(SqlStore::sqlite(&options)?);
        println!("the database opens in {}", show(begun.elapsed()));
        let pem = std::fs::read(&config.files.issuing_certificate)?;
        let der = ca::pem::read_certificates(&pem)?.into_iter().next().ok_or("no certificate")?;
        let issuer = CaCertificate::from_der(&der)?;
        let key = FileKey::load(&config.files.issuing_key)?;
        let signer = Issuer::new(issuer.clone(), Box::new(key))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authorities = Authorities::open(store.as_ref(), Arc::new(signer), vec![], clock.now()).await?;
        let admin = Admin::new(Arc::clone(&store), Arc::clone(&clock));
        Ok(Self { store, issuer, in_office: Arc::new(InOffice::new(authorities)), clock, admin })
    }

    fn publisher(&self, config: &Config) -> Publisher {
        let (store, in_office) = (Arc::clone(&self.store), Arc::clone(&self.in_office));
        Publisher::new(store, in_office, Arc::clone(&self.clock), config.crl.clone())
    }
}

/// The first lists.
async fn start(publisher: &mut Publisher) -> Outcome<()> {
    let begun = Instant::now();
    publisher.publish_if_due().await?;
    let out = Arc::clone(&publisher.subscribe().borrow());
    let first = begun.elapsed();
    println!("start: the complete list, {} entries, {} bytes, in {}", out.len(), out.der.len(), show(first));
    while publisher.publish_if_due().await? {}
    let out = Arc::clone(&publisher.subscribe().borrow());
    let partitions: Vec<usize> = (1..).map_while(|n| Some(out.list(1, n)?.der.len())).collect();
    let longest = partitions.iter().max().copied().unwrap_or_default();
    let count = partitions.len();
    println!(
        "start: {count} lists by distribution point, {longest} bytes at most, all out after {}",
        show(begun.elapsed())
    );
    if out.missing > 0 || count == 0 {
        return Err(format!("{} lists are missing", out.missing).into());
    }
    Ok(())
}

/// One more revocation, again and again.
async fn revoke_more(site: &Site, publisher: &mut Publisher, every: u64) -> Outcome<Duration> {
    let (mut stored, mut partition, mut complete) = (vec![], vec![], vec![]);
    for number in 0..MORE {
        // Between those that are revoked already.
        let device = DeviceId::new(&fill::name(number * every + 1))?;
        let mut out = publisher.subscribe();
        let before = out.borrow_and_update().number;
        let begun = Instant::now();
        if site.admin.revoke(&device, Reason::KeyCompromise).await? != 1 {
            return Err("there was no certificate to revoke".into());
        }
        stored.push(begun.elapsed());
        let watch = tokio::spawn(async move {
            let mut short = None;
            while out.changed().await.is_ok() {
                let at = begun.elapsed();
                short = short.or(Some(at));
                if out.borrow_and_update().number > before {
                    return Some((short?, at));
                }
            }
            None
        });
        publisher.publish_if_due().await?;
        let (short, long) = watch.await?.ok_or("no list was made")?;
        partition.push(short);
        complete.push(long);
    }
    let out = Arc::clone(&publisher.subscribe().borrow());
    let bytes = out.list(1, 1).map_or(0, |list| list.der.len());
    println!(
        "one more revocation, from the operator's call ({MORE} times, without the wait of 0 to 100 ms until the server looks):"
    );
    println!("  committed in the database: {}", spread(&mut stored));
    println!("  on the list that the certificate names ({bytes} bytes): {}", spread(&mut partition));
    println!(
        "  on the complete list ({} bytes), in both files, synced: {}",
        out.der.len(),
        spread(&mut complete)
    );
    complete.last().copied().ok_or_else(|| "nothing was measured".into())
}

/// What of it cannot be less: the bytes of the complete list hashed and signed, and two files written.
fn parts(site: &Site, publisher: &mut Publisher, config: &Config) -> Outcome<()> {
    let out = Arc::clone(&publisher.subscribe().borrow());
    let list = out.list(1, 0).ok_or("there is no complete list")?;
    let now = site.clock.now();
    let issue = ca::crl::Issue { number: list.number + 1, this_update: now, next_update: now.after(LIMIT) };
    let authorities = site.in_office.now();
    let (mut sign, mut hash, mut pem, mut write) = (vec![], vec![], vec![], vec![]);
    for _ in 0..20 {
        let begun = Instant::now();
        let der = ca::crl::sign(authorities.issuer(), issue, Scope::Complete, &list.entries)?;
        sign.push(begun.elapsed());
        let begun = Instant::now();
        let hashed = digest(&SHA256, &der);
        hash.push(begun.elapsed());
        let begun = Instant::now();
        let text = ca::pem::crl(&der);
        pem.push(begun.elapsed());
        let begun = Instant::now();
        for content in [&der, text.as_bytes()] {
            let mut file = File::create(config.crl.der.with_extension("measured"))?;
            file.write_all(content)?;
            file.sync_all()?;
        }
        write.push(begun.elapsed());
        std::hint::black_box(hashed);
    }
    println!("  of the complete list: {} to write, sign and check it", spread(&mut sign));
    println!("    compared with hashing its bytes twice, to sign and to verify: {} each", spread(&mut hash));
    println!("  in PEM: {}", spread(&mut pem));
    println!("  two files of it written and synced, one after the other: {}", spread(&mut write));
    Ok(())
}

/// What it is compared with: everything read and written anew, by us and by the library that wrote lists before.
async fn anew(site: &Site) -> Outcome<()> {
    let now = site.clock.now();
    let authorities = site.in_office.now();
    let begun = Instant::now();
    let list = site.store.revoked(authorities.active(), now).await?;
    let read = begun.elapsed();
    let issue = ca::crl::Issue { number: 1, this_update: now, next_update: now.after(LIMIT) };
    let revoked = list.entries.iter().map(|entry| ca::crl::Revoked {
        serial: entry.serial,
        at: entry.revocation.at,
        reason: entry.revocation.reason,
    });
    let begun = Instant::now();
    let der = ca::crl::make(authorities.issuer(), issue, revoked)?;
    println!(
        "compared with all anew: {} to read {} entries, {} to write and sign {} bytes",
        show(read),
        list.entries.len(),
        show(begun.elapsed()),
        der.len()
    );
    Ok(())
}

/// OCSP answers.
async fn answers(site: &Site, rows: u64, every: u64) -> Outcome<()> {
    let valid = Duration::from_secs(600);
    let ocsp = Arc::new(Ocsp::new(
        Arc::clone(&site.store),
        Arc::clone(&site.in_office),
        Arc::clone(&site.clock),
        valid,
    ));
    const MANY: u64 = 10_000;
    let step = (rows / MANY).max(1);
    let spread_out = move |n: u64| (n * step) % rows;
    let hot = move |n: u64| (n % 500) * every;
    let issuer = &site.issuer;
    let question =
        |row: u64, nonce: Option<&[u8]>| questions::question(issuer, fill::serial(row, rows), nonce);
    // The first makes the responder.
    let begun = Instant::now();
    questions::ask(&ocsp, &[question(0, None)]).await?;
    println!(
        "OCSP (no HTTP, one core asks): the first answer, a responder made for it: {}",
        show(begun.elapsed())
    );
    let fresh: Vec<_> = (0..MANY).map(|n| question(spread_out(n), None)).collect();
    let kept: Vec<_> = (0..MANY).map(|n| question(hot(n), None)).collect();
    let nonces: Vec<_> =
        (0..MANY).map(|n| question(spread_out(n), Some(&n.to_be_bytes().repeat(4)))).collect();
    questions::ask(&ocsp, &kept).await?;
    for (what, list) in [
        ("no nonce, asked for the first time", &fresh),
        ("no nonce, kept answers", &kept),
        ("nonce of 32 bytes", &nonces),
    ] {
        let begun = Instant::now();
        let mut took = questions::ask(&ocsp, list).await?;
        let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
        println!("  {what}: {rate:.0} answers/s, {}", spread(&mut took));
    }
    let mut bare = Vec::new();
    for n in 0..MANY {
        let serial = fill::serial(spread_out(n), rows);
        let begun = Instant::now();
        let _status = site.store.statuses(vec![serial]).await?;
        bare.push(begun.elapsed());
    }
    println!("  compared with the question to the database alone: {}", spread(&mut bare));
    Ok(())
}

/// The memory that the process has now, in KiB (proc(5), `VmRSS`).
fn resident_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS in /proc/self/status")?;
    Ok(number.parse()?)
}
