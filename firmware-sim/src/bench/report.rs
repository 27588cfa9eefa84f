//! The figures of a benchmark, what they are compared with, and whether they are as they must be.

use std::io::{self, Write};

use serde::Serialize;

use super::load::{Latency, Load};
use super::{Costs, Operations, Work};

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name.
    pub work: &'static str,
    /// How often it was done.
    pub count: usize,
    /// Devices that were at it at the same time.
    pub at_once: usize,
    /// The server's operations that nobody can leave out.
    pub operations: Operations,
    /// What these cost on this machine, in microseconds of processor time.
    pub floor_us: f64,
    /// What the server used, for each, in microseconds of processor time, the kernel's included.
    pub cpu_us: f64,
    /// The one by the other.
    pub ratio: f64,
    /// Done in a second, with client and server on one machine.
    pub per_second: f64,
    /// How long a client waited, from its connection on.
    pub latency: Latency,
    /// The most memory of the server, in MiB.
    pub peak_mib: f64,
    /// By how much its memory grew at most, divided by their number, in bytes.
    pub growth_bytes: f64,
}

impl Figure {
    pub(super) fn new(work: Work, load: &Load, costs: &Costs, at_once: usize) -> Self {
        let count = load.took.len();
        let each = 1.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        let operations = work.operations();
        let (floor_us, cpu_us) = (costs.of(operations), load.cpu.as_secs_f64() * 1e6 * each);
        let kib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX));
        Self {
            work: work.name(),
            count,
            at_once,
            operations,
            floor_us,
            cpu_us,
            ratio: cpu_us / floor_us.max(f64::MIN_POSITIVE),
            per_second: 1.0 / (load.wall.as_secs_f64() * each).max(f64::MIN_POSITIVE),
            latency: Latency::of(&load.took),
            peak_mib: kib(load.peak_kib) / 1024.0,
            growth_bytes: kib(load.peak_kib.saturating_sub(load.before_kib)) * 1024.0 * each,
        }
    }
}

/// What a figure must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Must {
    /// Of what.
    pub figure: &'static str,
    /// What was found.
    pub found: f64,
    /// What it may be at most.
    pub at_most: f64,
}

impl Must {
    /// Whether it is.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found <= self.at_most
    }
}

/// What others use of a processor for one certificate, on this class of machine: an identity certificate and a CSR over
/// a new TLS connection, without any attestation. In milliseconds.
const OTHERS: [(&str, f64); 2] = [("step-ca 0.19", 2.4), ("OpenBao 2.7", 1.7)];
/// The most that an attested enrollment may cost, as a multiple of its floor.
const MAX_RATIO: f64 = 2.0;
/// The most that it may cost, in microseconds.
const MAX_CPU_US: f64 = 700.0;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What single operations cost.
    pub operations: Costs,
    /// The pieces of work.
    pub figures: Vec<Figure>,
    /// What must be.
    pub musts: Vec<Must>,
}

impl Report {
    pub(super) fn new(operations: Costs, figures: Vec<Figure>) -> Self {
        let enroll = figures.iter().find(|figure| figure.work == Work::Enroll.name());
        let musts = enroll.map(|enroll| {
            vec![
                Must { figure: "processor time by floor", found: enroll.ratio, at_most: MAX_RATIO },
                Must { figure: "processor time in microseconds", found: enroll.cpu_us, at_most: MAX_CPU_US },
            ]
        });
        Self { operations, musts: musts.unwrap_or_default(), figures }
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
        let costs = &self.operations;
        writeln!(out, "Bare cryptography on this machine (aws-lc-rs), in microseconds of one core:")?;
        writeln!(
            out,
            "  P-256: key share {:.1}, ECDH {:.1}, sign {:.1}, verify {:.1}; the rest of a TLS connection {:.1}, \
             with SHA-384 {:.1}; SHA-256 of 1 KiB {:.1}",
            costs.generate_us,
            costs.agree_us,
            costs.sign_us,
            costs.verify_us,
            costs.tls_us,
            costs.tls_sha384_us,
            costs.hash_us
        )?;
        for figure in &self.figures {
            figure.tell(out)?;
        }
        tell_musts(&self.musts, out)
    }
}

