//! What connections cost that are open and do nothing.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::report::{Must, tell_musts};
use super::wire::{Wire, client};
use super::work::{Scene, challenge};
use super::{BenchError, ServerProcess, Site, StoreKind, folder};
use crate::progress::bar;

/// What idle connections cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleReport {
    /// Connections that were open at once.
    pub connections: usize,
    /// The server's memory without any, in MiB.
    pub before_mib: f64,
    /// Its memory with all of them, in MiB.
    pub open_mib: f64,
    /// The most that it had, in MiB.
    pub peak_mib: f64,
    /// What is left of it for each, in bytes.
    pub each_bytes: f64,
    /// What must be.
    pub musts: Vec<Must>,
}

/// The most memory of a server with 10,000 connections that do nothing, in MiB.
const LIMIT_MIB: f64 = 400.0;
const LIMIT_CONNECTIONS: f64 = 10_000.0;
/// Handshakes under way at once.
const AT_ONCE: usize = 64;

/// Opens `connections`, each with its own TLS handshake and one challenge, keeps them open, and reads the server's
/// memory. Client and server are two processes, so that each needs a descriptor for a connection only once.
///
/// # Errors
/// Where the server or one of the connections fails.
pub async fn idle(parent: &Path, connections: usize) -> Result<IdleReport, BenchError> {
    let dir = folder(parent)?;
    let site = Site::build(dir.path(), StoreKind::Sqlite, connections).await?;
    let member = site.member("IDLE", 0)?;
    site.register(core::slice::from_ref(&member), 0, &mut |_, _| ()).await?;
    let server = ServerProcess::start(&site.config).await?;
    let scene = Scene::new(&server, &site);
    let (config, member) = (Arc::new(client(&site.roots, None)?), Arc::new(member));
    server.forget_peak()?;
    let before = server.memory_kib()?;
    let opening = bar(connections as u64, "connections");
    let mut clients = Vec::new();
    for share in 0..AT_ONCE {
        let mine = connections / AT_ONCE + usize::from(share < connections % AT_ONCE);
        let (scene, config, member) = (Arc::clone(&scene), Arc::clone(&config), Arc::clone(&member));
        let opening = opening.clone();
        clients.push(tokio::spawn(async move {
            let mut open = Vec::with_capacity(mine);
            for _ in 0..mine {
                let mut wire = Wire::tls(scene.https, &config).await?;
                challenge(&mut wire, &member).await?;
                open.push(wire);
                opening.inc(1);
            }
            Ok::<_, BenchError>(open)
        }));
    }
    let mut open = Vec::with_capacity(connections);
    for client in clients {
        open.extend(client.await??);
    }
    opening.finish_and_clear();
    let (now, peak) = (server.memory_kib()?, server.peak_kib()?);
    // Every one is still there: a connection that the server had cut would take no second request.
    for wire in &mut open {
        challenge(wire, &member).await?;
    }
    drop(open);
    server.stop().await?;
    Ok(IdleReport::new(connections, before, now, peak))
}

impl IdleReport {
    fn new(connections: usize, before: u64, now: u64, peak: u64) -> Self {
        let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0;
        let number = f64::from(u32::try_from(connections.max(1)).unwrap_or(u32::MAX));
        let at_most = LIMIT_MIB * (number / LIMIT_CONNECTIONS).max(1.0);
        Self {
            connections,
            before_mib: mib(before),
            open_mib: mib(now),
            peak_mib: mib(peak),
            each_bytes: mib(now.saturating_sub(before)) * 1024.0 * 1024.0 / number,
            musts: vec![Must { figure: "memory in MiB", found: mib(peak), at_most }],
        }
    }

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
        writeln!(out, "{} TLS connections, each after one request, idle:", self.connections)?;
        writeln!(out, "  memory before  {:8.1} MiB", self.before_mib)?;
        writeln!(out, "  memory with    {:8.1} MiB", self.open_mib)?;
        writeln!(out, "  at most        {:8.1} MiB", self.peak_mib)?;
        writeln!(out, "  for each       {:8.0} bytes", self.each_bytes)?;
        tell_musts(&self.musts, out)
    }
}
