//! Does what the plan says, and waits until its effect is there before the time goes on.

use core::time::Duration;
use std::collections::BTreeMap;

use ca::crl::Reason;
use enroll_server::clock::Clock as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::YearError;
use super::ledger::{Ledger, issuer_of};
use super::plan::{HOUR, Plan, Size, Step};
use super::rollover::Rolling;
use super::site::Site;
use super::time::{Participant, VirtualTime};

/// How long what is revoked may take to be refused, in real time. Aims at a second; this is for a machine that has
/// other things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The hand of fate and of the operator.
pub(super) struct Director {
    pub(super) time: VirtualTime,
    pub(super) who: Participant,
    pub(super) site: Site,
    pub(super) ledger: Ledger,
    /// The power of each device.
    pub(super) power: Vec<watch::Sender<bool>>,
    /// Outages that go on, of server and broker: two may overlap.
    pub(super) outages: [u32; 2],
    /// What waits until the server is back.
    pub(super) put_off: Vec<Step>,
    /// What is still to come, in order.
    pub(super) agenda: BTreeMap<(Duration, usize), Step>,
    pub(super) rolling: Rolling,
}

impl Director {
    /// Carries out the whole plan, up to `end`.
    pub(super) async fn run(&mut self, plan: &Plan, size: &Size) -> Result<(), YearError> {
        let again = (size.report() / 7).max(HOUR);
        for (at, step) in &plan.steps {
            self.later(*at, *step);
        }
        while let Some(((at, _), step)) = self.agenda.pop_first() {
            if at >= size.length {
                break;
            }
            self.go_to(at).await;
            Box::pin(self.perform(step, again)).await?;
        }
        self.go_to(size.length).await;
        Ok(())
    }

    /// Has a step carried out then, after those that are there for the same moment.
    pub(super) fn later(&mut self, at: Duration, step: Step) {
        let place =
            self.agenda.range((at, 0)..=(at, usize::MAX)).next_back().map_or(0, |((_, place), _)| place + 1);
        self.agenda.insert((at, place), step);
    }

    /// Sleeps until then. Is at work whenever the server makes a revocation list, since it does so in real time.
    pub(super) async fn go_to(&self, at: Duration) {
        loop {
            let (now, due) = (self.time.elapsed(), self.site.list_due().unwrap_or(Duration::MAX));
            if due <= now {
                self.who.doing("waiting for the server's next revocation list");
                self.site.next_list(now).await;
            } else if due < at {
                self.who.sleep_until(due).await;
            } else {
                return self.who.sleep_until(at).await;
            }
        }
    }

    /// Carries a step out; what is refused is tried again after `again`.
    async fn perform(&mut self, step: Step, again: Duration) -> Result<(), YearError> {
        tracing::info!(day = self.time.elapsed().as_secs() / 86_400, ?step, "the plan");
        if self.outages[0] > 0 && step.wants_server() {
            self.put_off.push(step);
            return Ok(());
        }
        match step {
            Step::ServerDown => self.server_down().await,
            Step::ServerUp => self.server_up().await?,
            Step::BrokerDown => self.broker_down().await,
            Step::BrokerUp => self.broker_up().await?,
            Step::RenewServer => {
                self.site.renew_server_certificate().await?;
                self.server_down().await;
                self.server_up().await?;
            }
            Step::RenewBroker => {
                self.site.renew_broker_certificate().await?;
                self.broker_down().await;
                self.broker_up().await?;
            }
            Step::Revoke(device) => self.revoke(device).await?,
            Step::SwitchOff(device) => self.switch(device, false).await,
            Step::SwitchOn(device) => self.switch(device, true).await,
            Step::TellThroughBroker => self.tell_through_broker().await?,
            Step::Renew(device) => self.renew(Some(device)).await?,
            Step::RenewAll => self.renew(None).await?,
            Step::StartRollover => self.start_rollover().await?,
            Step::SwitchCa => self.switch_ca(again).await?,
            Step::RetireCa => self.retire_ca(again).await?,
        }
        Ok(())
    }

