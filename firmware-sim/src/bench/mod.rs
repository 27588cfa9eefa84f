//! What a piece of work costs the enrollment server, and how much of that is cryptography nobody can leave out.
//!
//! The server runs in a process of its own, on a database beside this program, with durable commits and its log as in
//! production. Every device has its own keys, its own TLS 1.3 handshake and its own connection; keys and requests are
//! made before, evidence is signed when the nonce is known. Nothing is timed on the clock but latency and throughput:
//! what counts is processor time, which others on the machine disturb least.

mod error;
mod floor;
mod idle;
mod inventory;
mod load;
mod member;
mod process;
mod report;
mod site;
mod wire;
mod work;

use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressBar;

use crate::progress::bar;

pub use error::BenchError;
pub use floor::{Costs, Operations};
pub use idle::{IdleReport, idle};
pub use inventory::{InventoryReport, inventory};
pub use load::{AFTERWARDS, Latency, Load};
pub use member::Member;
pub use process::ServerProcess;
pub use report::{Figure, Must, Report};
pub use site::Site;
pub use work::Work;

use load::{drive, load};
use work::Scene;

/// Which pieces of work to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// First enrollments.
    Enroll,
    /// Renewals.
    Renew,
    /// Both operations of EST.
    Est,
    /// Questions to the OCSP responder.
    Ocsp,
    /// Connections with and without the ticket of an earlier one.
    Resume,
    /// All of these.
    All,
}

impl What {
    const fn holds(self, work: Work) -> bool {
        match self {
            Self::All => true,
            Self::Enroll => matches!(work, Work::Enroll),
            Self::Renew => matches!(work, Work::Renew),
            Self::Est => matches!(work, Work::EstEnroll | Work::EstReenroll),
            Self::Ocsp => matches!(work, Work::Ocsp),
            Self::Resume => matches!(work, Work::Connect | Work::Resume),
        }
    }
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Devices, each of which does a piece of work once.
    pub devices: u32,
    /// Devices that are at it at the same time.
    pub at_once: usize,
    /// Where the server's database is.
    pub store: StoreKind,
}

/// The stores that can be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// One SQLite file, with a flush to the disk before every answer
    #[default]
    Sqlite,
    /// A PostgreSQL of its own from Debian's packages, through a socket; its processor time is not the server's
    Postgres,
}

/// Devices that come before the figures, so that caches are filled and what is made once is made.
const WARMING: u32 = 16;

/// Measures `what` on a new server in a folder of its own under `parent`.
///
/// # Errors
/// Where the server, a device or the system's account of processes fails.
pub async fn run(parent: &Path, what: What, options: Options) -> Result<Report, BenchError> {
    let dir = folder(parent)?;
    let site = Site::build(dir.path(), options.store, 0).await?;
    let making = bar(u64::from(options.devices), "devices");
    let warming = site.members("WARM", WARMING)?;
    let native = made(&site, "BENCH", options.devices, &making)?;
    let by_est =
        if what.holds(Work::EstEnroll) { made(&site, "EST", options.devices, &making)? } else { Vec::new() };
    making.finish_and_clear();
    for members in [&warming, &native, &by_est] {
        site.register(members, 0, &mut |_, _| ()).await?;
    }

    let server = ServerProcess::start(&site.config).await?;
    let mut session = Session {
        scene: Scene::new(&server, &site),
        server,
        what,
        at_once: options.at_once,
        costs: Costs::measure()?,
        figures: Vec::new(),
    };
    let quiet = ProgressBar::hidden();
    let (_, warming) = drive(&session.scene, Work::Enroll, warming, options.at_once, &quiet).await?;
    if what.holds(Work::Ocsp) {
        drive(&session.scene, Work::Ocsp, warming, options.at_once, &quiet).await?;
    }
    let native = session.step(Work::Enroll, native).await?;
    let native = session.step(Work::Ocsp, native).await?;
    let native = session.step(Work::Connect, native).await?;
    let native = session.step(Work::Resume, native).await?;
    // Each renews the certificate that it has; those by EST come after half of them.
    let (natively, by_reenroll) = if what == What::All {
        let mut natively = native;
        let by_reenroll = natively.split_off(natively.len() / 2);
        (natively, by_reenroll)
    } else if what == What::Est {
        (Vec::new(), native)
    } else {
        (native, Vec::new())
    };
    session.step(Work::Renew, natively).await?;
    session.step(Work::EstEnroll, by_est).await?;
    session.step(Work::EstReenroll, by_reenroll).await?;
    let costs = session.costs;
    let figures = session.figures;
    session.server.stop().await?;
    Ok(Report::new(costs, figures))
}

/// A server under load.
struct Session {
    server: ServerProcess,
    scene: Arc<Scene>,
    what: What,
    at_once: usize,
    costs: Costs,
    figures: Vec<Figure>,
}

impl Session {
    /// Has all members do `work`, and keeps the figures where they are wanted. Enrollment is done always: the rest
    /// needs certificates.
    async fn step(&mut self, work: Work, members: Vec<Member>) -> Result<Vec<Member>, BenchError> {
        let wanted = self.what.holds(work);
        if members.is_empty() || !(wanted || work == Work::Enroll) {
            return Ok(members);
        }
        let moving = bar(members.len() as u64, work.name());
        let (load, members) = load(&self.server, &self.scene, work, members, self.at_once, &moving).await?;
        moving.finish_and_clear();
        if wanted {
            // The floor is taken on both sides of the load.
            let later = Costs::measure()?;
            self.costs = self.costs.between(&later);
            self.figures.push(Figure::new(work, &load, &self.costs, self.at_once));
            self.costs = later;
        }
        Ok(members)
    }
}

/// A folder for one run, beside this program: the system's folder for temporary files may be in memory, where nothing
/// is ever flushed to a disk.
fn folder(parent: &Path) -> Result<tempfile::TempDir, BenchError> {
    let made = tempfile::Builder::new().prefix(".bench-").tempdir_in(parent);
    made.map_err(BenchError::io(format!("no folder can be made in {}", parent.display())))
}

/// Makes devices, and shows how far it is.
fn made(site: &Site, prefix: &str, count: u32, bar: &ProgressBar) -> Result<Vec<Member>, BenchError> {
    bar.set_position(0);
    (0..count)
        .map(|number| {
            bar.inc(1);
            site.member(prefix, number)
        })
        .collect()
}
