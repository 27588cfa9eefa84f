//! What came of it, and whether it is as it has to be.

use core::time::Duration;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use enroll_server::admission::window;
use serde::Serialize;

use super::device::Device;
use super::record::{Columns, Record};
use super::scenario::{Plan, Scenario};
use super::svg::{Chart, Line, Shade};

/// Most connections of each device, on average, that are closed before the handshake.
const CLOSED: f64 = 3.0;

/// What came of a storm. Times are in seconds of virtual time.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What happened.
    pub scenario: Scenario,
    /// Number of devices.
    pub devices: u32,
    /// All chance.
    pub seed: u64,
    /// What the server was allowed to begin.
    pub capacity: String,
    /// The same, in a second.
    pub capacity_per_second: f64,
    /// Most that it began in a second (or in the time of a hundred requests, where that is longer), per second.
    pub peak_per_second: f64,
    /// Most calls that came in a second or column of the plot, per second.
    pub calls_peak_per_second: f64,
    /// Most TLS handshakes that it did in a second.
    pub handshakes_peak_per_second: f64,
    /// Most logins at the broker in a second.
    pub logins_peak_per_second: f64,
    /// Calls of all devices.
    pub attempts: u64,
    /// Those of them to a server that was away.
    pub in_vain: u64,
    /// Those that it closed before the handshake.
    pub closed: u64,
    /// Those that it told to come again.
    pub turned_away: u64,
    /// Those that it served.
    pub served: u64,
    /// Attempts for one that was served.
    pub attempts_per_success: f64,
    /// The same without those that were in vain or closed.
    pub attempts_per_success_at_server: f64,
    /// Devices that have what they needed.
    pub done: u32,
    /// The longest wait of a device, from its first call, or from the server's return, until it had what it needed.
    pub worst_wait: f64,
    /// So long or less waited 99 of 100.
    pub p99_wait: f64,
    /// So long or less waited half of them.
    pub median_wait: f64,
    /// When the last had it, after the storm began.
    pub last_served: f64,
    /// The bound of that.
    pub last_served_bound: f64,
    /// Number of devices over capacity.
    pub fleet_over_capacity: f64,
    /// Devices that never got it.
    pub locked_out: usize,
    /// Certificates that ended before they were renewed.
    pub ran_out: u32,
    /// Times that a device gave renewal up for enrollment.
    pub fell_back: u32,
    /// Memory of one device's lifecycle, in bytes.
    pub bytes_per_device: usize,
    /// What is not as it has to be.
    pub violations: Vec<String>,
    #[serde(skip)]
    plots: Plots,
}

#[derive(Clone, Debug)]
struct Plots {
    calls: Columns,
    admitted: Columns,
    waits: Columns,
    away: Option<(Duration, Duration)>,
    begins: Duration,
}

impl Report {
    pub(super) fn new(plan: &Plan, record: &Record, seed: u64, locked_out: usize) -> Self {
        let capacity = f64::from(plan.capacity.count().get()) / plan.capacity.period().as_secs_f64();
        let window = window(plan.capacity).as_secs_f64();
        let successes = record.successes.max(1) as f64;
        let mut waits = record.waits.clone();
        waits.sort_unstable_by(f32::total_cmp);
        let at = |thousandths: usize| {
            let place = (waits.len().saturating_sub(1) * thousandths).div_ceil(1_000);
            waits.get(place).copied().map_or(0.0, f64::from)
        };
        let per_second = |columns: &Columns| columns.highest() / columns.width.as_secs_f64();
        let devices = record.done + u32::try_from(locked_out).unwrap_or(u32::MAX);
        let bounds = plan.bounds;
        let mut report = Self {
            scenario: plan.scenario,
            devices,
            seed,
            capacity: plan.capacity.to_string(),
            capacity_per_second: capacity,
            peak_per_second: record.begun.highest() / window,
            calls_peak_per_second: per_second(&record.calls),
            handshakes_peak_per_second: record.handshakes.highest(),
            logins_peak_per_second: record.logins.highest(),
            attempts: record.attempts,
            in_vain: record.in_vain,
            closed: record.closed,
            turned_away: record.turned_away,
            served: record.successes,
            attempts_per_success: record.attempts as f64 / successes,
            attempts_per_success_at_server: (record.attempts - record.in_vain - record.closed) as f64
                / successes,
            done: record.done,
            worst_wait: at(1_000),
            p99_wait: at(990),
            median_wait: at(500),
            last_served: record.last_done.saturating_sub(bounds.from).as_secs_f64(),
            last_served_bound: bounds.until.saturating_sub(bounds.from).as_secs_f64(),
            fleet_over_capacity: f64::from(devices) / capacity,
            locked_out,
            ran_out: record.ran_out,
            fell_back: record.fell_back,
            bytes_per_device: size_of::<Device>(),
            violations: Vec::new(),
            plots: Plots {
                calls: record.calls.clone(),
                admitted: record.admitted.clone(),
                waits: record.waits_by_time.clone(),
                away: plan.away,
                begins: bounds.from.min(plan.away.map_or(bounds.from, |(from, _)| from)),
            },
        };
        // A connection that is closed at once costs the server next to nothing; how many there are has its own bound.
        let attempts = if bounds.in_vain_too {
            (record.attempts - record.closed) as f64 / successes
        } else {
            report.attempts_per_success_at_server
        };
        let mut hold = |holds: bool, text: String| {
            if !holds {
                report.violations.push(text);
            }
        };
        let peak = record.begun.highest();
        hold(
            peak <= (capacity * window).round(),
            format!("{peak} requests began in {window} s, at a capacity of {}", plan.capacity),
        );
        hold(locked_out == 0, format!("{locked_out} devices are locked out"));
        hold(record.ran_out == 0, format!("{} certificates ran out", record.ran_out));
        hold(
            record.fell_back == 0,
            format!("devices gave renewal up for enrollment {} times", record.fell_back),
        );
        hold(
            record.last_done <= bounds.until,
            format!("the last was served {:?} too late", record.last_done.saturating_sub(bounds.until)),
        );
        hold(
            attempts <= bounds.attempts,
            format!("{attempts:.3} attempts for one success, bound {}", bounds.attempts),
        );
        let closed = record.closed as f64 / f64::from(devices.max(1));
        hold(
            closed <= CLOSED,
            format!("{closed:.2} connections of each device were closed at once, bound {CLOSED}"),
        );
        report
    }

