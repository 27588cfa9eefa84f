//! Runs the tests: each by itself to see which mutants it comes by, then those that come by a mutant with it turned on, until
//! the first of them fails.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::program::Program;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By a test that failed, or by the program's own end.
    Killed(String),
    /// It did not end by itself.
    Endless,
    /// Every test passed.
    Missed,
}

/// A test, as it is without a mutant.
#[derive(Clone, Debug)]
pub struct Test {
    pub name: String,
    /// The mutants that it comes by.
    pub seen: BTreeSet<usize>,
    pub took: Duration,
}

/// So many of the quickest run first, in one process; the rest in another.
const FIRST: usize = 4;
/// How long no test may end, beside three times what the longest of them takes.
const PATIENCE: Duration = Duration::from_secs(20);

impl Program {
    /// The names of the tests that these arguments of the tests' program select.
    pub fn names(&self, arguments: &[String]) -> Result<Vec<String>, String> {
        let output = self.command().args(["--list", "--format", "terse"]).args(arguments).output();
        let output = output.map_err(|error| format!("the tests do not start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// Runs one test without a mutant.
    pub fn try_none(&self, name: String, seen: &Path) -> Result<Test, String> {
        let _ = fs::remove_file(seen);
        let (mut command, began) = (self.command(), Instant::now());
        match until_failed(command.args(["--exact", &name]).env("MUTANTS_SEEN", seen), Duration::MAX)? {
            End::Missed => {}
            _ => return Err(format!("{name} fails without a mutant")),
        }
        let text = fs::read_to_string(seen).unwrap_or_default();
        let seen = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Test { name, seen, took: began.elapsed() })
    }

    /// Runs the tests that come by this mutant with it, the quickest first.
    pub fn try_mutant(&self, number: usize, tests: &[Test]) -> Result<End, String> {
        let mut tests: Vec<_> = tests.iter().filter(|test| test.seen.contains(&number)).collect();
        tests.sort_by_key(|test| test.took);
        let (first, rest) = tests.split_at(tests.len().min(FIRST));
        for part in [first, rest] {
            if part.is_empty() {
                continue;
            }
            let mut command = self.command();
            command.arg("--exact").args(part.iter().map(|test| &test.name)).env("MUTANT", number.to_string());
            let longest = part.iter().map(|test| test.took).max().unwrap_or_default();
            let end = until_failed(&mut command, longest * 3 + PATIENCE)?;
            if end != End::Missed {
                return Ok(end);
            }
        }
        Ok(End::Missed)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Runs tests until one fails, or until none has ended for so long.
fn until_failed(command: &mut Command, limit: Duration) -> Result<End, String> {
    // A group of its own: whatever the tests start ends with them.
    let child = command.stdout(Stdio::piped()).process_group(0).spawn();
    let mut child = child.map_err(|error| format!("the tests do not start: {error}"))?;
    let output = child.stdout.take().ok_or("no pipe")?;
    let (tell, hear) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    loop {
        match hear.recv_timeout(limit) {
            Ok(line) => {
                if let Some(test) =
                    line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
                {
                    kill(&mut child);
                    return Ok(End::Killed(test.to_owned()));
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                kill(&mut child);
                return Ok(End::Endless);
            }
        }
    }
    let status = child.wait().map_err(|error| format!("the tests are lost: {error}"))?;
    Ok(match (status.success(), status.signal()) {
        (true, _) => End::Missed,
        (false, Some(signal)) => End::Killed(format!("(signal {signal})")),
        (false, None) => End::Killed(format!("({status})")),
    })
}

fn kill(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = child.wait();
}
