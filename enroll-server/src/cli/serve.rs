//! `serve`.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::args::Global;
use super::failure::Failure;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::startup::{Options, Server};
use crate::telemetry::Telemetry;

/// Runs until SIGTERM or SIGINT; SIGHUP has the policies read at once.
pub(super) fn serve(global: &Global) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    let telemetry = Telemetry::start(&config.log, config.traces.as_ref(), runtime.handle().clone())?;
    let options = Options { spans: telemetry.spans(), ..Options::default() };
    let served = runtime.block_on(async {
        // Before the start, so that a signal during it is not lost.
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(Failure::Signals)?;
        let server = Server::start_with(config, Arc::new(SystemClock), options).await?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => server.reload_policies(),
            }
        }
        server.stop().await;
        Ok(())
    });
    telemetry.stop();
    served
}
