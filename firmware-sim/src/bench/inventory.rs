//! Whether an enrollment takes longer where the inventory is large: two servers, one with many devices that never come
//! and one without, take turns, so that a machine that becomes slower meanwhile is as slow for both.

use core::time::Duration;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;

use super::load::{AFTERWARDS, Latency, drive};
use super::report::{Must, tell_musts};
use super::work::{Scene, Work};
use super::{BenchError, Member, Options, ServerProcess, Site, WARMING, folder};
use crate::progress::bar;

/// What a large inventory does to an enrollment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InventoryReport {
    /// Devices in the large inventory that never come.
    pub inventory: u32,
    /// Devices that enrolled at each of both servers.
    pub devices: usize,
    /// Devices that enrolled at the same time.
    pub at_once: usize,
    /// How long it took with nobody else in the inventory.
    pub empty: Latency,
    /// How long it took with all of them.
    pub full: Latency,
    /// Processor time of the server for one enrollment, in microseconds, without them.
    pub empty_cpu_us: f64,
    /// The same with them.
    pub full_cpu_us: f64,
    /// What must be.
    pub musts: Vec<Must>,
}

/// By how much the median may be larger.
const LIMIT: f64 = 1.1;
/// How often the two servers take turns.
const TURNS: usize = 20;

/// Enrolls the devices of `options` at each of two servers, one of them with `inventory` more in its inventory.
///
/// # Errors
/// Where a server, a device or the import fails.
pub async fn inventory(
    parent: &Path,
    inventory: u32,
    options: Options,
) -> Result<InventoryReport, BenchError> {
    let dir = folder(parent)?;
    let mut empty = Side::new(&dir.path().join("empty"), 0, options).await?;
    let mut full = Side::new(&dir.path().join("full"), inventory, options).await?;
    let moving = bar(u64::from(options.devices) * 2, "enroll");
    let before = (empty.server.cpu()?, full.server.cpu()?);
    while !empty.waiting.is_empty() {
        empty.turn(options, &moving).await?;
        full.turn(options, &moving).await?;
    }
    moving.finish_and_clear();
    tokio::time::sleep(AFTERWARDS).await;
    let devices = empty.took.len();
    let each = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(options.devices.max(1));
    let cpu = (empty.server.cpu()? - before.0, full.server.cpu()? - before.1);
    let (empty, full) = (empty.end().await?, full.end().await?);
    let must = Must {
        figure: "median latency with a large inventory by that without",
        found: full.p50_ms / empty.p50_ms.max(f64::MIN_POSITIVE),
        at_most: LIMIT,
    };
    Ok(InventoryReport {
        inventory,
        devices,
        at_once: options.at_once,
        empty,
        full,
        empty_cpu_us: each(cpu.0),
        full_cpu_us: each(cpu.1),
        musts: vec![must],
    })
}

/// One of the two servers.
struct Side {
    server: ServerProcess,
    scene: Arc<Scene>,
    waiting: Vec<Member>,
    took: Vec<Duration>,
}

impl Side {
    async fn new(dir: &Path, others: u32, options: Options) -> Result<Self, BenchError> {
        std::fs::create_dir(dir).map_err(BenchError::io(format!("cannot make {}", dir.display())))?;
        let site = Site::build(dir, options.store, 0).await?;
        let warming = site.members("WARM", WARMING)?;
        let waiting = site.members("BENCH", options.devices)?;
        site.register(&warming, 0, &mut |_, _| ()).await?;
        let importing = bar(1, "inventory");
        let mut told = |done, of| {
            importing.set_length(of);
            importing.set_position(done);
        };
        site.register(&waiting, others, &mut told).await?;
        importing.finish_and_clear();
        let server = ServerProcess::start(&site.config).await?;
        let scene = Scene::new(&server, &site);
        drive(&scene, Work::Enroll, warming, options.at_once, &ProgressBar::hidden()).await?;
        Ok(Self { server, scene, waiting, took: Vec::new() })
    }

    /// The next share of the devices.
    async fn turn(&mut self, options: Options, bar: &ProgressBar) -> Result<(), BenchError> {
        let share =
            usize::try_from(options.devices).unwrap_or(usize::MAX).div_ceil(TURNS).max(options.at_once);
        let left = self.waiting.len().saturating_sub(share);
        let mine = self.waiting.split_off(left);
        let (took, _) = drive(&self.scene, Work::Enroll, mine, options.at_once, bar).await?;
        self.took.extend(took);
        Ok(())
    }

    async fn end(mut self) -> Result<Latency, BenchError> {
        self.server.stop().await?;
        self.took.sort_unstable();
        Ok(Latency::of(&self.took))
    }
}

impl InventoryReport {
    /// Whether all is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.musts.iter().all(Must::holds)
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { inventory, devices, at_once, .. } = self;
        writeln!(out, "{devices} enrollments at each of two servers in turn, {at_once} at a time:")?;
        for (others, latency, cpu) in
            [(0, self.empty, self.empty_cpu_us), (*inventory, self.full, self.full_cpu_us)]
        {
            let Latency { p50_ms, p95_ms, p99_ms } = latency;
            writeln!(
                out,
                "  {others:>9} others in the inventory: p50 {p50_ms:.1} ms, p95 {p95_ms:.1} ms, p99 {p99_ms:.1} ms; \
                 processor {cpu:.1} us"
            )?;
        }
        tell_musts(&self.musts, out)
    }
}
