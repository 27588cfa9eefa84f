//! What came of one target, for people and for programs.

use core::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The figures of one target.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) target: &'static str,
    pub(crate) executions: u64,
    /// Edges of the program that were reached.
    pub(crate) edges: u64,
    pub(crate) seconds: f64,
    /// How long ago the last new edge was found when it ended.
    pub(crate) seconds_since_new_edge: f64,
    /// The input that the target did not stand.
    pub(crate) found: Option<PathBuf>,
    /// The command that shows it again.
    pub(crate) replay: Option<String>,
    /// The bug that was planted.
    pub(crate) planted: Option<&'static str>,
    /// Who had it.
    pub(crate) incident: Option<&'static str>,
}

impl Report {
    /// Nothing was found, or what was planted was.
    pub(crate) const fn is_good(&self) -> bool {
        self.found.is_some() == self.planted.is_some()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, executions, edges, seconds, seconds_since_new_edge: since, .. } = self;
        if let (Some(planted), Some(incident)) = (self.planted, self.incident) {
            let verdict = if self.found.is_some() { "found" } else { "NOT FOUND" };
            write!(
                f,
                "{planted:<18} {verdict} in {seconds:.1} s, {executions} executions of {target} ({incident})"
            )
        } else {
            write!(
                f,
                "{target:<20} {executions:>13} executions {edges:>7} edges {seconds:>7.0} s, {since:.0} s without a new edge"
            )?;
            match (&self.found, &self.replay) {
                (Some(found), Some(replay)) => {
                    let found = found.display();
                    write!(
                        f,
                        "\n  FOUND {found}\n  replay: {replay}\n  keep:   cp {found} tests/fuzz/corpus/{target}/NAME"
                    )
                }
                _ => Ok(()),
            }
        }
    }
}
