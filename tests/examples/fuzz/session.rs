//! Runs one target until a limit is reached or it finds something.

use core::time::Duration;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use tests::fuzz::{PLANT_VARIABLE, Planted};

use crate::build::package;
use crate::report::Report;

/// When a target has run enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) runs: Option<u64>,
    pub(crate) seconds: Option<Duration>,
    /// How long without a new edge; beyond `runs`, not beyond `seconds`.
    pub(crate) quiet: Option<Duration>,
}

/// One target to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) target: &'static str,
    pub(crate) planted: Option<&'static Planted>,
    pub(crate) seed: u32,
}

/// Where a session stands.
struct Standing {
    began: Instant,
    new_edge: Instant,
    edges: u64,
    executions: u64,
    found: Option<PathBuf>,
}

impl Session {
    /// Runs it. libFuzzer ends by itself at `runs`; for the quiet after them it is started again with what it learned.
    pub(crate) fn run(&self, binaries: &Path, limits: Limits) -> io::Result<Report> {
        let now = Instant::now();
        let mut standing = Standing { began: now, new_edge: now, edges: 0, executions: 0, found: None };
        let bar = self.bar();
        let mut next =
            Some((limits.runs, limits.seconds.or_else(|| limits.quiet.filter(|_| limits.runs.is_none()))));
        let mut round = 0;
        while let Some((runs, time)) = next {
            self.round(binaries, round, runs, time, &mut standing, &bar)?;
            round += 1;
            next = standing.next(limits).map(|time| (None, Some(time)));
        }
        bar.finish_and_clear();
        let replay = standing.found.as_ref().map(|found| {
            let binary = binaries.join(self.target);
            let plant = self.planted.map(|planted| format!("{PLANT_VARIABLE}={} ", planted.name));
            format!("{}{} {}", plant.unwrap_or_default(), binary.display(), found.display())
        });
        Ok(Report {
            target: self.target,
            executions: standing.executions,
            edges: standing.edges,
            seconds: standing.began.elapsed().as_secs_f64(),
            seconds_since_new_edge: standing.new_edge.elapsed().as_secs_f64(),
            found: standing.found,
            replay,
            planted: self.planted.map(|planted| planted.name),
            incident: self.planted.map(|planted| planted.incident),
        })
    }

    fn round(
        &self,
        binaries: &Path,
        round: u32,
        runs: Option<u64>,
        time: Option<Duration>,
        standing: &mut Standing,
        bar: &ProgressBar,
    ) -> io::Result<()> {
        let out = package().join("target");
        let found = out.join("found");
        fs::create_dir_all(&found)?;
        let name = self.planted.map_or(self.target, |planted| planted.name);
        let mut libfuzzer = Command::new(binaries.join(self.target));
        if let Some(planted) = self.planted {
            libfuzzer.env(PLANT_VARIABLE, planted.name);
        } else {
            // What was learned is kept, but not from a parser with a bug.
            let learned = out.join("corpus").join(self.target);
            fs::create_dir_all(&learned)?;
            libfuzzer.arg(learned);
        }
        libfuzzer.arg(package().join("corpus").join(self.target));
        libfuzzer.arg(format!("-seed={}", self.seed.wrapping_add(round).max(1)));
        libfuzzer.arg(format!("-artifact_prefix={}/{name}-", found.display()));
        // A second is long for a decoder, and 64 MiB are much for one allocation.
        libfuzzer.args(["-timeout=5", "-malloc_limit_mb=64", "-rss_limit_mb=1024", "-print_final_stats=1"]);
        libfuzzer.args(runs.map(|runs| format!("-runs={runs}")));
        libfuzzer.args(time.map(|time| format!("-max_total_time={}", time.as_secs().max(1))));
        let mut child = libfuzzer.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let before = standing.executions;
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines() {
                standing.take(&line?, before);
                bar.set_message(standing.to_string());
            }
        }
        let status = child.wait()?;
        if !status.success() && standing.found.is_none() {
            return Err(io::Error::other(format!("{}: libFuzzer ended with {status}", self.target)));
        }
        Ok(())
    }

    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_prefix(self.target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:20} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

impl Standing {
    /// Takes a line of libFuzzer: `#4096 NEW cov: 120 ft: 300 ...`, the figures at the end, or where the input is that
    /// was not stood.
    fn take(&mut self, line: &str, before: u64) {
        if let Some(path) = line.split_once("Test unit written to ").map(|(_, path)| path.trim()) {
            self.found = Some(path.into());
        }
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let count = match first {
            "stat::number_of_executed_units:" => words.next(),
            _ => first.strip_prefix('#'),
        };
        if let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) {
            self.executions = self.executions.max(before + count);
        }
        if words.any(|word| word == "cov:")
            && let Some(edges) = words.next().and_then(|edges| edges.parse().ok())
            && edges > self.edges
        {
            self.edges = edges;
            self.new_edge = Instant::now();
        }
    }

    /// How long it still has to go on.
    fn next(&self, limits: Limits) -> Option<Duration> {
        let quiet = limits.quiet?.checked_sub(self.new_edge.elapsed())?;
        let left = limits.seconds.map(|seconds| seconds.saturating_sub(self.began.elapsed()));
        let time = left.map_or(quiet, |left| left.min(quiet));
        (self.found.is_none() && !time.is_zero()).then_some(time)
    }
}

impl core::fmt::Display for Standing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let since = self.new_edge.elapsed().as_secs();
        write!(f, "{} executions, {} edges, none new for {since} s", self.executions, self.edges)
    }
}
