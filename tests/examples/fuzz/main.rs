//! Fuzzes the decoders with libFuzzer, and shows that this finds bugs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]
#![expect(clippy::disallowed_methods, reason = "a command line measures how long things take")]

mod build;
mod report;
mod session;

use core::time::Duration;
use std::process::ExitCode;

use clap::Parser;
use tests::fuzz::{Format, PLANTS, Planted, TARGETS, Target, target};

use crate::report::Report;
use crate::session::{Limits, Session};

/// Fuzzes the decoders of foreign bytes, guided by coverage: libFuzzer with changes of DER and CBOR by their structure.
#[derive(Debug, Parser)]
#[command(after_help = HELP)]
struct Arguments {
    /// Fuzz this target only; may be given several times [default: all]
    #[arg(long, value_name = "NAME", value_parser = known_target)]
    target: Vec<&'static Target>,
    /// Stop each target after so many seconds [default: 60, where nothing else ends it]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Stop each target after so many executions
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Go on until so many seconds have brought no new edge, also beyond --runs
    #[arg(long, value_name = "SECONDS")]
    quiet: Option<u64>,
    /// The long form: 1,000 million executions for DER, 200 million for others, and no new edge for 30 minutes
    #[arg(long, conflicts_with_all = ["runs", "quiet"])]
    long: bool,
    /// Plant ten bugs that others had, one after the other; each has to be found within --seconds
    #[arg(long, conflicts_with_all = ["runs", "quiet", "long", "target"])]
    plants: bool,
    /// What chance follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Needs a C++ compiler and no other toolchain than that of the repository. Seeds are tests/fuzz/corpus; what is found on
top of them is kept in tests/fuzz/target/corpus, so that the next run goes on from there.

Examples:
  cargo run -p tests --example fuzz -- --target csr --seconds 600
  cargo run -p tests --example fuzz -- --plants
  cargo run -p tests --example fuzz -- --long --json > figures.json

Exit status:
  0  nothing was found; with --plants: every planted bug was
  1  a target found something, and the command that replays it was printed; with --plants: a bug was not found
  2  the targets cannot be built or run";

fn known_target(name: &str) -> Result<&'static Target, String> {
    target(name).ok_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        format!("there is {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let work = if arguments.plants {
        PLANTS.iter().map(|planted| (planted.target(), Some(planted))).collect()
    } else if arguments.target.is_empty() {
        TARGETS.iter().map(|target| (target, None)).collect()
    } else {
        arguments.target.iter().map(|target| (*target, None)).collect::<Vec<_>>()
    };
    match fuzz(&arguments, &work) {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went as it should.
fn fuzz(arguments: &Arguments, work: &[(&Target, Option<&'static Planted>)]) -> std::io::Result<bool> {
    let names: Vec<_> = work.iter().map(|(target, _)| target.name).collect();
    let binaries = build::build(&names)?;
    let mut reports: Vec<Report> = Vec::new();
    for (target, planted) in work {
        let session = Session { target: target.name, planted: *planted, seed: arguments.seed };
        let report = session.run(&binaries, limits(arguments, target))?;
        if arguments.json {
            eprintln!("{report}");
        } else {
            println!("{report}");
        }
        reports.push(report);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    Ok(reports.iter().all(Report::is_good))
}

fn limits(arguments: &Arguments, target: &Target) -> Limits {
    let (runs, quiet) = match (arguments.long, target.format) {
        (true, Format::Der) => (Some(1_000_000_000), Some(30 * 60)),
        (true, Format::Cbor | Format::Other) => (Some(200_000_000), Some(30 * 60)),
        (false, _) => (arguments.runs, arguments.quiet),
    };
    let unbounded = runs.is_none() && quiet.is_none();
    let seconds = arguments.seconds.or_else(|| unbounded.then_some(60));
    Limits { runs, seconds: seconds.map(Duration::from_secs), quiet: quiet.map(Duration::from_secs) }
}
