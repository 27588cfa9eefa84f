//! `policy`.

mod check;
mod explain;
mod replay;
mod show;

use std::sync::Arc;

use super::args::{Global, Policy};
use super::failure::Failure;
use super::output::Output;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::issuance::Issuance;
use crate::policies::PolicyFiles;
use crate::startup::{open_store, open_to_explain};
use crate::store::Store;

pub(super) fn run(global: &Global, command: Policy, output: &Output) -> Result<(), Failure> {
    match command {
        Policy::Check { files, group } => check::run(global, &files, group.as_ref(), output),
        Policy::Explain { device: Some(device), last, .. } => {
            super::with_admin(global, |admin| explain::device(admin, device, last, output))
        }
        Policy::Explain { evidence, at, group, policy, .. } => {
            let Some(evidence) = evidence else { return Err(Failure::Nothing { what: "request".into() }) };
            explain::evidence(global, &evidence, at, group, policy.as_deref(), output)
        }
        Policy::Replay { since, policy, group } => {
            let config = Config::load(&global.config)?;
            let of = group.clone().unwrap_or_default();
            let with = PolicyFiles::of(&config.files).read_with(&of, &policy)?;
            super::with_admin(global, |admin| replay::run(admin, since, with, group, output))
        }
        Policy::Show { group, candidate } => show::show(global, &group, candidate, output),
        Policy::Status => {
            let config = Config::load(&global.config)?;
            super::with_admin(global, |admin| show::status(admin, PolicyFiles::of(&config.files), output))
        }
        Policy::Promote { group } => show::promote(global, &group, output),
    }
}

/// Runs `command` on an issuance that explains.
fn with_issuance<T>(
    global: &Global,
    command: impl AsyncFnOnce(&Issuance, &Config) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = Config::load(&global.config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let issuance = open_to_explain(&config, &clock).await?;
        let done = command(&issuance, &config).await;
        issuance.store().close().await?;
        done
    })
}

/// Asks the store something.
fn with_store<T>(
    config: &Config,
    ask: impl AsyncFnOnce(&dyn Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let store = open_store(config)?;
        let done = ask(store.as_ref()).await;
        store.close().await?;
        done
    })
}
