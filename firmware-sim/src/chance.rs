//! Chance that a seed decides.

use core::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// A stream of random numbers: the same seed and name give the same numbers again. Good for simulations only:
/// whoever knows the seed knows every key.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha20Rng);

impl Dice {
    /// The stream called `name`, with `number`, of a seed.
    #[must_use]
    pub fn new(seed: u64, name: &str, number: u64) -> Self {
        let hash = Sha256::new()
            .chain_update(seed.to_be_bytes())
            .chain_update(name)
            .chain_update(number.to_be_bytes())
            .finalize();
        Self(ChaCha20Rng::from_seed(hash.into()))
    }

    /// From 0 to just below `bound`, evenly; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: the bias is below bound / 2^64.
        u64::try_from((u128::from(bound) * u128::from(self.0.next_u64())) >> 64).unwrap_or(0)
    }

    /// From `least` to just below `most`, to the second; `least` where there is nothing between.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least.saturating_add(Duration::from_secs(self.below(most.saturating_sub(least).as_secs())))
    }

    /// Whether something comes about that does so in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// So many of the numbers below `bound`, each once, in any order; all of them where there are fewer.
    pub fn choose(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !all.is_empty() {
            let place = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
            chosen.push(all.swap_remove(place));
        }
        chosen
    }
}

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl CryptoRng for Dice {}

#[cfg(test)]
mod tests {
    use super::Dice;
    use core::time::Duration;
    use rand_core::RngCore as _;

    #[test]
    fn a_seed_gives_the_same_again_and_names_and_numbers_do_not_mix() {
        let first = |seed, name, number| Dice::new(seed, name, number).next_u64();
        assert_eq!(first(1, "plan", 0), first(1, "plan", 0));
        for other in [first(2, "plan", 0), first(1, "device", 0), first(1, "plan", 1)] {
            assert_ne!(first(1, "plan", 0), other);
        }
    }

    #[test]
    fn what_is_drawn_stays_within_its_bounds() {
        let mut dice = Dice::new(7, "test", 0);
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(12));
        for _ in 0..100 {
            assert!(dice.below(3) < 3);
            assert!((least..most).contains(&dice.between(least, most)));
        }
        assert_eq!((dice.below(0), dice.between(most, least)), (0, most));
        assert!(!dice.chance(0) && dice.chance(100));
        let mut chosen = dice.choose(5, 5);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4]);
        assert_eq!(dice.choose(9, 2).len(), 2);
    }
}
