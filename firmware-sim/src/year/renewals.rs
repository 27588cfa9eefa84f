//! Renewals that an operator wants, and devices that are told through their broker.

use core::time::Duration;

use enroll_server::store::{Page, Selection, Turns};
use tokio::time::{Instant, timeout};

use super::YearError;
use super::director::{Director, PATIENCE};
use super::plan::MINUTE;
use super::plant::Plant;

/// How long devices may take to hear, in real time, before the clock goes on a little: who cannot be told now is told
/// later by that clock.
const AT_ONCE: Duration = Duration::from_millis(700);

impl Director {
    /// Has the server started again, with its place at the broker.
    pub(super) async fn tell_through_broker(&mut self) -> Result<(), YearError> {
        self.site.config.mqtt = self.site.mqtt.take();
        self.server_down().await;
        self.server_up().await
    }

    /// Wants a renewal of one device, or of all.
    pub(super) async fn renew(&self, device: Option<usize>) -> Result<(), YearError> {
        self.who.doing("wanting renewals");
        let Some(admin) = self.site.admin() else { return Ok(()) };
        let one = device.and_then(|number| self.site.lot.devices.get(number));
        let selection = one.map_or(Selection::All, |id| Selection::One(id.clone()));
        let turns = Turns { begin: admin.now(), before: 0, rate: None };
        let everybody = || Page::first(u32::try_from(self.site.lot.devices.len()).unwrap_or(u32::MAX));
        admin.want_renewals(selection.clone(), turns, everybody()).await?;
        let wanted = admin.wanted_renewals(Some(selection.clone()), everybody()).await?;
        self.ledger.with(|book, now| {
            for wanted in &wanted.renewals {
                book.want(wanted.device.as_str(), now);
            }
        });
        if self.site.plant == Some(Plant::ForgetsWantedRenewals) {
            admin.unwant_renewals(selection, everybody()).await?;
            return Ok(());
        }
        if self.site.config.mqtt.is_some() && self.site.broker().is_some() {
            self.told().await;
        }
        Ok(())
    }

    /// Waits until all that are at the broker have heard. Who does not in time hears with its next answer.
    async fn told(&self) {
        self.who.doing("waiting until devices hear what is wanted of them");
        let begun = Instant::now();
        let heard = |book: &super::ledger::Book| book.devices.iter().all(|entry| !entry.is_to_be_told());
        while timeout(AT_ONCE, self.ledger.until(heard)).await.is_err() && begun.elapsed() < PATIENCE {
            self.go_to(self.time.elapsed() + MINUTE).await;
            self.who.doing("waiting until devices hear what is wanted of them");
        }
    }
}
