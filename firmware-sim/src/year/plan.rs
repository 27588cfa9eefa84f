//! What will happen: drawn from the seed, before anything does. Pure.

use core::time::Duration;

use crate::chance::Dice;
use crate::faults::Fault;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// How large the simulation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) devices: usize,
    pub(super) length: Duration,
    /// Life of a certificate.
    pub(super) certificate: Duration,
    /// How long after its end a certificate still renews.
    pub(super) grace: Duration,
}

/// Everything that will happen.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What the director does, in order.
    pub(super) steps: Vec<(Duration, Step)>,
    /// What each device is like.
    pub(super) devices: Vec<Nature>,
}

/// Something the director does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    ServerDown,
    ServerUp,
    BrokerDown,
    BrokerUp,
    /// The server gets another TLS certificate of its own, and is started again.
    RenewServer,
    /// The broker does.
    RenewBroker,
    /// A device is revoked.
    Revoke(usize),
    /// A device loses its power.
    SwitchOff(usize),
    /// It gets it back.
    SwitchOn(usize),
    /// The server is started again with a place of its own at the broker: devices hear at once what is wanted of them.
    TellThroughBroker,
    /// An operator wants a renewal of a device.
    Renew(usize),
    /// An operator wants a renewal of all devices.
    RenewAll,
    /// A rollover of the CA begins: a new root, and a new issuing CA under it.
    StartRollover,
    /// The new CA is to sign. Refused as long as devices do not trust it, and tried again.
    SwitchCa,
    /// The old CA is to be given up. Refused as long as devices need it, and tried again.
    RetireCa,
}

impl Step {
    /// Whether it is for the server that runs.
    pub(super) const fn wants_server(self) -> bool {
        matches!(
            self,
            Self::RenewServer
                | Self::RenewBroker
                | Self::Revoke(_)
                | Self::TellThroughBroker
                | Self::Renew(_)
                | Self::RenewAll
                | Self::StartRollover
                | Self::SwitchCa
                | Self::RetireCa
        )
    }
}

/// What one device is like, and what befalls it by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Nature {
    /// When it is switched on for the first time.
    pub(super) begins: Duration,
    /// Whether it has a real-time clock.
    pub(super) has_clock: bool,
    /// Cuts of its power, each within a start of its own.
    pub(super) cuts: Vec<Cut>,
    /// Number of the exchange, after its first start, whose answer is lost.
    pub(super) lost_answer: u64,
    /// Whether it is away until its certificate cannot be renewed any more.
    pub(super) enrolls_again: bool,
}

/// A cut of the power during a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before or after a whole write or erasure of a record: this one, counted from the start.
    AtRecord(Fault, u64),
    /// Amid a write: after so many bytes of the flash have changed.
    AtByte(u64),
}

/// Share of the devices that are revoked.
const REVOKED_PERCENT: usize = 5;
/// How long a revoked device keeps trying before somebody takes it away, and when it is switched on once more.
const REVOKED_TRIES: Duration = Duration::from_secs(30 * 3600);

impl Plan {
    pub(super) fn draw(seed: u64, size: &Size) -> Self {
        let mut dice = Dice::new(seed, "plan", 0);
        let mut devices: Vec<Nature> = (0..size.devices).map(|_| Nature::draw(&mut dice, size)).collect();
        let mut steps = Vec::new();
        outages(&mut steps, &mut dice, size);
        fates(&mut steps, &mut devices, &mut dice, size);
        steps.retain(|(at, _)| *at < size.length);
        // Stable: what is drawn for one moment stays in the order in which it was drawn.
        steps.sort_by_key(|(at, _)| *at);
        Self { steps, devices }
    }
}

impl Size {
    /// Until when all devices have enrolled: nothing befalls anybody before.
    pub(super) fn begun(&self) -> Duration {
        (self.length / 20).min(2 * DAY)
    }

    /// From when on nothing befalls anybody any more, so that what lives has come back at the end.
    pub(super) fn quiet(&self) -> Duration {
        self.length.saturating_sub((self.length / 10).min(4 * DAY))
    }

    /// Mean time between two reports of a device, and between two questions for what an operator wants: a week in a
    /// year.
    pub(super) fn report(&self) -> Duration {
        (self.length / 20).min(7 * DAY)
    }

    /// After which every device that has power has reported.
    pub(super) fn settled(&self) -> Duration {
        self.report() * 3 / 2 + 2 * HOUR
    }

