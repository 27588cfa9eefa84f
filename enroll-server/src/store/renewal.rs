//! Renewals that an operator wants: who wants them of whom, whose turn it is to be told, and what became of it.
//!
//! What is wanted is durable, and ends when a newer certificate of the device is: not when somebody was told.

use core::num::NonZeroU32;
use core::time::Duration;

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use super::{Lease, Page, Reply, Selection};
use crate::written::{OptionalText, Text};

/// The store as those see it who want renewals, and those who tell devices of them.
///
/// To implement: as for [`Store`](super::Store).
pub trait Renewals: Send + Sync {
    /// Wants a renewal of each device in one page of a selection that has a certificate; each gets its turn.
    /// One that is wanted already gets a new turn.
    fn want_renewals(
        &self,
        selection: Selection,
        turns: Turns,
        page: Page,
        now: UnixTime,
    ) -> Reply<'_, Wanted>;

    /// Wants no renewal any more of the devices in one page of a selection.
    fn unwant_renewals(&self, selection: Selection, page: Page, now: UnixTime) -> Reply<'_, Wanted>;

    /// One page of the renewals that are wanted, by device; all, or those of a selection.
    fn wanted_renewals(&self, selection: Option<Selection>, page: Page) -> Reply<'_, WantedPage>;

    /// How many renewals are wanted, and how many of these devices were not told yet.
    fn count_wanted_renewals(&self) -> Reply<'_, WantedCounts>;

    /// Takes the lease of a name, or makes one's own longer. `false` while another owner has it.
    fn lease_work(&self, name: &'static str, lease: Lease, now: UnixTime) -> Reply<'_, bool>;

    /// Gives the lease back.
    fn release_work(&self, name: &'static str, owner: String) -> Reply<'_, ()>;

    /// Devices that are due to be told, the longest due first, `limit` at most.
    fn due_renewals(&self, now: UnixTime, limit: u32) -> Reply<'_, Vec<DueRenewal>>;

    /// Notes what became of telling devices, as far as the renewals are still wanted.
    fn note_told(&self, told: Vec<Told>, now: UnixTime) -> Reply<'_, ()>;

    /// These devices are at their brokers: the ones that are wanted and whose turn has come are due at once, unless
    /// they were told a moment ago.
    fn devices_online(&self, devices: Vec<DeviceId>, now: UnixTime) -> Reply<'_, usize>;
}

/// How soon a device that was told is not told again because it comes online: to come online is what it does in a
/// renewal.
pub const TOLD_QUIET: Duration = Duration::from_secs(60);

/// When the devices of a selection get their turns: evenly, at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// When the first gets its.
    pub begin: UnixTime,
    /// How many devices of the selection come before this page.
    pub before: u64,
    /// How fast; `None`: all at once.
    pub rate: Option<Rate>,
}

impl Turns {
    /// The turn of the device that comes after `index` others of the same page.
    #[must_use]
    pub fn of(&self, index: u64) -> UnixTime {
        let place = self.before.saturating_add(index);
        self.rate.map_or(self.begin, |rate| self.begin.after(rate.after(place)))
    }
}

/// So many devices in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Per,
}

/// The time of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// Highest number in a rate.
const MAX_RATE: u32 = 1_000_000;

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 1 to {MAX_RATE} per second, minute or hour, such as 5/s, 300/m or 1000/h")]
pub struct RateError;

impl Rate {
    /// So many in a minute.
    #[must_use]
    pub const fn per_minute(count: NonZeroU32) -> Self {
        Self { count, per: Per::Minute }
    }

    /// So many in this time: by the second where that is ten or more, else by the hour.
    #[must_use]
    pub fn of(count: u64, within: Duration) -> Self {
        let seconds = u128::from(within.as_secs().max(1));
        let in_a = |period: u128| (u128::from(count) * period).div_ceil(seconds);
        let (count, per) = if in_a(1) >= 10 { (in_a(1), Per::Second) } else { (in_a(3_600), Per::Hour) };
        let count = u32::try_from(count).unwrap_or(MAX_RATE).min(MAX_RATE);
        Self { count: NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN), per }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// In which time.
    #[must_use]
    pub const fn period(self) -> Duration {
        Duration::from_secs(match self.per {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3_600,
        })
    }

