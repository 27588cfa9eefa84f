//! What happens to the fleet, and what has to hold: drawn from the seed before anything begins. Pure.

use core::time::Duration;

use agent_core::lifecycle::renewal_point;
use agent_core::slots::Dates;
use enroll_server::store::Rate;
use rand_core::RngCore as _;
use shared::UnixTime;

use crate::chance::Dice;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The wall clock at the beginning of every scenario.
pub(super) const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Power comes back to a region after so long that certificates have ended: all connect within a minute
    Power,
    /// A fleet that was made and enrolled on one day renews
    Birthday,
    /// The server is away for 12 hours, across the whole renewal window of certificates that live for two days
    Outage,
    /// Certificates that all end in the same second; the server is away for the first 6 hours of their renewal window
    Expiry,
    /// Another CA: all take its trust bundle and renew, 30 % are away and come back within a minute
    Rollover,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Power, Self::Birthday, Self::Outage, Self::Expiry, Self::Rollover];

    /// The name on the command line and of the plots.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Birthday => "birthday",
            Self::Outage => "outage",
            Self::Expiry => "expiry",
            Self::Rollover => "rollover",
        }
    }

    /// The time in which a server of the capacity that is set unless another is asked for serves the whole fleet once.
    pub(super) const fn fleet_time(self) -> Duration {
        match self {
            Self::Power | Self::Rollover => Duration::from_secs(1_000),
            // Devices that waited for long come again within an hour of backoff; faster would be of no use.
            Self::Outage => HOUR,
            // Less than the 15 days of the window, so that an outage can be made up for.
            Self::Birthday | Self::Expiry => Duration::from_secs(11 * 86_400),
        }
    }
}

/// One device's part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    /// When it is switched on.
    pub(super) begins: Duration,
    pub(super) has_clock: bool,
    /// Whether it gives evidence with each renewal, which takes a question before the request.
    pub(super) evidence: bool,
    pub(super) dates: Dates,
    /// When an operator's command comes, where one does.
    pub(super) told: Option<Duration>,
    /// When it hears that there is another trust bundle.
    pub(super) trust: Option<Duration>,
    /// What it needs of the server is the time, not a certificate.
    pub(super) only_time: bool,
}

/// What has to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From when on the server is asked by many: waits count from here at the earliest.
    pub(super) from: Duration,
    /// The last is served until then.
    pub(super) until: Duration,
    /// Attempts for one success, those at a server that was away included where `in_vain_too`.
    pub(super) attempts: f64,
    pub(super) in_vain_too: bool,
}

/// Everything that will happen.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) capacity: Rate,
    /// From when to when the server is away.
    pub(super) away: Option<(Duration, Duration)>,
    pub(super) bounds: Bounds,
    /// Life of the certificates.
    pub(super) life: Duration,
    /// Width of a column in the plots.
    pub(super) column: Duration,
    pub(super) scenario: Scenario,
    dice: Dice,
    /// Between two commands of the server.
    pause: Duration,
    /// Commands so far: to devices that are there, and to those that were away.
    commands: [u32; 2],
}

impl Plan {
    pub(super) fn new(scenario: Scenario, devices: u32, capacity: Option<Rate>, seed: u64) -> Self {
        let capacity = capacity.unwrap_or_else(|| Rate::of(u64::from(devices), scenario.fleet_time()));
        let once = capacity.period().saturating_mul(devices) / capacity.count().get();
        let most = once.saturating_mul(3) / 2;
        let (begin, window, end) = window(life(scenario));
        let outage = |length| Some((begin, begin + length));
        let bounds = |from: Duration, until, attempts| Bounds { from, until, attempts, in_vain_too: true };
        let (away, bounds, column) = match scenario {
            // Whoever is turned away was asked for once more than it had to be; a second time is rare.
            Scenario::Power => (None, bounds(Duration::ZERO, MINUTE + most, 2.2), most / 300),
            Scenario::Birthday => (None, bounds(begin, begin + SHIFT + most, 1.2), window / 300),
            Scenario::Outage => {
                let back = begin + 12 * HOUR;
                // All that it was away for come within the hour of their backoff: each is turned away once at most.
                let bounds = Bounds { from: back, until: back + most, attempts: 1.8, in_vain_too: false };
                (outage(12 * HOUR), Bounds { until: bounds.until.min(end), ..bounds }, 5 * MINUTE)
            }
            Scenario::Expiry => (outage(6 * HOUR), bounds(begin, begin + most, 1.2), window / 300),
            Scenario::Rollover => (None, bounds(Duration::ZERO, RETURN + MINUTE + most, 1.2), MINUTE),
        };
        let column = column.max(Duration::from_secs(1));
        let dice = Dice::new(seed, "storm", u64::from(devices));
        // Four fifths of the capacity.
        let pause = capacity.period() / capacity.count().get() * 5 / 4;
        Self { capacity, away, bounds, life: life(scenario), column, scenario, dice, pause, commands: [0; 2] }
    }

