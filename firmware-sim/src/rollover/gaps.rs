//! How long each device is without the broker, as the broker sees it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::platform::TransportError;
use tokio::time::Instant;

use crate::broker::{Broker, Ended, Event};
use crate::device::Milestone;

/// Watches the broker.
#[derive(Clone, Debug)]
pub(super) struct Gaps(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    measuring: bool,
    /// Devices whose absence is on purpose.
    away: BTreeSet<String>,
    left: BTreeMap<String, Instant>,
    longest: Duration,
    reconnects: usize,
    failed: usize,
    slow: usize,
    /// By device.
    closed: BTreeMap<String, Closed>,
}

/// Connections of one device that ended without a word. What the router behind the broker ended is its doing, and says
/// nothing of an identity; whether device or broker tells of it first is chance.
#[derive(Debug, Default)]
struct Closed {
    /// As the device tells.
    seen: usize,
    /// As the broker tells.
    by_router: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) longest: Duration,
    pub(super) reconnects: usize,
    /// Logins that were refused, by one side or the other.
    pub(super) failed: usize,
    /// Logins that took longer than a time limit: the machine was busy.
    pub(super) slow: usize,
}

impl Gaps {
    /// Begins to look; `away` are devices whose absence does not count.
    pub(super) fn watch(broker: &Broker, away: BTreeSet<String>) -> Self {
        let gaps = Self(Arc::new(Mutex::new(State { away, ..State::default() })));
        let (mut events, watching) = (broker.events(), gaps.clone());
        tokio::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                match events.recv().await {
                    Ok(Event::Connected(device)) => watching.connected(device.as_str()),
                    Ok(Event::Ended { device: Some(device), why }) => watching.ended(device.as_str(), &why),
                    Ok(Event::Ended { device: None, .. }) => {}
                    // What was missed could have been a gap.
                    Err(RecvError::Lagged(missed)) => {
                        tracing::error!(missed, "events of the broker were missed")
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        gaps
    }

    /// From now on it counts.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.measuring = true;
        state.left.clear();
    }

    /// What was measured until now.
    pub(super) fn end(&self) -> Measured {
        let mut state = self.lock();
        state.measuring = false;
        let unexplained = state.closed.values().map(|closed| closed.seen.saturating_sub(closed.by_router));
        Measured {
            longest: state.longest,
            reconnects: state.reconnects,
            failed: state.failed + unexplained.sum::<usize>(),
            slow: state.slow,
        }
    }

    /// For what devices tell of their own failures.
    pub(super) fn failures(&self) -> Self {
        self.clone()
    }

    /// A device told something.
    pub(super) fn told(&self, device: &str, milestone: &Milestone) {
        let mut state = self.lock();
        if let Milestone::BrokerLost(error) = milestone
            && state.measuring
            && !state.away.contains(device)
        {
            tracing::error!(device, error, "a device lost its broker");
            // A certificate that is not taken shows as its refusal, or as a failed or closed TLS connection.
            let busy = [TransportError::TimedOut, TransportError::Unreachable];
            if busy.iter().any(|busy| busy.to_string() == *error) {
                state.slow += 1;
            } else if TransportError::Closed.to_string() == *error {
                state.closed.entry(device.to_owned()).or_default().seen += 1;
            } else {
                state.failed += 1;
            }
        }
    }

    fn connected(&self, device: &str) {
        let mut state = self.lock();
        let Some(left) = state.left.remove(device) else { return };
        state.reconnects += 1;
        state.longest = state.longest.max(left.elapsed());
    }

    fn ended(&self, device: &str, why: &Ended) {
        let mut state = self.lock();
        if state.measuring && !state.away.contains(device) {
            if *why == Ended::ByRouter {
                state.closed.entry(device.to_owned()).or_default().by_router += 1;
            }
            state.left.entry(device.to_owned()).or_insert_with(Instant::now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
