//! Virtual time and everything that waits for it, on one thread: what happens next is the seed's doing and nothing else's.

use core::cell::RefCell;
use core::fmt::Display;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use firmware_sim::chance::Dice;
use sha2::{Digest as _, Sha256};

/// What all parts of a simulation share. Clones are the same.
#[derive(Clone)]
pub(super) struct Sim(Rc<RefCell<State>>);

struct State {
    now: Duration,
    timers: BTreeSet<Duration>,
    dice: Dice,
    trace: Sha256,
    told: u64,
    /// Prints each event: the seed is being looked at.
    verbose: bool,
}

impl Sim {
    pub(super) fn new(seed: u64, verbose: bool) -> Self {
        let (dice, trace) = (Dice::new(seed, "simulation", 0), Sha256::new());
        let (now, timers, told) = (Duration::ZERO, BTreeSet::new(), 0);
        Self(Rc::new(RefCell::new(State { now, timers, dice, trace, told, verbose })))
    }

    /// Time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.0.borrow().now
    }

    /// Draws by the seed.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.0.borrow_mut().dice)
    }

    /// Between nothing and just below `most`, to the millisecond.
    pub(super) fn some(&self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).expect("days");
        Duration::from_millis(self.draw(|dice| dice.below(millis)))
    }

    /// Notes that something happened, as what the same seed gives again: no bytes that come from the system's random
    /// generator, as serial numbers do.
    pub(super) fn tell(&self, who: impl Display, what: impl Display) {
        let mut state = self.0.borrow_mut();
        let line = format!("{} {who}: {what}\n", state.now.as_millis());
        state.trace.update(line.as_bytes());
        state.told += 1;
        if state.verbose {
            #[expect(clippy::print_stdout, reason = "somebody looks at this seed")]
            {
                print!("{line}");
            }
        }
    }

    /// How many events there were, and the SHA-256 over all of them.
    pub(super) fn trace(&self) -> (u64, String) {
        let state = self.0.borrow();
        (state.told, hex::encode(state.trace.clone().finalize()))
    }

    /// Somebody wants to be looked after then.
    pub(super) fn wake_at(&self, at: Duration) {
        self.0.borrow_mut().timers.insert(at);
    }

    /// Waits until then.
    pub(super) async fn sleep_until(&self, until: Duration) {
        poll_fn(|_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            self.wake_at(until);
            Poll::Pending
        })
        .await;
    }

    /// Waits so long.
    pub(super) async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now().saturating_add(time)).await;
    }

    /// Moves to the next moment for which somebody waits. `false` where that lies beyond `end`.
    pub(super) fn advance(&self, end: Duration) -> bool {
        let mut state = self.0.borrow_mut();
        let now = state.now;
        state.timers.retain(|at| *at > now);
        match state.timers.pop_first() {
            Some(next) if next <= end => {
                state.now = next;
                true
            }
            _ => false,
        }
    }
}
