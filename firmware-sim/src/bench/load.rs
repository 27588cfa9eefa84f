//! Puts a load on the server, and reads what it costs.

use core::time::Duration;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::BenchError;
use super::member::Member;
use super::process::ServerProcess;
use super::work::{Scene, Work};
use crate::fleet::percentile;

/// What a load cost.
#[derive(Clone, Debug)]
pub struct Load {
    /// How long each piece of work took its client, sorted.
    pub took: Vec<Duration>,
    /// From the first request to the last answer.
    pub wall: Duration,
    /// Processor time of the server, up to [`AFTERWARDS`] after the last answer.
    pub cpu: Duration,
    /// The most memory of the server during the load, in KiB.
    pub peak_kib: u64,
    /// Its memory before, in KiB.
    pub before_kib: u64,
}

/// Percentiles of how long a piece of work took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

impl Latency {
    /// Of sorted times.
    #[must_use]
    pub fn of(sorted: &[Duration]) -> Self {
        let at = |percent| percentile(sorted, percent).as_secs_f64() * 1e3;
        Self { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99) }
    }
}

/// How long after the last answer the server's processor time is read: what it does later for what it answered (the
/// log of what was issued is written every second) counts too.
pub const AFTERWARDS: Duration = Duration::from_millis(1_500);

/// Has each of `members` do `work` once, `at_once` of them at a time; gives them back.
pub(super) async fn load(
    server: &ServerProcess,
    scene: &Arc<Scene>,
    work: Work,
    members: Vec<Member>,
    at_once: usize,
    bar: &ProgressBar,
) -> Result<(Load, Vec<Member>), BenchError> {
    server.forget_peak()?;
    let (before, before_kib) = (server.cpu()?, server.memory_kib()?);
    let begun = Instant::now();
    let (mut took, members) = drive(scene, work, members, at_once, bar).await?;
    let wall = begun.elapsed();
    let peak_kib = server.peak_kib()?;
    sleep(AFTERWARDS).await;
    took.sort_unstable();
    let cpu = server.cpu()?.saturating_sub(before);
    Ok((Load { took, wall, cpu, peak_kib, before_kib }, members))
}

/// As [`load`], and nothing is read.
pub(super) async fn drive(
    scene: &Arc<Scene>,
    work: Work,
    members: Vec<Member>,
    at_once: usize,
    bar: &ProgressBar,
) -> Result<(Vec<Duration>, Vec<Member>), BenchError> {
    let share = members.len().div_ceil(at_once.max(1)).max(1);
    let (mut members, mut clients) = (members.into_iter(), Vec::new());
    loop {
        let mut mine: Vec<Member> = members.by_ref().take(share).collect();
        if mine.is_empty() {
            break;
        }
        let (scene, bar) = (Arc::clone(scene), bar.clone());
        clients.push(tokio::spawn(async move {
            let mut took = Vec::with_capacity(mine.len());
            for member in &mut mine {
                let begun = Instant::now();
                Box::pin(scene.once(work, member)).await?;
                took.push(begun.elapsed());
                bar.inc(1);
            }
            Ok::<_, BenchError>((took, mine))
        }));
    }
    let (mut took, mut back) = (Vec::new(), Vec::new());
    for client in clients {
        let (mine, members) = client.await??;
        took.extend(mine);
        back.extend(members);
    }
    Ok((took, back))
}
