//! The command line: parses, calls the library, prints.

mod bench;
mod demo;
mod device;
mod factory;
mod flash;
mod fleet;
mod psa_token;
mod qemu;
mod rollover;
mod size;
mod storm;
mod year;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Devices without hardware: make them at a factory, run one or thousands, or see everything at once.
#[derive(Debug, Parser)]
#[command(name = "firmware-sim", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more to standard error: -v what happens, -vv everything. RUST_LOG does the same in detail.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

const EXIT_CODES: &str = "\
Begin with:  firmware-sim demo

Exit status: 0 all went as it should, 1 something did not, 2 the command line is wrong,
             130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Arguments),
    Demo(demo::Arguments),
    Factory(factory::Arguments),
    Device(device::Arguments),
    Flash(flash::Arguments),
    Fleet(fleet::Arguments),
    PsaToken(psa_token::Arguments),
    Qemu(qemu::Arguments),
    Rollover(rollover::Arguments),
    Size(size::Arguments),
    Storm(storm::Arguments),
    Year(year::Arguments),
}

/// Why a command failed; printed with its causes.
type Failure = Box<dyn core::error::Error>;

/// The program: parses, and runs what was asked for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // The server has a runtime and a log of its own.
    if let Command::Bench(arguments) = &cli.command
        && let Some(arguments) = arguments.server()
    {
        return enroll_server::cli::run_with(arguments);
    }
    start_logging(&cli);
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(Box::pin(run(cli)));
            // What is still waited for was given up in good time: a thread of devices, for example.
            runtime.shutdown_background();
            code
        }
        Err(error) => failed(&error),
    }
}

/// Sets up logs to standard error.
fn start_logging(cli: &Cli) {
    let level = match cli.verbose {
        // The router tells of every connection that is cut, the agent of every refusal: what the demonstration
        // is there for, and tells itself.
        0 => "error,rumqttd=off,agent=off",
        1 => "info,rumqttd=warn",
        _ => "debug,rumqttd=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

/// Carries out a command.
async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Demo(arguments) => Box::pin(demo::run(arguments)).await,
        Command::Factory(arguments) => factory::run(&arguments).await,
        Command::Device(arguments) => Box::pin(device::run(arguments)).await,
        Command::Flash(arguments) => flash::run(&arguments).await,
        Command::Fleet(arguments) => Box::pin(fleet::run(arguments)).await,
        Command::PsaToken(arguments) => psa_token::run(&arguments),
        Command::Size(arguments) => Box::pin(size::run(arguments)).await,
        Command::Rollover(arguments) => rollover::run(arguments).await,
        Command::Storm(arguments) => storm::run(&arguments),
        Command::Year(arguments) => Box::pin(year::run(arguments)).await,
        Command::Qemu(arguments) => Box::pin(qemu::run(arguments)).await,
    };
    outcome.unwrap_or_else(|failure| failed(failure.as_ref()))
}

fn failed(failure: &dyn core::error::Error) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _told = writeln!(io::stderr(), "firmware-sim: {}", crate::fleet::chain(failure));
    ExitCode::FAILURE
}

/// The exit status of an interrupted program, as shells have it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Resolves at Ctrl-C, or when the program is told to end (SIGTERM): what it started ends with it, and its folders go. From
/// the call on a signal ends nothing by itself, whenever the future is looked at first.
fn interrupted() -> impl Future<Output = ()> {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        tokio::select! {
            () = comes(interrupt) => {}
            () = comes(terminate) => {}
        }
    }
}

/// Resolves at a signal. Where there can be no handler, the signal ends the process by itself.
async fn comes(signals: io::Result<Signal>) {
    match signals {
        Ok(mut signals) => _ = signals.recv().await,
        Err(_) => core::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
