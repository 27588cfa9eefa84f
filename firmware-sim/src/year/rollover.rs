//! The rollover of the CA in the course of the year, as an operator carries it out: each step is tried again and again
//! until it is allowed. What the steps are, and when they are, is the enrollment server's affair.

use core::time::Duration;
use std::fs;
use std::sync::Arc;

use enroll_server::clock::Clock as _;
use enroll_server::rollover::{self, NotYet, Order, OrderError, OrderOptions, SignerOptions, Started};
use enroll_server::store::Store;
use shared::UnixTime;
use tokio::time::{Instant, sleep};

use super::YearError;
use super::director::{Director, PATIENCE};
use super::ledger::name_of;
use super::plan::{HOUR, Step};
use super::plant::Plant;
use crate::rollover::{RolloverError, Stranger, servers_moved, start_options};

/// How far it is, and what it met with.
#[derive(Default)]
pub(super) struct Rolling {
    pub(super) started: Option<Started>,
    /// A client certificate by the CA that is replaced.
    pub(super) old: Option<Stranger>,
    /// How often the switch was refused, and how often the retirement.
    pub(super) refused: [u64; 2],
    pub(super) switched: Option<UnixTime>,
    pub(super) retired: Option<UnixTime>,
}

impl Director {
    pub(super) async fn start_rollover(&mut self) -> Result<(), YearError> {
        self.who.doing("starting a rollover of the CA");
        let Some(store) = self.store() else { return Ok(()) };
        let config = &self.site.config;
        let old = Stranger::of(&config.files.issuing_certificate, &config.files.issuing_key)?;
        let ports = self.site.ports();
        if old.taken(&ports).await != ports.len() {
            self.ledger.violation("the CA in force is not trusted by server and broker".into());
        }
        let options = start_options();
        let started = rollover::start(config, store.as_ref(), &options, self.time.now());
        let started = started.await.map_err(RolloverError::from)?;
        let folder = started.folder.clone().unwrap_or_default();
        let new = Stranger::of(&folder.join("issuing-ca.crt"), &folder.join("issuing-ca.key"))?;
        self.rolling.started = Some(started);
        self.rolling.old = Some(old);
        self.published(store.as_ref()).await?;
        self.seen("that server and broker know the new CA", async || new.taken(&ports).await == ports.len())
            .await;
        Ok(())
    }

    pub(super) async fn switch_ca(&mut self, again: Duration) -> Result<(), YearError> {
        self.who.doing("having the new CA sign");
        let (Some(store), Some(started)) = (self.store(), self.rolling.started.clone()) else {
            return Ok(());
        };
        let now = self.time.elapsed();
        if let Err(why) = self.order(store.as_ref(), Order::Switch, false).await? {
            tracing::info!(%why, "the switch to the new CA is refused");
            self.rolling.refused[0] += 1;
            self.later(now + again, Step::SwitchCa);
            return Ok(());
        }
        let bundle = started.bundle.unwrap_or(0);
        self.nobody_is_left(|entry| entry.reported < bundle, "did not report that it trusts the new CA");
        self.rolling.switched = Some(self.time.now());
        let (config, issuing) = (&self.site.config, &started.plan.issuing);
        self.seen("a new certificate for server and broker", async || servers_moved(config, issuing)).await;
        // All have certificates of the old CA: refused for certain.
        self.later(now, Step::RetireCa);
        self.later(now + HOUR, Step::RenewAll);
        Ok(())
    }

    pub(super) async fn retire_ca(&mut self, again: Duration) -> Result<(), YearError> {
        self.who.doing("giving the old CA up");
        let (Some(store), Some(started)) = (self.store(), self.rolling.started.clone()) else {
            return Ok(());
        };
        let (now, force) = (self.time.elapsed(), self.site.plant == Some(Plant::ForcesRetirement));
        if let Err(why) = self.order(store.as_ref(), Order::Retire, force).await? {
            tracing::info!(%why, "the retirement of the old CA is refused");
            self.rolling.refused[1] += 1;
            self.later(now + again, Step::RetireCa);
            return Ok(());
        }
        self.rolling.retired = Some(self.time.now());
        let (old, new) = (name_of(started.plan.old_issuing.der()), name_of(started.plan.issuing.der()));
        self.ledger.with(|book, now| book.retired = Some((old, now)));
        self.nobody_is_left(|entry| entry.issuer != new, "has no certificate of another CA");
        self.published(store.as_ref()).await?;
        let (ports, old) = (self.site.ports(), self.rolling.old.as_ref());
        self.seen("that nobody takes the retired CA", async || match old {
            Some(old) => old.taken(&ports).await == 0,
            None => true,
        })
        .await;
        Ok(())
    }

    /// The store, while the server runs.
    pub(super) fn store(&self) -> Option<Arc<dyn Store>> {
        self.site.admin().map(|admin| Arc::clone(admin.store()))
    }

    async fn order(
        &self,
        store: &dyn Store,
        order: Order,
        force: bool,
    ) -> Result<Result<(), NotYet>, YearError> {
        let options = OrderOptions { order, force, signer: SignerOptions::default() };
        match rollover::take(&self.site.config, store, &options, self.time.now()).await {
            Ok(_left_behind) => Ok(Ok(())),
            Err(OrderError::NotYet(why)) => Ok(Err(why)),
            Err(error) => Err(RolloverError::from(error).into()),
        }
    }

    /// A step was taken: what the devices themselves told must allow it.
    fn nobody_is_left(&self, is_left: impl Fn(&super::ledger::Entry) -> bool, what: &str) {
        let now = self.time.elapsed();
        let left: Vec<String> = self.ledger.read(|book| {
            let living = book.devices.iter().filter(|entry| entry.lives(now));
            living.filter(|entry| is_left(entry)).map(|entry| entry.id.clone()).collect()
        });
        for id in left {
            self.ledger.violation(format!("{id}: {what}, and a step of the rollover was taken"));
        }
    }

    /// Waits until the server has put out what the store says.
    async fn published(&self, store: &dyn Store) -> Result<(), YearError> {
        let newest = store.trust_bundles().await?.pop().unwrap_or_default();
        let path = &self.site.config.files.trust_bundle;
        let out = async || fs::read(path).is_ok_and(|found| found == newest);
        self.seen("the next trust bundle", out).await;
        Ok(())
    }

    /// Waits, in real time, for what others do in real time.
    async fn seen(&self, what: &str, is_there: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_there().await {
            if begun.elapsed() > PATIENCE {
                self.ledger.violation(format!("{what} did not come within {} s", PATIENCE.as_secs()));
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
