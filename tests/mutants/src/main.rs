//! Tests the mutants of one package out of one build.

#![expect(clippy::disallowed_methods, reason = "a command line measures how long things take")]

mod list;
mod program;
mod results;
mod run;
mod weave;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;

use crate::program::Program;
use crate::results::Results;
use crate::run::{End, Test};

/// Tests the mutants of a package by its unit tests. cargo-mutants names them; here all of them are put into one build, and
/// each run turns one of them on and makes only those tests that come by it: a build of a minute and all tests become the
/// seconds until one of a few tests fails.
#[derive(Debug, Parser)]
#[command(after_help = HELP)]
struct Arguments {
    /// The package
    #[arg(long, short)]
    package: String,
    /// Only mutants whose names match, as of cargo mutants; may be given several times
    #[arg(long, value_name = "REGEX")]
    re: Vec<String>,
    /// Only these tests: arguments of the tests' program, such as "store:: --skip on_postgres" [default: all]
    #[arg(
        long,
        value_name = "ARGUMENTS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    tests: String,
    /// Try those again that were missed before
    #[arg(long)]
    again: bool,
    /// Runs at once; each has as many threads as the machine has processors
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Every N-th only
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Where the copy of the tree and the results are; a run that was stopped goes on there
    #[arg(long, value_name = "FOLDER", default_value = "tests/mutants/target/work")]
    work: PathBuf,
}

const HELP: &str = "\
Run it in the root of the repository. Needs cargo-mutants (cargo install --locked cargo-mutants). What is left is in
FOLDER/results: a line for each mutant, its end and its name.

Exit status:
  0  every mutant that compiles was killed
  1  some were missed
  2  the mutants cannot be listed, built or run";

fn main() -> ExitCode {
    match all(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn all(arguments: &Arguments) -> Result<bool, String> {
    let tree = std::env::current_dir().map_err(|error| error.to_string())?;
    fs::create_dir_all(&arguments.work).map_err(|error| format!("{}: {error}", arguments.work.display()))?;
    let work = arguments.work.canonicalize().map_err(|error| error.to_string())?;
    let listed = list::list(&tree, &arguments.package, &arguments.re)?;
    let listed: Vec<_> = listed.into_iter().step_by(arguments.every.max(1)).collect();
    println!("{} mutants", listed.len());
    let mut results = Results::open(&work.join("results"), arguments.again)?;
    let program = program::build(&tree, &work, &arguments.package, &listed, results.failed(&listed))?;
    for (number, code) in &program.failed {
        results.add_failed(&listed[number - 1], code)?;
    }
    for number in &program.left_out {
        results.add(&listed[number - 1], "not woven")?;
    }
    let filter: Vec<_> = arguments.tests.split_whitespace().map(str::to_owned).collect();
    let tests = try_none(arguments.jobs, &program, program.names(&filter)?, &work)?;
    let seen: BTreeSet<_> = tests.iter().flat_map(|test| test.seen.iter().copied()).collect();
    println!("{} compile; {} tests come by {} of them", program.mutants.len(), tests.len(), seen.len());
    let todo = program.mutants.iter().copied().filter(|number| !results.has(&listed[number - 1]));
    let (todo, unseen): (Vec<usize>, Vec<_>) = todo.partition(|number| seen.contains(number));
    for number in unseen {
        results.add(&listed[number - 1], "missed: no test comes by")?;
    }
    let results = Mutex::new(results);
    let began = Instant::now();
    each(arguments.jobs, &todo, |index, number| {
        let end = match program.try_mutant(*number, &tests)? {
            End::Killed(by) => format!("killed: {by}"),
            End::Endless => "killed: without end".to_owned(),
            End::Missed => "missed".to_owned(),
        };
        eprintln!("{} of {} after {:.0?}", index + 1, todo.len(), began.elapsed());
        let mutant = &listed[number - 1];
        if end == "missed" {
            println!("missed: {}", mutant.name);
        }
        results.lock().map_err(|_| "a run ended badly")?.add(mutant, &end)
    })?;
    let results = results.into_inner().map_err(|_| "a run ended badly")?;
    Ok(results.report(&listed))
}

/// Makes each test by itself.
fn try_none(jobs: usize, program: &Program, names: Vec<String>, work: &Path) -> Result<Vec<Test>, String> {
    let tests = Mutex::new(Vec::new());
    each(jobs, &names, |index, name| {
        let seen = work.join(format!("seen-{index}"));
        let test = program.try_none(name.clone(), &seen)?;
        let _ = fs::remove_file(seen);
        tests.lock().map_err(|_| "a run ended badly")?.push(test);
        Ok(())
    })?;
    tests.into_inner().map_err(|_| "a run ended badly".to_owned())
}

/// Does the work for each, some at a time, until one fails.
fn each<T: Sync>(
    jobs: usize,
    todo: &[T],
    work: impl Fn(usize, &T) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<(), String> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = todo.get(index) else { return Ok(()) };
            work(index, item).inspect_err(|_| next.store(todo.len(), Ordering::Relaxed))?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a run ended badly")?)
    })
}