    /// What the next device is like.
    pub(super) fn device(&mut self) -> Nature {
        let dice = &mut self.dice;
        let (life, scenario) = (life(self.scenario), self.scenario);
        let mut nature = Nature {
            begins: Duration::ZERO,
            has_clock: true,
            evidence: dice.chance(50),
            dates: dates(START, life, dice.next_u64()),
            told: None,
            trust: None,
            only_time: false,
        };
        match scenario {
            Scenario::Power => {
                nature.begins = millis(dice, MINUTE);
                // Those without a clock have to ask for the time; the certificates of the others ended while the
                // power was off.
                (nature.only_time, nature.has_clock) =
                    if dice.chance(40) { (true, false) } else { (false, true) };
                if !nature.only_time {
                    let age = life + HOUR + dice.between(Duration::ZERO, 5 * DAY);
                    nature.dates = dates(before(age), life, dice.next_u64());
                }
            }
            Scenario::Birthday => {
                let made = START.after(millis(dice, SHIFT));
                nature.dates = dates(made, life, dice.next_u64());
            }
            Scenario::Outage | Scenario::Expiry => {}
            Scenario::Rollover => {
                nature.dates = dates(before(10 * DAY), life, dice.next_u64());
                // The server hands commands out at its own pace, to those who come back too.
                let [here, away] = &mut self.commands;
                let (first, turn) = if dice.chance(30) {
                    nature.begins = RETURN + millis(dice, MINUTE);
                    (RETURN + MINUTE, away)
                } else {
                    nature.trust = Some(Duration::from_secs(1));
                    (TELL, here)
                };
                nature.told = Some(first + self.pause * *turn);
                *turn += 1;
            }
        }
        nature
    }
}

/// In one shift a factory's lot is made and enrolled.
const SHIFT: Duration = Duration::from_secs(8 * 3_600);
/// When the operator of a rollover wants all to renew: those who are there have the next trust bundle by then.
const TELL: Duration = Duration::from_secs(2 * 3_600);
/// When those who were away come back.
const RETURN: Duration = Duration::from_secs(4 * 3_600);

const fn life(scenario: Scenario) -> Duration {
    match scenario {
        Scenario::Outage => Duration::from_secs(2 * 86_400),
        _ => Duration::from_secs(90 * 86_400),
    }
}

/// The renewal window of a certificate, as the server names it: its begin after the issue, its length, and the end of
/// the certificate.
fn window(life: Duration) -> (Duration, Duration, Duration) {
    let (from, by) = renewal_window(START, START.after(life));
    (from.since(START), by.since(from), life)
}

/// A certificate of `issued`.
pub(super) fn dates(issued: UnixTime, life: Duration, random: u64) -> Dates {
    let not_after = issued.after(life);
    let (from, by) = renewal_window(issued, not_after);
    let renew_at = renewal_point(from, by, issued, not_after, random);
    Dates { not_before: issued, not_after, renew_at, order: 1 }
}

fn renewal_window(issued: UnixTime, not_after: UnixTime) -> (UnixTime, UnixTime) {
    ca::Validity { not_before: issued.before(ca::BACKDATE), not_after }.renewal_window()
}

const fn before(age: Duration) -> UnixTime {
    START.before(age)
}

fn millis(dice: &mut Dice, below: Duration) -> Duration {
    Duration::from_millis(dice.below(u64::try_from(below.as_millis()).unwrap_or(u64::MAX)))
}
