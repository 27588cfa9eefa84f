//! Virtual time: it stands still while anybody works, and jumps to the next wake-up when everybody sleeps.
//!
//! Whoever takes part holds a [`Participant`]. A participant is at work, which holds the clock, until it sleeps. The
//! sleeps of all are kept in one queue; the moment the last one at work falls asleep, the clock moves to the earliest
//! wake-up. A participant that is dropped takes no part any more.
//!
//! What has its own timers (sockets, the server's own tasks) runs in real time and does not move this clock: whoever
//! causes something there stays at work until its effect is seen.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enroll_server::clock::Clock;
use shared::UnixTime;

/// The clock of a simulation. Clones are the same clock.
#[derive(Clone)]
pub struct VirtualTime {
    begin: UnixTime,
    state: Arc<Mutex<State>>,
}

/// Whoever is at work or asleep, by number.
#[derive(Default)]
struct State {
    now: Duration,
    members: u64,
    at_work: BTreeMap<u64, Member>,
    asleep: BTreeMap<(Duration, u64), (Member, Waker)>,
    steps: u64,
}

#[derive(Clone)]
struct Member {
    name: Arc<str>,
    doing: &'static str,
}

impl VirtualTime {
    /// A clock that stands at `begin`.
    #[must_use]
    pub fn new(begin: UnixTime) -> Self {
        Self { begin, state: Arc::default() }
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().now
    }

    /// The moment that lies `elapsed` after the beginning.
    #[must_use]
    pub const fn at(&self, elapsed: Duration) -> UnixTime {
        self.begin.after(elapsed)
    }

    /// How long after the beginning `at` lies; zero where it lies before.
    #[must_use]
    pub const fn elapsed_at(&self, at: UnixTime) -> Duration {
        at.since(self.begin)
    }

    /// Somebody who takes part from now on, and is at work.
    #[must_use]
    pub fn join(&self, name: &str) -> Participant {
        let mut state = self.lock();
        state.members += 1;
        let id = state.members;
        state.at_work.insert(id, Member { name: name.into(), doing: "beginning" });
        Participant { time: self.clone(), id }
    }

