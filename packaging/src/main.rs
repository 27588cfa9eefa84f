//! See the library.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use packaging::sbom::{Program, SbomError, text};

/// Makes what packages hold beside the programs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo run -p packaging --", args_conflicts_with_subcommands = true)]
struct Args {
    /// Where manual pages, completions and bills of materials are written, in a folder for each program
    #[arg(default_value = "target/manuals")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the bill of materials of one program: CycloneDX 1.6 in JSON
    Sbom {
        /// `agent`, `enroll-server`, or the image of a board: `lm3s6965evb`, `stm32h573i-dk`
        #[arg(value_parser = program)]
        program: Program,
        /// The target that it was built for, if it was not this machine's
        #[arg(long)]
        target: Option<String>,
    },
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot write")]
    Write(#[from] std::io::Error),
    #[error("there is no bill of materials")]
    Bill(#[from] SbomError),
}

fn program(name: &str) -> Result<Program, String> {
    let names = Program::ALL.map(|program| program.name).join(", ");
    Program::named(name).ok_or_else(|| format!("expected one of: {names}"))
}

fn main() -> ExitCode {
    let Args { folder, command } = Args::parse();
    let outcome = match command {
        None => write(&folder),
        Some(Command::Sbom { program, target }) => print(program, target.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut said = failure.to_string();
            let mut error: &dyn core::error::Error = &failure;
            while let Some(source) = error.source() {
                said.push_str(": ");
                said.push_str(&source.to_string());
                error = source;
            }
            let _told = writeln!(std::io::stderr(), "packaging: {said}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), Failure> {
    packaging::write(folder)?;
    for program in ["agent", "enroll-server"].into_iter().filter_map(Program::named) {
        fs::write(folder.join(program.name).join(packaging::BILL), text(program, None)?)?;
    }
    Ok(())
}

fn print(program: Program, target: Option<&str>) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text(program, target)?.as_bytes())?)
}
