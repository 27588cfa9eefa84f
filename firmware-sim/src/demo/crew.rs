//! The devices of the demonstration, and what they have reached so far.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::DemoError;
use crate::device::Behaviour;
use crate::fleet::{Fleet, FleetOptions, Tally};
use crate::progress::FleetBars;
use crate::stage::Stage;

/// Devices that run, and a task that counts for them.
#[derive(Debug)]
pub(super) struct Crew {
    fleet: Fleet,
    tally: Arc<Mutex<Tally>>,
    changed: watch::Receiver<u64>,
    bars: Arc<FleetBars>,
}

impl Crew {
    /// Starts all devices of the lot at once.
    pub(super) fn start(stage: &Stage, behaviour: &Behaviour, progress: bool) -> Result<Self, DemoError> {
        let devices = stage.devices()?;
        let tally = Arc::new(Mutex::new(Tally::begin(devices.len(), tokio::time::Instant::now())));
        let bars = Arc::new(FleetBars::new(devices.len(), progress));
        let (fleet, mut told) = Fleet::start(&devices, &FleetOptions::new(*behaviour))?;
        let (count, changed) = watch::channel(0);
        let (counting, showing) = (Arc::clone(&tally), Arc::clone(&bars));
        // Ends with the last device.
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                let mut tally = counting.lock().unwrap_or_else(PoisonError::into_inner);
                tally.take(&told);
                showing.show(&tally);
                drop(tally);
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { fleet, tally, changed, bars })
    }

    /// What was reached so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `enough`; whether that came in time.
    pub(super) async fn wait(&self, patience: Duration, enough: impl Fn(&Tally) -> bool) -> bool {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if enough(&self.tally()) {
                    return true;
                }
                if changed.changed().await.is_err() {
                    return enough(&self.tally());
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or(false)
    }

    /// Waits until the observer has seen telemetry of every device, or every other has given up.
    pub(super) async fn wait_online(&self, stage: &Stage, patience: Duration) -> bool {
        let until = tokio::time::Instant::now() + patience;
        let done = |tally: &Tally| {
            let over = |device: &crate::device::Milestones| device.telemetry > 0 || device.ended.is_some();
            tally.devices().iter().all(over)
        };
        let mut online = self.wait(patience, done).await && self.tally().ended_in_error() == 0;
        let tally = self.tally();
        let publishing =
            tally.devices().iter().zip(&stage.lot.devices).filter(|(device, _)| device.telemetry > 0);
        for (_, id) in publishing {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let left = left.max(Duration::from_millis(100));
            online &= stage.observer.wait(id, left, |seen| seen.telemetry > 0).await.is_ok();
        }
        self.bars.clear();
        online
    }

    /// Stops all devices; whether they ended in time.
    pub(super) async fn finish(self, patience: Duration) -> bool {
        self.fleet.finish(patience).await
    }
}