    /// A number that rises as long as anything moves: the clock, or somebody at work.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Who holds the clock, and by what.
    #[must_use]
    pub fn holders(&self) -> Vec<String> {
        self.lock().at_work.values().map(|member| format!("{} ({})", member.name, member.doing)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked here left nothing half done: each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualTime {
    fn now(&self) -> UnixTime {
        self.begin.after(self.elapsed())
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTime").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

impl State {
    /// Moves to the earliest wake-up where nobody is at work, and wakes all whose time has come.
    fn advance(&mut self) {
        if !self.at_work.is_empty() {
            return;
        }
        let Some((&(earliest, _), _)) = self.asleep.first_key_value() else { return };
        self.now = self.now.max(earliest);
        self.steps += 1;
        while let Some(entry) = self.asleep.first_entry() {
            let (at, id) = *entry.key();
            if at > self.now {
                break;
            }
            let (member, waker) = entry.remove();
            self.at_work.insert(id, member);
            waker.wake();
        }
    }
}

/// Somebody who takes part. Has one sleep at a time.
#[derive(Debug)]
pub struct Participant {
    time: VirtualTime,
    id: u64,
}

impl Participant {
    /// The clock.
    #[must_use]
    pub const fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// Says what is being done, for whoever wonders why the clock stands still.
    pub fn doing(&self, what: &'static str) {
        let mut state = self.time.lock();
        state.steps += 1;
        if let Some(member) = state.at_work.get_mut(&self.id) {
            member.doing = what;
        }
    }

    /// Sleeps until the clock stands `until` after the beginning.
    pub const fn sleep_until(&self, until: Duration) -> Sleep<'_> {
        Sleep { who: self, until, asleep: false }
    }

    /// Sleeps so long.
    pub fn sleep(&self, duration: Duration) -> Sleep<'_> {
        self.sleep_until(self.time.elapsed().saturating_add(duration))
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let mut state = self.time.lock();
        if state.at_work.remove(&self.id).is_some() {
            state.advance();
        }
    }
}

/// A sleep; see [`Participant::sleep_until`]. Whoever drops it half-way is at work again.
#[derive(Debug)]
#[must_use = "nobody sleeps who does not await it"]
pub struct Sleep<'p> {
    who: &'p Participant,
    until: Duration,
    asleep: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let key = (self.until, self.who.id);
        let mut state = self.who.time.lock();
        if self.asleep {
            return match state.asleep.get_mut(&key) {
                Some((_, waker)) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                None => {
                    drop(state);
                    self.asleep = false;
                    Poll::Ready(())
                }
            };
        }
        if self.until <= state.now {
            return Poll::Ready(());
        }
        let Some(member) = state.at_work.remove(&self.who.id) else {
            // Asleep elsewhere already: a participant has one sleep at a time.
            return Poll::Pending;
        };
        state.asleep.insert(key, (member, context.waker().clone()));
        state.advance();
        let over = !state.asleep.contains_key(&key);
        drop(state);
        self.asleep = !over;
        if over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if self.asleep {
            let mut state = self.who.time.lock();
            if let Some((member, _)) = state.asleep.remove(&(self.until, self.who.id)) {
                state.at_work.insert(self.who.id, member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VirtualTime;
    use core::future::pending;
    use core::time::Duration;
    use enroll_server::clock::Clock as _;
    use shared::UnixTime;
    use std::sync::{Arc, Mutex};

    const BEGIN: UnixTime = UnixTime::from_secs(1_000_000);

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    #[tokio::test]
    async fn the_clock_jumps_when_all_sleep_and_wakes_them_in_order() {
        let time = VirtualTime::new(BEGIN);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let director = time.join("director");
        let tasks = [3, 1, 2].map(|number| {
            let (who, woken) = (time.join("device"), Arc::clone(&woken));
            tokio::spawn(async move {
                who.sleep(days(number * 100)).await;
                woken.lock().unwrap().push((number, who.time().elapsed()));
            })
        });
        tokio::task::yield_now().await;
        assert_eq!(time.elapsed(), Duration::ZERO, "the director is at work");
        director.sleep(days(1000)).await;
        for task in tasks {
            task.await.unwrap();
        }
        let expected = [(1, days(100)), (2, days(200)), (3, days(300))];
        assert_eq!(*woken.lock().unwrap(), expected);
        assert_eq!(time.now(), BEGIN.after(days(1000)));
    }

    #[tokio::test]
    async fn who_gives_up_a_sleep_is_at_work_again_and_holds_the_clock() {
        let time = VirtualTime::new(BEGIN);
        let (device, director) = (time.join("device"), time.join("director"));
        tokio::select! {
            biased;
            () = device.sleep(days(1)) => unreachable!("the director is at work"),
            () = core::future::ready(()) => {}
        }
        device.doing("answering");
        director.doing("waiting for an effect");
        tokio::select! {
            biased;
            () = director.sleep(days(1)) => unreachable!("the device is at work"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(time.holders(), ["device (answering)", "director (waiting for an effect)"]);
        drop(director);
        device.sleep(days(2)).await;
        assert_eq!(time.elapsed(), days(2));
    }

    #[tokio::test]
    async fn who_leaves_does_not_hold_the_clock_whether_at_work_or_asleep() {
        let time = VirtualTime::new(BEGIN);
        let (gone, left) = (time.join("gone"), time.join("left"));
        let asleep = tokio::spawn({
            let time = time.clone();
            async move {
                let who = time.join("cut");
                tokio::select! {
                    () = who.sleep(days(5)) => {}
                    () = pending() => {}
                }
            }
        });
        tokio::task::yield_now().await;
        asleep.abort();
        assert!(asleep.await.is_err());
        drop(gone);
        left.sleep(days(9)).await;
        assert_eq!(time.elapsed(), days(9), "and nobody woke at day 5");
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_no_sleep() {
        let time = VirtualTime::new(BEGIN);
        let who = time.join("device");
        who.sleep(days(2)).await;
        who.sleep_until(days(1)).await;
        assert_eq!((time.elapsed(), time.elapsed_at(BEGIN.after(days(2)))), (days(2), days(2)));
    }
}
