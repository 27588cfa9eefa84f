//! Devices that are refused again and again.
//!
//! Anyone on the network can be refused in anyone's name, as often as they like. So the memory is one table of
//! a fixed size, only devices that the inventory knows get a row in the trail, and of those so many an hour. A
//! flood of names drives the quiet ones out of the table first: those that were refused most often stay.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared::{DeviceId, Reject, UnixTime};

use super::{EventKind, QUIET};
use crate::store::{NewEvent, Store, StoreError};

/// How many refusals are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many refusals of one device...
    pub refusals: u32,
    /// ...within this time are an event.
    pub within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { refusals: 5, within: Duration::from_secs(3_600) }
    }
}

/// Most devices that are counted at once.
const DEVICES: usize = 4_096;
/// Most devices that wait to be written.
const WAITING: usize = 256;
/// Most rows an hour, over all devices.
const ROWS: u32 = 100;

/// Counts refusals by device.
#[derive(Debug)]
pub struct Repeated {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    // Keyed by a random hash, so that nobody can choose names that collide.
    counts: HashMap<DeviceId, Count>,
    waiting: Vec<Raised>,
    hour: UnixTime,
    rows: u32,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: UnixTime,
    refusals: u32,
    /// This window's event was raised.
    raised: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Raised {
    at: UnixTime,
    device: DeviceId,
    refusals: u32,
    last: Reject,
}

impl Repeated {
    /// Counts nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Counts a refusal in the name of `device`. Faults of the server do not count.
    pub fn count(&self, device: &DeviceId, reject: Reject, now: UnixTime) {
        if reject.http_status() >= 500 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let within = self.limits.within;
        let ended = |count: &Count| now >= count.since.after(within) || now < count.since;
        if !state.counts.contains_key(device) && state.counts.len() >= DEVICES {
            make_room(&mut state.counts, ended);
        }
        let begin = Count { since: now, refusals: 0, raised: false };
        let count = state.counts.entry(device.clone()).or_insert(begin);
        if ended(count) {
            *count = begin;
        }
        count.refusals = count.refusals.saturating_add(1);
        if count.raised || count.refusals < self.limits.refusals {
            return;
        }
        count.raised = true;
        let raised = Raised { at: now, device: device.clone(), refusals: count.refusals, last: reject };
        if state.waiting.len() < WAITING {
            state.waiting.push(raised);
        }
    }

    /// Writes what was raised to the trail: devices of the inventory only, each once in a while.
    ///
    /// # Errors
    /// Where the store fails; what was not written is written the next time.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut waiting = core::mem::take(&mut self.lock().waiting);
        while let Some(raised) = waiting.pop() {
            if let Err(error) = self.write_one(store, &raised).await {
                waiting.push(raised);
                let mut state = self.lock();
                state.waiting.extend(waiting);
                state.waiting.truncate(WAITING);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_one(&self, store: &dyn Store, raised: &Raised) -> Result<(), StoreError> {
        if store.device(&raised.device).await?.is_none() || !self.has_room(raised.at) {
            return Ok(());
        }
        let Raised { at, device, refusals, last } = raised;
        let within = self.limits.within.as_secs();
        let detail = format!("{refusals} requests in its name within {within} s; the last: {last}");
        let event =
            NewEvent::new(*at, EventKind::RepeatedRefusals, detail).about(device).because(last.name());
        store.add_event(event.by(super::Actor::Device), QUIET.max(self.limits.within)).await
    }

    fn has_room(&self, now: UnixTime) -> bool {
        let mut state = self.lock();
        if now >= state.hour.after(Duration::from_secs(3_600)) || now < state.hour {
            (state.hour, state.rows) = (now, 0);
        }
        state.rows = state.rows.saturating_add(1);
        if state.rows == ROWS + 1 {
            tracing::warn!(
                rows = ROWS,
                "more devices are refused again and again than the trail takes an hour"
            );
        }
        state.rows <= ROWS
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops what is over; where nothing is, the half that was refused least.
fn make_room(counts: &mut HashMap<DeviceId, Count>, ended: impl Fn(&Count) -> bool) {
    counts.retain(|_, count| !ended(count));
    if counts.len() < DEVICES {
        return;
    }
    let mut refusals: Vec<u32> = counts.values().map(|count| count.refusals).collect();
    refusals.sort_unstable();
    let median = refusals.get(DEVICES / 2).copied().unwrap_or(u32::MAX);
    let mut spare = DEVICES / 2;
    counts.retain(|_, count| {
        let goes = spare > 0 && count.refusals <= median;
        spare -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::{DEVICES, Limits, Repeated, WAITING};
    use core::time::Duration;
    use shared::{DeviceId, Reject, UnixTime};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn id(n: usize) -> DeviceId {
        DeviceId::new(&format!("SN-{n}")).unwrap()
    }

    fn counter() -> Repeated {
        Repeated::new(Limits { refusals: 3, within: Duration::from_secs(600) })
    }

    fn raised(repeated: &Repeated) -> usize {
        repeated.lock().waiting.len()
    }

    #[test]
    fn so_many_within_the_window_are_one_event() {
        let repeated = counter();
        for seconds in [0, 1, 2, 3, 4] {
            repeated.count(&id(1), Reject::DebugOpen, NOW.after(Duration::from_secs(seconds)));
        }
        assert_eq!(raised(&repeated), 1);
        let later = NOW.after(Duration::from_secs(600));
        repeated.count(&id(1), Reject::DebugOpen, later);
        repeated.count(&id(1), Reject::DebugOpen, later);
        assert_eq!(raised(&repeated), 1, "the window began anew");
        repeated.count(&id(1), Reject::DebugOpen, later);
        assert_eq!(raised(&repeated), 2);
    }

    #[test]
    fn slow_refusals_and_the_servers_own_faults_are_none() {
        let repeated = counter();
        for n in 0..10 {
            repeated.count(&id(1), Reject::DebugOpen, NOW.after(Duration::from_secs(301 * n)));
            repeated.count(&id(2), Reject::Unavailable, NOW);
        }
        assert_eq!(raised(&repeated), 0);
    }

    #[test]
    fn a_flood_of_names_takes_no_memory_and_hides_no_device_that_is_refused_more_often() {
        let repeated = counter();
        repeated.count(&id(0), Reject::DebugOpen, NOW);
        repeated.count(&id(0), Reject::DebugOpen, NOW);
        for n in 1..100_000 {
            repeated.count(&id(n), Reject::DebugOpen, NOW);
            assert!(repeated.lock().counts.len() <= DEVICES);
        }
        repeated.count(&id(0), Reject::DebugOpen, NOW);
        assert_eq!(raised(&repeated), 1);
        for n in 0..10 * WAITING {
            for _ in 0..3 {
                repeated.count(&id(n), Reject::DebugOpen, NOW.after(Duration::from_secs(700)));
            }
        }
        assert_eq!(raised(&repeated), WAITING);
    }

    #[test]
    fn a_clock_that_jumps_back_begins_anew() {
        let repeated = counter();
        repeated.count(&id(1), Reject::DebugOpen, NOW);
        for _ in 0..3 {
            repeated.count(&id(1), Reject::DebugOpen, NOW.before(Duration::from_secs(1_000_000)));
        }
        assert_eq!(raised(&repeated), 1);
    }
}