    pub(super) async fn server_down(&mut self) {
        self.outages[0] += 1;
        self.who.doing("stopping the server");
        self.ledger.with(|book, now| book.server_down.begin(now));
        self.site.stop_server().await;
    }

    pub(super) async fn server_up(&mut self) -> Result<(), YearError> {
        self.outages[0] = self.outages[0].saturating_sub(1);
        if self.outages[0] > 0 {
            return Ok(());
        }
        self.who.doing("starting the server");
        self.site.start_server().await?;
        self.ledger.with(|book, now| book.server_down.end(now));
        let now = self.time.elapsed();
        for step in core::mem::take(&mut self.put_off) {
            self.later(now, step);
        }
        Ok(())
    }

    async fn broker_down(&mut self) {
        self.outages[1] += 1;
        self.who.doing("stopping the broker");
        self.ledger.with(|book, now| book.broker_down.begin(now));
        self.site.stop_broker().await;
        self.who.doing("waiting until all devices know that the broker is gone");
        self.ledger.until(|book| book.devices.iter().all(|entry| !entry.online)).await;
    }

    async fn broker_up(&mut self) -> Result<(), YearError> {
        self.outages[1] = self.outages[1].saturating_sub(1);
        if self.outages[1] > 0 {
            return Ok(());
        }
        self.who.doing("starting the broker");
        self.site.start_broker().await?;
        self.ledger.with(|book, now| book.broker_down.end(now));
        Ok(())
    }

    async fn switch(&self, device: usize, on: bool) {
        self.who.doing(if on { "waiting until a device starts" } else { "waiting until a device is off" });
        let Some(power) = self.power.get(device) else { return };
        let boots = self.ledger.read(|book| book.devices.get(device).map_or(0, |entry| entry.boots));
        power.send_replace(on);
        let done = |book: &super::ledger::Book| {
            let Some(entry) = book.devices.get(device) else { return true };
            let settled = if on { entry.boots > boots } else { entry.off.is_open() };
            settled || entry.ended.is_some()
        };
        self.ledger.until(done).await;
    }

    /// Revokes a device, and sees to it that the broker has it no more, and will not have it.
    async fn revoke(&self, device: usize) -> Result<(), YearError> {
        self.who.doing("revoking a device");
        let (Some(admin), Some(id)) = (self.site.admin(), self.site.lot.devices.get(device)) else {
            return Ok(());
        };
        let begun = Instant::now();
        admin.revoke(id, Reason::KeyCompromise).await?;
        self.ledger.entry(device, |entry, now| entry.revoked = Some(now));
        let Some(broker) = self.site.broker() else { return Ok(()) };
        // Those that have ended are refused for that, and are not on the list for ever; those of a CA that was retired
        // are refused for that, and its list is out no more.
        let retired = self.ledger.read(|book| book.retired.as_ref().map(|(name, _)| name.clone()));
        let is_retired = |der: &[u8]| retired.as_ref().is_some_and(|name| issuer_of(der) == *name);
        let good = admin.certificates(Some(id)).await?.into_iter().filter(|known| {
            known.not_after > self.time.now() && !known.der.as_deref().is_some_and(is_retired)
        });
        let serials: Vec<_> = good.map(|known| known.serial).collect();
        self.who.doing("waiting until the broker refuses a revoked device");
        let known = async {
            while !serials.iter().all(|serial| broker.refuses(serial.as_bytes())) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            self.ledger.until(|book| book.devices.get(device).is_none_or(|entry| !entry.online)).await;
        };
        if timeout(PATIENCE, known).await.is_ok() {
            let took = begun.elapsed();
            self.ledger.with(|book, _| book.longest_cut = book.longest_cut.max(took));
        } else {
            let patience = PATIENCE.as_secs();
            self.ledger.violation(format!(
                "{id}: was revoked, and the broker knows nothing of it after {patience} s"
            ));
        }
        Ok(())
    }
}