    /// Whether there is time for a rollover of the CA.
    pub(super) fn has_rollover(&self) -> bool {
        self.length >= 20 * DAY
    }
}

impl Nature {
    fn draw(dice: &mut Dice, size: &Size) -> Self {
        let cuts = (0..dice.below(4)).map(|_| Cut::draw(dice)).collect();
        Self {
            begins: dice.between(Duration::ZERO, size.begun() / 2),
            has_clock: dice.chance(60),
            cuts,
            lost_answer: dice.below(16),
            enrolls_again: false,
        }
    }
}

impl Cut {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(3) {
            0 => Self::AtRecord(Fault::CutBefore, dice.below(40)),
            1 => Self::AtRecord(Fault::CutAfter, dice.below(40)),
            // An enrollment changes some 30 KiB, most of them by scrubbing the old key.
            _ => Self::AtByte(dice.below(120_000)),
        }
    }
}

/// Outages of server and broker, one after the other so that each has room, and one of both at once.
fn outages(steps: &mut Vec<(Duration, Step)>, dice: &mut Dice, size: &Size) {
    let room = size.quiet().saturating_sub(size.begun());
    let count = u32::try_from((size.length.as_secs() / (40 * 86_400)).max(1)).unwrap_or(1);
    let part = room / count;
    for number in 0..count {
        let begin = size.begun() + part * number;
        let longest = (part / 3).min(3 * DAY);
        // The first one is as long as any can be.
        let length = if number == 0 { longest } else { dice.between(HOUR.min(longest / 2), longest) };
        let at = dice.between(begin, begin + part - length);
        steps.extend([(at, Step::ServerDown), (at + length, Step::ServerUp)]);

        let longest = (part / 3).min(2 * HOUR);
        let length = dice.between(longest / 20, longest);
        // The broker of the last one fails while the server is down.
        let at = if number + 1 == count { at } else { dice.between(begin, begin + part - length) };
        steps.extend([(at, Step::BrokerDown), (at + length, Step::BrokerUp)]);
    }
    // Across the middle of the window in which the first certificates renew.
    let window = size.begun() / 2 + size.certificate * 3 / 4;
    let length = (size.certificate / 40).min(2 * DAY);
    if window + length < size.quiet() {
        let at = window.saturating_sub(length / 2);
        steps.extend([(at, Step::ServerDown), (at + length, Step::ServerUp)]);
    }
    steps.push((dice.between(size.begun(), size.quiet()), Step::RenewServer));
    steps.push((dice.between(size.begun(), size.quiet()), Step::RenewBroker));
}

/// What befalls single devices: no device more than one thing.
fn fates(steps: &mut Vec<(Duration, Step)>, devices: &mut [Nature], dice: &mut Dice, size: &Size) {
    let revoked = if size.devices < 2 { 0 } else { (size.devices * REVOKED_PERCENT).div_ceil(100) };
    let away = size.devices * 4 / 100 + usize::from(size.devices > 3);
    let order = dice.choose(size.devices, size.devices);
    let mut next = order.into_iter();

    for device in next.by_ref().take(revoked) {
        let at = dice.between(size.begun(), size.quiet());
        steps.push((at, Step::Revoke(device)));
        let off = at + dice.between(REVOKED_TRIES / 2, REVOKED_TRIES);
        let on = off + dice.between(DAY, 40 * DAY);
        steps.push((off, Step::SwitchOff(device)));
        // Somebody finds it and tries it once more.
        steps.extend([(on, Step::SwitchOn(device)), (on + 6 * HOUR, Step::SwitchOff(device))]);
    }
    // Away across the end of their certificates: once within the grace, once beyond it.
    let off = size.begun() + size.certificate / 3;
    let first_end = size.begun() + size.certificate;
    let returns = [
        (size.certificate + size.grace / 2, false),
        (first_end + size.grace + (size.certificate / 20).max(HOUR), true),
    ];
    for (on, enrolls_again) in returns {
        if size.devices > 3
            && on < size.quiet()
            && let Some(device) = next.next()
        {
            steps.extend([(off, Step::SwitchOff(device)), (on, Step::SwitchOn(device))]);
            if let Some(nature) = devices.get_mut(device) {
                nature.enrolls_again = enrolls_again;
            }
        }
    }
    for device in next.by_ref().take(away) {
        let room = size.quiet().saturating_sub(size.begun());
        let longest = (size.certificate / 4).min(21 * DAY).min(room / 2);
        let length = dice.between(longest / 3, longest);
        let at = dice.between(size.begun(), size.quiet().saturating_sub(length));
        steps.extend([(at, Step::SwitchOff(device)), (at + length, Step::SwitchOn(device))]);
    }
    if size.has_rollover() {
        operator(steps, next, dice, size);
    }
}

