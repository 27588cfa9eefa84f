//! Answers get lost: devices repeat their requests, give up in the middle of one, or send it twice at once. However often,
//! there is one certificate for each intent.
//!
//! Past the network, on the issuance that the server has: to lose an answer is to drop the call, at any of its steps.

use core::time::Duration;
use std::sync::Arc;

use enroll_server::clock::{Clock, SystemClock};
use enroll_server::config::Config;
use enroll_server::failpoint::Hook;
use enroll_server::issuance::{Issuance, Outcome};
use enroll_server::startup::start_at_rest;
use firmware_sim::chance::Dice;
use tokio::task::JoinSet;

use super::database::{Cluster, StoreKind};
use super::fleet::{Fleet, Request};
use super::invariants::{Invariant, Violation, check};
use super::ledger::Ledger;
use super::progress::Progress;
use super::site::StateFolder;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct LostAnswers {
    /// Requests, each for a certificate of its own.
    pub intents: u32,
    /// How many answers to each are lost.
    pub lost: u32,
    /// Seed of the steps at which calls are dropped.
    pub seed: u64,
    /// Plants a store that forgets what it was told.
    pub forgets: bool,
    /// Where the server's database is.
    pub store: StoreKind,
}

/// Devices; each has one request at a time.
const DEVICES: u32 = 32;
/// The latest moment at which a call is dropped, in microseconds.
const WINDOW: u64 = 8_000;

impl LostAnswers {
    /// Loses them. Gives how many were lost.
    ///
    /// # Errors
    /// The first thing that does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self) -> Result<u64, Violation> {
        let cluster = (self.store == StoreKind::Postgres).then(Cluster::start);
        let fleet = Fleet::on(DEVICES, cluster.as_ref());
        let folder = fleet.new_server();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let (ledger, lost) = runtime.block_on(Box::pin(self.serve(&fleet, &folder)))?;
        drop(runtime);
        folder.end_leases();
        let newest =
            ledger.asked.keys().take(8).copied().filter(|_| self.intents <= DEVICES).collect::<Vec<_>>();
        check(&folder.config(), &ledger, 0, &newest)?;
        Ok(lost)
    }

    async fn serve(&self, fleet: &Fleet, folder: &StateFolder) -> Result<(Ledger, u64), Violation> {
        let config = Config::load(&folder.config()).expect("settings");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let at_rest = Box::pin(start_at_rest(&config, &clock, Hook::default())).await.expect("a server");
        let issuance = Arc::new(at_rest.issuance);
        let (mut ledger, mut lost) = (Ledger::default(), 0);
        let (progress, all) = (Progress::new("requests"), u64::from(self.intents));
        let mut left = self.intents;
        while left > 0 {
            progress.at(all - u64::from(left), Some(all));
            let mut wave = JoinSet::new();
            for device in fleet.devices.iter().take(usize::try_from(left).expect("few")) {
                let request = fleet.enrollment(device);
                ledger.asks(&request);
                let dice = Dice::new(self.seed, "lost answers", u64::from(left));
                wave.spawn(insist(Arc::clone(&issuance), request, self.lost, dice));
                left -= 1;
            }
            while let Some(done) = wave.join_next().await {
                let (request, certificate, dropped) = done.expect("no panic")?;
                lost += dropped;
                ledger.answered(&request, 0, certificate.clone())?;
                if self.forgets {
                    folder.forget_certificates();
                }
                // Once more, by a device that has had its answer.
                let again = granted(request.send(&issuance).await, &request)?;
                ledger.answered(&request, 0, again)?;
            }
        }
        issuance.store().close().await.expect("to close the store");
        Ok((ledger, lost))
    }
}

/// Sends a request again and again: so many answers are lost, some while another call for the same is under way.
async fn insist(
    issuance: Arc<Issuance>,
    request: Request,
    lost: u32,
    mut dice: Dice,
) -> Result<(Request, Vec<u8>, u64), Violation> {
    for n in 0..lost {
        let moment = Duration::from_micros(dice.below(WINDOW));
        if n % 4 == 3 {
            let (first, second) =
                tokio::join!(tokio::time::timeout(moment, request.send(&issuance)), request.send(&issuance));
            // Both are lost; that the second one was refused is not.
            let second = granted(second, &request)?;
            if let Ok(first) = first
                && granted(first, &request)? != second
            {
                return Err(Violation::of(Invariant::SameAgain, "two certificates for one request at once"));
            }
        } else {
            let _lost = tokio::time::timeout(moment, request.send(&issuance)).await;
        }
    }
    let certificate = granted(request.send(&issuance).await, &request)?;
    Ok((request, certificate, u64::from(lost)))
}

fn granted(outcome: Result<Outcome, String>, request: &Request) -> Result<Vec<u8>, Violation> {
    match outcome {
        Ok(Outcome::Granted(granted)) => Ok(granted.der().to_vec()),
        other => Err(Violation::of(Invariant::WayForward, format!("{}: {other:?}", request.device))),
    }
}
