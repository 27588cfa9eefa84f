//! What cargo-mutants would try.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// A place in a file: lines and columns begin with 1, columns are characters.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Span {
    pub start: Position,
}

/// One of its mutants.
#[derive(Clone, Debug, Deserialize)]
pub struct Listed {
    pub name: String,
    pub file: String,
    pub genre: String,
    pub replacement: String,
    pub span: Span,
}

/// Asks cargo-mutants, which reads `.cargo/mutants.toml` of the tree.
pub fn list(tree: &Path, package: &str, matching: &[String]) -> Result<Vec<Listed>, String> {
    let mut command = Command::new("cargo");
    command.current_dir(tree).args(["mutants", "--list", "--json", "-p", package]);
    for pattern in matching {
        command.args(["--re", pattern]);
    }
    let output = command.output().map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo mutants --list failed (to have it: cargo install --locked cargo-mutants):\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo mutants --list: {error}"))
}
