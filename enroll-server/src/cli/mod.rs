//! The command line: takes arguments apart, calls the library, prints what came out.

mod actions;
mod args;
mod attestation_keys;
mod audit;
mod backup;
mod batches;
mod brokers;
mod ca;
mod certificates;
mod dashboard;
mod devices;
mod doctor;
mod events;
mod evidence;
mod export;
mod failure;
mod import;
mod keys;
mod makers;
mod migrate;
mod onlooker;
mod output;
mod peers;
mod policy;
mod profile;
mod qr;
mod reference;
mod renewals;
mod serve;
mod setup;
mod tokens;
mod webhooks;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::admin::Admin;
use crate::api::openapi;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::startup::open_admin;

pub use args::Args;
use args::{Command, Global};
use failure::Failure;
use output::Output;

/// Runs the program with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

/// Runs the program with these arguments, its own name first, in a process that has no runtime yet.
#[must_use]
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Wrong arguments end here with status 2, help with 0.
    let args = Args::parse_from(arguments);
    let output = Output::new(args.global.json);
    let failed = dispatch(args, &output).err();
    let mut code = failed.as_ref().map_or(0, Failure::code);
    // What the result has told already is not told again.
    if let Some(failure) = failed.filter(|failure| !matches!(failure, Failure::Told(_))) {
        output.error(&failure);
    }
    // A status that the result was to explain says less than that there is none.
    if let Some(unwritten) = output.problem() {
        output.error(&unwritten);
        code = unwritten.code();
    }
    ExitCode::from(code)
}

fn dispatch(args: Args, output: &Output) -> Result<(), Failure> {
    let global = args.global;
    match args.command {
        Command::Init(options) => setup::init(options, output),
        Command::Serve => serve::serve(&global),
        Command::Backup(options) => backup::run(&global, &options, output),
        Command::Migrate(options) => migrate::run(&global, &options, output),
        Command::Maker(command) => with_admin(&global, |admin| makers::run(admin, command, output)),
        Command::Device(command) => with_config(&global, |admin, config| {
            let tells = config.mqtt.is_some();
            devices::run(admin, command, tells, output)
        }),
        Command::AttestationKey(command) => {
            with_admin(&global, |admin| attestation_keys::run(admin, command, output))
        }
        Command::Key(command) => keys::run(&global, command, output),
        Command::Policy(command) => policy::run(&global, command, output),
        Command::Profile(command) => profile::run(&global, command, output),
        Command::Batch(command) => with_admin(&global, |admin| batches::run(admin, command, output)),
        Command::Reference(command) => with_admin(&global, |admin| reference::run(admin, command, output)),
        Command::Token(command) => with_admin(&global, |admin| tokens::run(admin, command, output)),
        Command::Doctor(options) => doctor::run(&options, output),
        Command::Broker(command) => brokers::run(&global, command, output),
        Command::Terminator(command) => peers::terminator(&global, command, output),
        Command::Ca(command) => ca::run(&global, command, output),
        Command::Cert(command) => with_admin(&global, |admin| certificates::run(admin, command, output)),
        Command::OpenApi => {
            output.document(&openapi::text());
            Ok(())
        }
        Command::Webhook(command) => webhooks::run(&global, command, output),
        Command::Audit(command) => audit::run(&global, command, output),
        Command::Dashboard(command) => {
            with_config(&global, |admin, config| dashboard::run(admin, command, config, output))
        }
        Command::Event(command) => with_admin(&global, |admin| events::run(admin, command, output)),
    }
}

/// Runs an operator's command on the store, which works with a running server and without.
fn with_admin<F>(global: &Global, command: impl FnOnce(Admin) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    with_config(global, |admin, _| command(admin))
}

/// As [`with_admin`], for commands that look into the settings too.
fn with_config<F>(global: &Global, command: impl FnOnce(Admin, Config) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let config = Config::load(&global.config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let admin = open_admin(&config, Arc::new(SystemClock))?;
        let done = command(admin.clone(), config).await;
        admin.close().await?;
        done
    })
}

/// Reads a file of the operator's that may hold any bytes, up to `limit` of them.
fn read_bounded(path: &std::path::Path, limit: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let unreadable = |source| Failure::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        let why = format!("it is longer than {limit} bytes");
        return Err(unreadable(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why)));
    }
    Ok(bytes)
}

/// Reads a file of the operator's. PEM, CSV: all of them are text; a certificate in DER is turned into PEM.
fn read(path: &std::path::Path) -> Result<String, Failure> {
    let unreadable = |source| Failure::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    if bytes.first() == Some(&0x30) {
        return Ok(::ca::pem::certificate(&bytes));
    }
    String::from_utf8(bytes).map_err(|_| {
        unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not text in UTF-8"))
    })
}
