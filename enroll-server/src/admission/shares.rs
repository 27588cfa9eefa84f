//! What there is so many of, and who may take how many: whoever proved nothing leaves half of it to those who did.

use core::time::Duration;

use super::{URGENT, runs_out};

/// What is proved of who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rank {
    /// Nothing.
    #[default]
    Unproven,
    /// TLS has proved an LDevID; or a token is asked for before anything else is read.
    Proven,
    /// As `Proven`, and the certificate is about to run out.
    Urgent,
}

impl Rank {
    /// Of a device that has shown its LDevID, which has so much left of its life; zero where it has ended.
    #[must_use]
    pub fn of_ldevid(left: Duration) -> Self {
        if runs_out(Some(left), URGENT) { Self::Urgent } else { Self::Proven }
    }
}

/// How many are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    taken: usize,
    /// Of these by whoever proved nothing.
    unproven: usize,
}

impl Shares {
    /// Takes `count` of `most`, beyond which there are `reserve` for those who cannot wait: all others would take their place
    /// from them. Says whether there were so many.
    pub(super) const fn take(&mut self, rank: Rank, count: usize, most: usize, reserve: usize) -> bool {
        let taken = self.taken.saturating_add(count);
        match rank {
            Rank::Unproven => {
                let unproven = self.unproven.saturating_add(count);
                if taken > most || unproven > most.div_ceil(2) {
                    return false;
                }
                self.unproven = unproven;
            }
            Rank::Proven if taken > most => return false,
            Rank::Urgent if taken > most.saturating_add(reserve) => return false,
            Rank::Proven | Rank::Urgent => {}
        }
        self.taken = taken;
        true
    }

    pub(super) const fn give_back(&mut self, rank: Rank, count: usize) {
        self.taken = self.taken.saturating_sub(count);
        if matches!(rank, Rank::Unproven) {
            self.unproven = self.unproven.saturating_sub(count);
        }
    }

    pub(super) const fn taken(&self) -> usize {
        self.taken
    }
}