/// What an operator does: wants renewals, before and after the server has its place at the broker, and replaces the CA
/// while a device is away. `others` are devices that nothing else befalls.
fn operator(
    steps: &mut Vec<(Duration, Step)>,
    mut others: impl Iterator<Item = usize>,
    dice: &mut Dice,
    size: &Size,
) {
    let begin = dice.between(size.length * 35 / 100, size.length * 42 / 100);
    steps.extend([(begin, Step::StartRollover), (begin + HOUR, Step::SwitchCa)]);
    if size.devices > 3
        && let Some(device) = others.next()
    {
        let back = begin + size.settled() * 5 / 4;
        steps.extend([(begin - HOUR, Step::SwitchOff(device)), (back, Step::SwitchOn(device))]);
    }
    let asked = size.devices / 50 + 1;
    let place = size.length * 30 / 100;
    steps.push((place, Step::TellThroughBroker));
    for (from, to) in
        [(size.begun(), size.length * 22 / 100), (size.length * 65 / 100, size.quiet() * 9 / 10)]
    {
        for device in others.by_ref().take(asked) {
            steps.push((dice.between(from, to), Step::Renew(device)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Plan, Size, Step};
    use core::time::Duration;

    const YEAR: Size = Size {
        devices: 200,
        length: Duration::from_secs(365 * 86_400),
        certificate: days(90),
        grace: days(30),
    };

    const fn days(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    fn count(plan: &Plan, kind: impl Fn(&Step) -> bool) -> usize {
        plan.steps.iter().filter(|(_, step)| kind(step)).count()
    }

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        assert_eq!(Plan::draw(5, &YEAR).steps, Plan::draw(5, &YEAR).steps);
        assert_ne!(Plan::draw(5, &YEAR).steps, Plan::draw(6, &YEAR).steps);
    }

    #[test]
    fn a_year_of_200_has_everything_in_it() {
        for seed in 0..20 {
            let plan = Plan::draw(seed, &YEAR);
            assert_eq!(count(&plan, |step| matches!(step, Step::Revoke(_))), 10, "5 % of 200");
            assert!(count(&plan, |step| *step == Step::ServerDown) >= 9);
            assert!(count(&plan, |step| *step == Step::BrokerDown) >= 9);
            assert_eq!(plan.devices.iter().filter(|device| device.enrolls_again).count(), 1);
            assert!(plan.devices.iter().any(|device| !device.has_clock));
            for step in [Step::TellThroughBroker, Step::StartRollover, Step::SwitchCa] {
                assert_eq!(count(&plan, |known| *known == step), 1, "{step:?}");
            }
            let place = plan.steps.iter().position(|(_, step)| *step == Step::TellThroughBroker).unwrap();
            let (before, after) = plan.steps.split_at(place);
            for part in [before, after] {
                assert_eq!(part.iter().filter(|(_, step)| matches!(step, Step::Renew(_))).count(), 5);
            }
            assert!(plan.devices.iter().filter(|device| !device.cuts.is_empty()).count() > 100);
        }
    }

    #[test]
    fn everybody_who_lives_is_on_before_the_end_and_nothing_happens_after() {
        for (seed, devices, length) in [(1, 200, 365), (2, 20, 60), (3, 1, 10), (4, 4, 2), (5, 50, 365)] {
            let size = Size { devices, length: days(length), ..YEAR };
            let plan = Plan::draw(seed, &size);
            let mut on = vec![true; devices];
            let mut revoked = vec![false; devices];
            for (at, step) in &plan.steps {
                assert!(*at >= size.begun() && *at < size.length, "{at:?}");
                match step {
                    Step::Revoke(device) => revoked[*device] = true,
                    Step::SwitchOff(device) => on[*device] = false,
                    Step::SwitchOn(device) => on[*device] = true,
                    _ => assert!(*at <= size.quiet() + DAY / 2, "{step:?} at {at:?}"),
                }
            }
            assert!(on.iter().zip(&revoked).all(|(on, revoked)| *on || *revoked), "{seed}");
        }
    }
}