    /// Whether everything is as it has to be.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Tells it to people.
    ///
    /// # Errors
    /// Where `out` does not take it.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { scenario, devices, capacity, seed, .. } = self;
        writeln!(out, "{}: {devices} devices, capacity {capacity}, seed {seed}", scenario.name())?;
        let mut line = |name: &str, value: String| writeln!(out, "  {name:<34} {value}");
        line(
            "peak of what began",
            format!("{:.2} a second, of {:.2}", self.peak_per_second, self.capacity_per_second),
        )?;
        line("peak of calls", format!("{:.1} a second", self.calls_peak_per_second))?;
        line("peak of TLS handshakes", format!("{} a second", self.handshakes_peak_per_second))?;
        line("peak of broker logins", format!("{} a second", self.logins_peak_per_second))?;
        line(
            "attempts",
            format!(
                "{}: {} served, {} told to come again, {} closed, {} while the server was away",
                self.attempts, self.served, self.turned_away, self.closed, self.in_vain
            ),
        )?;
        line(
            "attempts for one success",
            format!(
                "{:.3}, {:.3} without those that were closed or found the server away",
                self.attempts_per_success, self.attempts_per_success_at_server
            ),
        )?;
        line(
            "wait: median, p99, worst",
            format!("{}, {}, {}", time(self.median_wait), time(self.p99_wait), time(self.worst_wait)),
        )?;
        line(
            "the last is served after",
            format!(
                "{} (bound {}; N / capacity {})",
                time(self.last_served),
                time(self.last_served_bound),
                time(self.fleet_over_capacity)
            ),
        )?;
        line(
            "locked out, ran out, fell back",
            format!("{}, {}, {}", self.locked_out, self.ran_out, self.fell_back),
        )?;
        for violation in &self.violations {
            writeln!(out, "  NOT AS IT HAS TO BE: {violation}")?;
        }
        Ok(())
    }

    /// Writes the plots of load and of waits to `folder`; their paths.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn draw(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let Plots { calls, admitted, waits, away, begins } = &self.plots;
        let per_second = |columns: &Columns| -> Vec<(f64, f64)> {
            points(columns, *begins).map(|(at, count)| (at, count / columns.width.as_secs_f64())).collect()
        };
        let since = |at: Duration| at.as_secs_f64() - begins.as_secs_f64();
        let shade = away.map(|(from, to)| Shade { from: since(from), to: since(to), name: "server away" });
        let title = |what: &str| format!("{}, {} devices: {what}", self.scenario.name(), self.devices);
        let load = Chart {
            title: title("calls to the enrollment server"),
            unit: "per second",
            lines: vec![
                Line { name: "calls", points: per_second(calls) },
                Line { name: "let in", points: per_second(admitted) },
            ],
            level: Some((self.capacity_per_second, format!("capacity {}", self.capacity))),
            shade,
        };
        let waited = Chart {
            title: title("longest wait of the devices served then"),
            unit: "s",
            lines: vec![Line { name: "longest wait", points: points(waits, *begins).collect() }],
            level: None,
            shade,
        };
        let mut written = Vec::new();
        for (name, chart) in [("load", load), ("wait", waited)] {
            let path = folder.join(format!("storm-{}-{name}.svg", self.scenario.name()));
            fs::write(&path, chart.draw())?;
            written.push(path);
        }
        Ok(written)
    }
}

fn points(columns: &Columns, begins: Duration) -> impl Iterator<Item = (f64, f64)> {
    let width = columns.width.as_secs_f64();
    let begins = begins.as_secs_f64();
    columns
        .counts
        .iter()
        .enumerate()
        .map(move |(place, count)| (place as f64 * width - begins, *count))
        .filter(move |(at, _)| *at >= -width)
}

/// A time as people say it.
fn time(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        120.0..7_200.0 => format!("{:.1} min", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.2} d", seconds / 86_400.0),
    }
}
