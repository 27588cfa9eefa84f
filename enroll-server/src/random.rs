//! Randomness: of pauses and names, where a generator that fails must not stop the work, and of secrets, where it must.

use core::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// The random generator gave no bytes. There is nothing to take in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRandom;

/// Fills `bytes` with such as nobody can foresee.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoRandom> {
    SystemRandom::new().fill(bytes).map_err(|_| NoRandom)
}

/// A secret of so many random bytes, in hexadecimal; `None` where the generator fails.
pub(crate) fn secret(length: usize) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    fill(&mut bytes).ok()?;
    // The whole capacity at once: growing would leave copies of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * length));
    for byte in bytes.iter() {
        text.extend(
            [byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)),
        );
    }
    Some(text)
}

/// A random number. Where the generator fails, the largest: the longest pause.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes).map_or(u64::MAX, |()| u64::from_le_bytes(bytes))
}

/// The part of `whole` that `random` stands for, spread evenly from nothing to all but a millisecond.
pub(crate) fn part(whole: Duration, random: u64) -> Duration {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    // The high half of the product: an even share of the whole.
    let share = u64::try_from((u128::from(millis) * u128::from(random)) >> 64).unwrap_or(millis);
    Duration::from_millis(share)
}

/// The name of one who asks for a lease. Two without randomness would share a name, and a lease: what a lease keeps
/// apart has to bear being done twice.
pub(crate) fn name() -> String {
    let mut bytes = [0; 16];
    if fill(&mut bytes).is_err() {
        tracing::debug!("the random generator failed; a lease is asked for under a common name");
    }
    hex::encode(bytes)
}

/// A generator that fails when a test says so.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Failing {
    drawn: core::sync::atomic::AtomicU64,
    /// Which of the draws fails; 0: none.
    failing: core::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl Failing {
    /// Lets the n-th draw fail from now on; 0: none. Gives how many there were since the last time.
    pub(crate) fn arm(&self, n: u64) -> u64 {
        self.failing.store(n, core::sync::atomic::Ordering::SeqCst);
        self.drawn.swap(0, core::sync::atomic::Ordering::SeqCst)
    }

    pub(crate) fn draw(&self) -> Result<(), NoRandom> {
        let number = self.drawn.fetch_add(1, core::sync::atomic::Ordering::SeqCst) + 1;
        let fails = number == self.failing.load(core::sync::atomic::Ordering::SeqCst);
        if fails { Err(NoRandom) } else { Ok(()) }
    }
}