    /// How long after the first the device with so many before it gets its turn.
    fn after(self, place: u64) -> Duration {
        Duration::from_secs(place.saturating_mul(self.period().as_secs()) / u64::from(self.count.get()))
    }
}

impl core::str::FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, per) = text.split_once('/').ok_or(RateError)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(RateError),
        };
        // No sign, no space, no zero in front: `parse` alone would take "+5" and "05".
        let digits = !count.starts_with('0') && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|count| digits && *count <= MAX_RATE);
        Ok(Self { count: count.and_then(NonZeroU32::new).ok_or(RateError)?, per })
    }
}

impl core::fmt::Display for Rate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let per = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{per}", self.count)
    }
}

/// What became of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "RenewalsTaken")]
pub struct Wanted {
    /// Devices of which a renewal is wanted now, or is not any more.
    pub done: u64,
    /// Devices that were left as they are: they have no certificate in force, or nothing was wanted of them.
    pub left: u64,
    /// When the last of them gets its turn.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub last_turn: Option<UnixTime>,
    /// Where the next page begins, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}

/// A renewal that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct WantedRenewal {
    /// Of which device.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// Its group.
    #[serde(with = "Text::<GroupName>")]
    pub group: GroupName,
    /// Since when.
    #[serde(with = "Text::<UnixTime>")]
    pub since: UnixTime,
    /// Who wants it.
    pub actor: String,
    /// The device's turn.
    #[serde(with = "Text::<UnixTime>")]
    pub turn: UnixTime,
    /// When the broker is handed the command next.
    #[serde(with = "Text::<UnixTime>")]
    pub due: UnixTime,
    /// How often it was handed it.
    pub attempts: u32,
    /// When it last took it.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub told: Option<UnixTime>,
    /// Why the command is not known to have reached the device.
    pub problem: Option<String>,
}

/// One page of renewals that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct WantedPage {
    /// By device.
    pub renewals: Vec<WantedRenewal>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}

/// How many renewals are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedCounts {
    /// In all.
    pub wanted: u64,
    /// Whose command no broker has taken yet.
    pub untold: u64,
}

/// A device that is due to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRenewal {
    /// The device.
    pub device: DeviceId,
    /// Its group.
    pub group: GroupName,
    /// How often its broker was handed the command.
    pub attempts: u32,
}

/// What became of telling one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The device.
    pub device: DeviceId,
    /// What its broker did with the command.
    pub outcome: TellOutcome,
    /// When it is handed it again, if the device has not renewed by then.
    pub next: UnixTime,
}

/// What a broker did with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TellOutcome {
    /// It took it, and has whom to hand it to.
    Taken,
    /// It took it, and the device is not there, or it refused it.
    Failed(String),
    /// It was not reached: this does not count as an attempt.
    Postponed(String),
}

#[cfg(test)]
mod tests {
    use super::{Rate, Turns};
    use proptest::prelude::*;
    use shared::UnixTime;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for text in ["5/s", "1/h", "1000000/m"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for bad in ["", "5", "0/s", "5/d", "-1/s", "+1/s", "01/s", " 1/s", "1.5/s", "1000001/s", "/s", "5/"] {
            bad.parse::<Rate>().unwrap_err();
        }
    }

    proptest! {
        /// In no second do more devices get their turn than the rate says, over all pages.
        #[test]
        fn turns_keep_the_rate(rate in 1_u32..50, devices in 1_u64..400, page in 1_u64..60) {
            let begin = UnixTime::from_secs(1_000);
            let rate_text = format!("{rate}/s");
            let mut of_second = std::collections::BTreeMap::<UnixTime, u32>::new();
            let mut last = begin;
            for place in 0..devices {
                let (before, index) = (place / page * page, place % page);
                let turns = Turns { begin, before, rate: Some(rate_text.parse().unwrap()) };
                let turn = turns.of(index);
                prop_assert!(turn >= last);
                last = turn;
                *of_second.entry(turn).or_default() += 1;
            }
            prop_assert!(of_second.values().all(|count| *count <= rate));
            prop_assert_eq!(last.since(begin).as_secs(), (devices - 1) / u64::from(rate));
        }
    }
}
