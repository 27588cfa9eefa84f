//! `firmware-sim bench`.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, INTERRUPTED, interrupted};
use crate::bench::{self, Options, StoreKind, What};

/// Measure what an enrollment costs the server, beside the bare cryptography in it
///
/// The server runs in a process of its own on a database with durable commits, beside this program; every device has
/// its own keys, connection and TLS 1.3 handshake. Build with --release: figures of a debug build say nothing. Two
/// cores are enough; others at work on the machine disturb latency and throughput more than processor time.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Measure,
}

const EXIT_CODES: &str = "\
Exit status: 0 all is as it must be, 1 a figure misses what it must be or something failed,
             2 the command line is wrong, 130 interrupted.";

#[derive(Debug, clap::Subcommand)]
enum Measure {
    /// First enrollments with evidence; at most 2.0 times the floor and 0.7 ms of processor time each
    Enroll {
        #[command(flatten)]
        load: LoadArguments,
        /// Compare with a server that has so many more devices in its inventory: at most a tenth longer
        #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
        inventory: Option<u32>,
    },
    /// Renewals over mutual TLS
    Renew(LoadArguments),
    /// simpleenroll and simplereenroll of EST
    Est(LoadArguments),
    /// Questions to the OCSP responder, each about another certificate
    Ocsp(LoadArguments),
    /// Connections with and without the ticket of an earlier one
    Resume(LoadArguments),
    /// All of these on one server
    All(LoadArguments),
    /// Memory of connections that are open and do nothing; at most 400 MiB for 10,000
    Idle {
        /// Number of connections; client and server need a descriptor for each
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        connections: u32,
        /// Print nothing but one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// The server, in the process that the others measure
    #[command(hide = true)]
    Server {
        /// Its settings
        #[arg(long)]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct LoadArguments {
    /// Number of devices, each of which does it once
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    devices: u32,
    /// Devices that do it at the same time
    #[arg(long, default_value_t = 32, value_name = "DEVICES", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// Where the server's database is
    #[arg(long, value_enum, default_value_t)]
    store: StoreKind,
    /// Print nothing but one JSON object to standard output
    ///
    /// Times of the processor are in microseconds for one piece of work; floor_us is what the cryptography alone
    /// takes, ratio is cpu_us by floor_us.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The arguments of the server's own command line, where this process is to be the server.
    pub(super) fn server(&self) -> Option<Vec<OsString>> {
        let Measure::Server { config } = &self.what else { return None };
        Some(vec!["enroll-server".into(), "--config".into(), config.into(), "serve".into()])
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    tokio::select! {
        done = Box::pin(measure(arguments)) => done,
        // What was set up goes down with the future: the server, and the folder it worked in.
        () = interrupted() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn measure(arguments: Arguments) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe()?;
    let parent = program.parent().unwrap_or_else(|| Path::new("."));
    let (what, load) = match arguments.what {
        Measure::Enroll { load, inventory: Some(devices) } => {
            let report = Box::pin(bench::inventory(parent, devices, load.options())).await?;
            return printed(&report, load.json, report.is_good(), |out| report.tell(out));
        }
        Measure::Idle { connections, json } => {
            let report = Box::pin(bench::idle(parent, usize::try_from(connections)?)).await?;
            return printed(&report, json, report.is_good(), |out| report.tell(out));
        }
        Measure::Enroll { load, inventory: None } => (What::Enroll, load),
        Measure::Renew(load) => (What::Renew, load),
        Measure::Est(load) => (What::Est, load),
        Measure::Ocsp(load) => (What::Ocsp, load),
        Measure::Resume(load) => (What::Resume, load),
        Measure::All(load) => (What::All, load),
        // The main program has turned into the server before it came here.
        Measure::Server { .. } => return Ok(ExitCode::FAILURE),
    };
    let report = Box::pin(bench::run(parent, what, load.options())).await?;
    printed(&report, load.json, report.is_good(), |out| report.tell(out))
}

impl LoadArguments {
    fn options(&self) -> Options {
        Options { devices: self.devices, at_once: self.at_once.into(), store: self.store }
    }
}

fn printed(
    report: &impl serde::Serialize,
    json: bool,
    good: bool,
    tell: impl FnOnce(&mut io::Stdout) -> io::Result<()>,
) -> Result<ExitCode, Failure> {
    let mut out = io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        tell(&mut out)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
