//! What packages hold beside the programs: manual pages and shell completions of `agent` and `enroll-server`, written from
//! their command lines, so that they say what `--help` says, and bills of materials.
//!
//! A crate of its own: the programs carry none of it.

pub mod sbom;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

/// Shells that get completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Both programs.
#[must_use]
pub fn programs() -> [Command; 2] {
    [agent::cli::command(), enroll_server::cli::Args::command()]
}

/// The file of a program's bill of materials, below the program's folder.
pub const BILL: &str = "sbom.cdx.json";

/// Writes `PROGRAM/man/*.1`, one page for each command, and `PROGRAM/completions/*` below `folder`.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    for mut program in programs() {
        let name = program.get_name().to_owned();
        let completions = folder.join(&name).join("completions");
        fs::create_dir_all(&completions)?;
        for shell in SHELLS {
            clap_complete::generate_to(shell, &mut program, &name, &completions)?;
        }
        let pages = folder.join(&name).join("man");
        fs::create_dir_all(&pages)?;
        clap_mangen::generate_to(program, &pages)?;
    }
    Ok(())
}