impl Figure {
    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let Operations { sign, verify, agree, .. } = self.operations;
        writeln!(out, "\n{}: {} of them, {} at a time", self.work, self.count, self.at_once)?;
        writeln!(
            out,
            "  floor       {:8.1} us   {sign} signatures, {verify} verifications, {agree} key agreements",
            self.floor_us
        )?;
        writeln!(out, "  server      {:8.1} us   of processor time, the kernel's included", self.cpu_us)?;
        writeln!(out, "  ratio       {:8.2}", self.ratio)?;
        if self.work == Work::Enroll.name() {
            for (name, other) in OTHERS {
                let times = other * 1e3 / self.cpu_us.max(f64::MIN_POSITIVE);
                let spent = other * 1e3;
                writeln!(
                    out,
                    "  compared    {spent:8.1} us   {name}, without attestation: {times:.1} times as much"
                )?;
            }
        }
        let Latency { p50_ms, p95_ms, p99_ms } = self.latency;
        writeln!(out, "  throughput  {:8.0} /s   client and server on this machine", self.per_second)?;
        writeln!(out, "  latency     {p50_ms:8.1} ms   p50; p95 {p95_ms:.1}, p99 {p99_ms:.1}")?;
        writeln!(
            out,
            "  memory      {:8.1} MiB  at most; {:.0} bytes more for each",
            self.peak_mib, self.growth_bytes
        )
    }
}

/// Prints what must be, and whether it is.
pub(super) fn tell_musts(musts: &[Must], out: &mut impl Write) -> io::Result<()> {
    if !musts.is_empty() {
        writeln!(out)?;
    }
    for must in musts {
        let word = if must.holds() { "met" } else { "MISSED" };
        writeln!(out, "{word}: {} {:.2}, at most {:.2}", must.figure, must.found, must.at_most)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Figure, Load, MAX_CPU_US, Report};
    use crate::bench::{Costs, Work};
    use core::time::Duration;

    fn report(cpu_us: u64) -> Report {
        let costs = Costs {
            generate_us: 20.0,
            agree_us: 50.0,
            sign_us: 25.0,
            verify_us: 75.0,
            tls_us: 20.0,
            tls_sha384_us: 20.0,
            hash_us: 2.0,
        };
        let load = Load {
            took: (1..=100).map(Duration::from_millis).collect(),
            wall: Duration::from_secs(1),
            cpu: Duration::from_micros(cpu_us * 100),
            peak_kib: 20 * 1024,
            before_kib: 10 * 1024,
        };
        Report::new(costs, vec![Figure::new(Work::Enroll, &load, &costs, 4)])
    }

    #[test]
    fn figures_are_for_one_piece_of_work() {
        let report = report(600);
        let figure = report.figures.first().unwrap();
        assert!((figure.floor_us - 371.0).abs() < 1e-6, "{}", figure.floor_us);
        assert!((figure.cpu_us - 600.0).abs() < 1e-6 && (figure.ratio - 600.0 / 371.0).abs() < 1e-9);
        assert!((figure.per_second - 100.0).abs() < 1e-6);
        assert!((figure.latency.p95_ms - 95.0).abs() < 1e-6);
        assert!((figure.growth_bytes - 104_857.6).abs() < 1e-3);
    }

    #[test]
    fn what_must_be_is_held_against_what_was_found() {
        assert!(report(700).is_good(), "{MAX_CPU_US} is the most");
        for too_much in [701, 750, 10_000] {
            let report = report(too_much);
            assert!(!report.is_good());
            let mut text = Vec::new();
            report.tell(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("MISSED: processor time in microseconds"), "{text}");
            assert!(text.contains("step-ca 0.19"), "{text}");
        }
    }
}
