//! Random lives: the machine against a world that answers at random, and power that fails at random.

extern crate std;

use core::time::Duration;
use std::vec::Vec;

use proptest::prelude::*;
use shared::message::latest::EvidenceKind;
use shared::{Reject, UnixTime};

use super::Machine;
use crate::flow::BrokerAccepted;
use crate::lifecycle::{Action, Asker, Errand, Event, Now, Pace, Phase, Verdict};
use crate::platform::{Slot, TransportError};
use crate::slots::{Asked, Dates, Inspection, State};
use crate::x509::{PathError, Validity};

const START: u64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// What the world does next: one number decides one answer.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Below it, things go well; out of 256.
    luck: u8,
}

/// A device without I/O: what is durable, and what the broker knows.
struct Model {
    machine: Machine,
    saved: State,
    /// What a whole identity in a slot is worth.
    dates: [Option<Dates>; 2],
    key: [bool; 2],
    uptime: Duration,
    wall: Option<i64>,
    /// The slot that the broker accepted last.
    accepted: Option<Slot>,
    asked: Vec<Duration>,
    logins: Vec<Duration>,
    order: u64,
    /// A planted fault: a candidate is not saved.
    plant: bool,
}

const fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl Model {
    fn new(wall: Option<i64>, evidence_lasts: bool) -> Self {
        let saved = State::blank(UnixTime::from_secs(START - 1_000_000));
        let mut model = Self {
            machine: Machine::new(&inspection(&saved, [None; 2]), Pace::DEFAULT, evidence_lasts, ZERO, 0),
            saved,
            dates: [None; 2],
            key: [false; 2],
            uptime: Duration::ZERO,
            wall,
            accepted: None,
            asked: Vec::new(),
            logins: Vec::new(),
            order: 0,
            plant: false,
        };
        model.boot(0);
        model
    }

    fn real(&self) -> UnixTime {
        UnixTime::from_secs(START).after(self.uptime)
    }

    fn now(&self) -> Now {
        let wall = self.wall.map(|w| UnixTime::from_secs(self.real().as_secs().saturating_add_signed(w)));
        Now { uptime: self.uptime, wall }
    }

    /// The power fails and comes back.
    fn boot(&mut self, random: u64) {
        let evidence_lasts = self.machine.evidence_lasts;
        let found = inspection(&self.saved, self.dates);
        // Whoever starts again knows what was written down, and no more: that the broker took a candidate may not have been, and
        // then it is one that can be given up.
        self.accepted = self.saved.current().filter(|current| current.accepted).map(|current| current.slot);
        self.machine = Machine::new(&found, Pace::DEFAULT, evidence_lasts, self.now(), random);
    }

    fn tell(&mut self, event: Event, random: u64) {
        let now = self.now();
        self.machine.handle(event, now, random);
    }

    /// The server's certificate holds for ten years around the start.
    fn certificate(&self, validity: Validity) -> Result<(), TransportError> {
        let from = UnixTime::from_secs(START).before(DAY * 365);
        let to = UnixTime::from_secs(START).after(DAY * 3650);
        match validity {
            Validity::At(at) if at < from => Err(TransportError::Certificate(PathError::NotYetValid)),
            Validity::At(at) if at > to => Err(TransportError::Certificate(PathError::Expired)),
            Validity::NotEndedBy(floor) if floor >= to => {
                Err(TransportError::Certificate(PathError::Expired))
            }
            _ => Ok(()),
        }
    }

    /// Carries out one action, checking what must hold of it.
    fn step(&mut self, weather: Weather, dice: u64) -> Result<(), TestCaseError> {
        let lucky = dice.to_le_bytes()[0] < weather.luck;
        let kind = dice.to_le_bytes()[1];
        let action = self.machine.next_action(&self.now());
        prop_assert_eq!(&action, &self.machine.next_action(&self.now()), "asked again, it says the same");
        self.uptime += Duration::from_millis(100);
        match action {
            Action::Save(state) if lucky || kind >= 64 => {
                self.saved = state;
                if self.plant && self.saved.candidate().is_some() {
                    self.saved.give_up_next();
                    self.saved.refused(1, false, self.real());
                }
                self.tell(Event::Saved, dice);
            }
            Action::Save(_) => self.tell(Event::SaveFailed, dice),
            Action::Erase => {
                for slot in [Slot::A, Slot::B].into_iter().filter(|slot| self.saved.is_unreferenced(*slot)) {
                    prop_assert_ne!(
                        Some(slot),
                        self.accepted,
                        "what the broker accepted last is never erased"
                    );
                    self.dates[index(slot)] = None;
                    self.key[index(slot)] = false;
                }
                self.tell(if lucky { Event::Erased } else { Event::EraseFailed }, dice);
            }
            Action::MakeKey { .. } => {
                let slot = self.saved.vacant();
                prop_assert_ne!(
                    self.saved.current().map(|c| c.slot),
                    Some(slot),
                    "no key in use is replaced"
                );
                prop_assert_ne!(Some(slot), self.accepted, "no accepted key is replaced");
                self.dates[index(slot)] = None;
                self.key[index(slot)] = lucky;
                self.tell(if lucky { Event::KeyMade } else { Event::KeyFailed }, dice);
            }
            Action::Challenge { errand, validity } => self.challenge(errand, validity, lucky, kind, dice),
            Action::Request { purpose, validity } => {
                let asked = self.saved.asked();
                prop_assert_eq!(
                    asked.map(|asked| asked.purpose),
                    Some(purpose),
                    "only what is durable is sent"
                );
                let slot = self.saved.requested_slot().unwrap();
                prop_assert!(self.key[index(slot)], "a request leaves only for a key that is there");
                self.request(slot, validity, lucky, kind, dice);
            }
            Action::FetchTrust { validity } => match self.certificate(validity) {
                Ok(()) if lucky => self.tell(Event::TrustFetched { newer: kind % 16 == 3, validity }, dice),
                Ok(()) => self.fail(Errand::Trust, TransportError::Unreachable, validity, dice),
                Err(error) => self.fail(Errand::Trust, error, validity, dice),
            },
            Action::Connect { slot, validity } => {
                let named = self.saved.current().map(|c| c.slot) == Some(slot)
                    || self.saved.candidate() == Some(slot);
                prop_assert!(named, "only an identity that the durable state names logs in");
                prop_assert!(self.dates[index(slot)].is_some());
                self.logins.push(self.uptime);
                self.connect(slot, validity, lucky, kind, dice)?;
            }
            Action::Sleep { duration } => {
                prop_assert!(duration <= Pace::DEFAULT.final_retry, "sleeps {duration:?}");
                prop_assert!(duration >= Duration::from_millis(1));
                self.uptime += duration;
            }
        }
        Ok(())
    }

    fn challenge(&mut self, errand: Errand, validity: Validity, lucky: bool, kind: u8, dice: u64) {
        self.asked.push(self.uptime);
        if let Err(error) = self.certificate(validity) {
            return self.fail(errand, error, validity, dice);
        }
        let server_time = self.real();
        match kind {
            _ if lucky => {
                let event = Event::Challenged {
                    errand,
                    server_time,
                    nonce: [kind; 32],
                    kind: EvidenceKind::IdevidEat,
                    renewal_wanted: dice & 0x700 == 0,
                    validity,
                };
                self.tell(event, dice);
            }
            0..64 => self.tell(Event::RequestFailed { errand, again: false }, dice),
            64..128 => self.answer(errand, rejection(dice), validity, dice),
            _ => self.fail(errand, failure(dice), validity, dice),
        }
    }

    fn request(&mut self, slot: Slot, validity: Validity, lucky: bool, kind: u8, dice: u64) {
        let errand = Errand::Identity;
        self.asked.push(self.uptime);
        if let Err(error) = self.certificate(validity) {
            return self.fail(errand, error, validity, dice);
        }
        match kind {
            _ if lucky => {
                self.order += 1;
                let dates = Dates {
                    not_before: self.real(),
                    not_after: self.real().after(DAY * 90),
                    renew_at: self.real().after(DAY * 65),
                    order: self.order,
                };
                self.dates[index(slot)] = Some(dates);
                self.answer(errand, Verdict::Issued { dates }, validity, dice);
            }
            0..64 => {
                let retry_after = Duration::from_secs(dice >> 40);
                self.answer(errand, Verdict::Pending { retry_after }, validity, dice);
            }
            64..160 => self.answer(errand, rejection(dice), validity, dice),
            160..190 => self.tell(Event::RequestFailed { errand, again: kind.is_multiple_of(2) }, dice),
            _ => self.fail(errand, failure(dice), validity, dice),
        }
    }

    fn connect(
        &mut self,
        slot: Slot,
        validity: Validity,
        lucky: bool,
        kind: u8,
        dice: u64,
    ) -> Result<(), TestCaseError> {
        if let Err(error) = self.certificate(validity) {
            self.tell(Event::Disconnected { result: Err(error), slot, lasted: None, validity }, dice);
            return Ok(());
        }
        if !lucky && kind < 128 {
            let result = Err(failure(dice));
            self.tell(Event::Disconnected { result, slot, lasted: None, validity }, dice);
            return Ok(());
        }
        self.accepted = Some(slot);
        self.tell(Event::Accepted { proof: BrokerAccepted::for_test(slot), validity }, dice);
        // As the session does: durable first, then the rest.
        for salt in 0..4 {
            let action = self.machine.next_action(&self.now());
            if !matches!(action, Action::Save(_) | Action::Erase) {
                break;
            }
            self.step(Weather { luck: if lucky { 255 } else { 128 } }, dice.rotate_left(salt * 8 + 8))?;
        }
        if kind.is_multiple_of(8) {
            let by = if kind.is_multiple_of(16) { Asker::Local } else { Asker::Broker };
            self.tell(Event::RenewAsked { by }, dice);
        }
        let stay = self.machine.errand(&self.now()).unwrap_or(DAY * 30).min(DAY * 30);
        // One whose broker could not be reached is tried again within a day.
        let (soon, later) = (Pace::DEFAULT.server_most, Pace::DEFAULT.final_retry);
        let most = if self.machine.unreached == 0 { soon } else { later };
        prop_assert!(
            self.machine.state().candidate().is_none() || stay <= most,
            "no connection keeps a candidate waiting"
        );
        let cut_short = !lucky;
        let lasted = if cut_short { stay.min(Duration::from_secs(u64::from(kind))) } else { stay };
        self.uptime += lasted;
        let result = if cut_short { Err(failure(dice)) } else { Ok(()) };
        self.tell(Event::Disconnected { result, slot, lasted: Some(lasted), validity }, dice);
        Ok(())
    }

    fn answer(&mut self, errand: Errand, answer: Verdict, validity: Validity, dice: u64) {
        let server_time = self.real();
        self.tell(Event::Answered { errand, server_time, answer, validity }, dice);
    }

    fn fail(&mut self, errand: Errand, error: TransportError, validity: Validity, dice: u64) {
        self.tell(Event::ExchangeFailed { errand, error, validity }, dice);
    }

    /// What must hold at any moment.
    fn check(&self) -> Result<(), TestCaseError> {
        let state = self.machine.state();
        if let (Some(current), Some(next)) = (state.current(), state.next()) {
            prop_assert_ne!(current.slot, next.slot);
        }
        if let Some(accepted) = self.accepted {
            prop_assert!(
                !self.saved.is_unreferenced(accepted),
                "the durable state names what was accepted last"
            );
            prop_assert!(self.dates[index(accepted)].is_some());
        }
        prop_assert!(self.machine.time().floor() <= self.real(), "the floor never runs ahead");
        prop_assert!(self.saved.floor() <= self.real());
        Ok(())
    }
}

const ZERO: Now = Now { uptime: Duration::ZERO, wall: None };

fn inspection(state: &State, dates: [Option<Dates>; 2]) -> Inspection {
    let named = |slot| dates[index(slot)].filter(|_| !state.is_unreferenced(slot));
    let left = |slot| dates[index(slot)].is_some() && state.is_unreferenced(slot);
    Inspection {
        state: state.clone(),
        dates: [named(Slot::A), named(Slot::B)],
        leftovers: left(Slot::A) || left(Slot::B),
        repaired: false,
        stored: state.clone(),
    }
}

fn rejection(dice: u64) -> Verdict {
    let index = usize::try_from(dice >> 32).unwrap() % Reject::ALL.len();
    let reject = Reject::ALL[index];
    let retry_after = (dice >> 31 & 1 == 1).then(|| Duration::from_secs(dice >> 32));
    Verdict::Rejected { code: reject.code(), status: reject.http_status(), retry_after }
}

fn failure(dice: u64) -> TransportError {
    let errors = [
        TransportError::Unreachable,
        TransportError::TurnedAway,
        TransportError::Tls,
        TransportError::Closed,
        TransportError::TimedOut,
        TransportError::TooLarge,
        TransportError::Protocol,
        TransportError::Refused(0x87),
        TransportError::Refused(0x89),
        TransportError::Certificate(PathError::Expired),
        TransportError::Certificate(PathError::NotYetValid),
        TransportError::Certificate(PathError::UnknownIssuer),
    ];
    errors[usize::try_from(dice >> 48).unwrap() % errors.len()]
}

fn clocks() -> impl Strategy<Value = Option<i64>> {
    let year = 31_556_952;
    prop_oneof![
        Just(None),
        Just(Some(0)),
        Just(Some(-1_800_000_000)),
        Just(Some(20 * year)),
        Just(Some(-20 * year)),
        Just(Some(year)),
        Just(Some(-100)),
    ]
}

/// Dice, and whether the power fails after the throw.
fn throws() -> impl Strategy<Value = Vec<(u64, bool)>> {
    proptest::collection::vec((any::<u64>(), proptest::bool::weighted(0.05)), 1..300)
}

fn live(model: &mut Model, weather: Weather, throws: &[(u64, bool)]) -> Result<(), TestCaseError> {
    for (dice, cut) in throws {
        model.step(weather, *dice)?;
        model.check()?;
        if *cut {
            model.boot(*dice);
            model.check()?;
        }
    }
    Ok(())
}

/// Found by the lives below: the write of an issued identity fails, so the identity in use goes on; the next
/// attempt to write succeeds during that connection. Nothing else would end it, for weeks perhaps, and the
/// candidate would come to its end untried.
#[test]
fn a_candidate_that_becomes_durable_during_a_connection_ends_it() {
    let day = |n| UnixTime::from_secs(START).after(DAY * n);
    let mut model = Model::new(Some(0), true);
    model.saved.request(Asked::bare_renewal());
    model.saved.issued();
    assert!(!model.saved.accept(&BrokerAccepted::for_test(Slot::A)), "it was in use already");
    model.saved.request(Asked::bare_renewal());
    model.dates = [Some(Dates { not_before: day(0), not_after: day(90), renew_at: day(0), order: 1 }), None];
    model.key[index(Slot::B)] = true;
    model.boot(0);

    let validity = Validity::At(model.real());
    let dates = Dates { not_before: day(0), not_after: day(90), renew_at: day(65), order: 2 };
    model.dates[index(Slot::B)] = Some(dates);
    model.answer(Errand::Identity, Verdict::Issued { dates }, validity, 0);
    assert!(matches!(model.machine.next_action(&model.now()), Action::Save(_)));
    model.tell(Event::SaveFailed, u64::MAX);
    let action = model.machine.next_action(&model.now());
    assert!(
        matches!(action, Action::Connect { slot: Slot::A, .. }),
        "the identity in use goes on: {action:?}"
    );
    model.tell(Event::Accepted { proof: BrokerAccepted::for_test(Slot::A), validity }, 0);
    model.uptime += Pace::DEFAULT.server_first;
    assert!(matches!(model.machine.next_action(&model.now()), Action::Save(_)));
    model.tell(Event::Saved, 0);

    assert_eq!(model.machine.errand(&model.now()), Some(Duration::ZERO), "the connection ends");
    model.tell(
        Event::Disconnected {
            result: Ok(()),
            slot: Slot::A,
            lasted: Some(Pace::DEFAULT.server_first),
            validity,
        },
        0,
    );
    let action = model.machine.next_action(&model.now());
    assert!(matches!(action, Action::Connect { slot: Slot::B, .. }), "{action:?}");
}

/// Keys and certificates that the durable state does not name do not stay: a power cut left them.
#[test]
fn what_the_state_does_not_name_is_erased() {
    let day = |n| UnixTime::from_secs(START).after(DAY * n);
    let mut model = Model::new(Some(0), true);
    model.saved.request(Asked::bare_renewal());
    model.saved.issued();
    let _first = model.saved.accept(&BrokerAccepted::for_test(Slot::A));
    let dates = |order| Some(Dates { not_before: day(0), not_after: day(90), renew_at: day(65), order });
    model.dates = [dates(1), dates(2)];
    model.boot(0);
    assert_eq!(model.machine.next_action(&model.now()), Action::Erase);

    // A flash that fails is not asked again at once, and does not keep the device from its broker.
    model.tell(Event::EraseFailed, u64::MAX);
    let action = model.machine.next_action(&model.now());
    assert!(matches!(action, Action::Connect { slot: Slot::A, .. }), "{action:?}");
    assert!(model.machine.errand(&model.now()).is_some_and(|left| left <= Pace::DEFAULT.server_first));
    model.uptime += Pace::DEFAULT.server_first;
    assert_eq!(model.machine.next_action(&model.now()), Action::Erase);
    model.tell(Event::Erased, 0);
    assert_ne!(model.machine.next_action(&model.now()), Action::Erase);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever happens: the invariants hold; and when the world is good again, the device works within days.
    #[test]
    fn no_life_breaks_a_rule_or_ends_in_a_dead_end(
        wall in clocks(), evidence_lasts: bool, luck in 0_u8..=255, throws in throws(), good in any::<[u64; 32]>(),
    ) {
        let mut model = Model::new(wall, evidence_lasts);
        live(&mut model, Weather { luck }, &throws)?;
        let end = model.uptime + DAY * 4;
        let mut good = good.iter().cycle();
        let mut steps = 0;
        loop {
            let works = model.machine.phase(&model.now()) == Phase::Operational;
            let in_use = model.saved.current().filter(|current| current.accepted).map(|current| current.slot);
            if works && in_use.is_some() && in_use == model.accepted {
                break;
            }
            prop_assert!(model.uptime < end, "a dead end: {:?}", model.machine);
            // All goes well, with random jitter.
            let dice = good.next().unwrap() & !0xffff | 0x0100;
            model.step(Weather { luck: 255 }, dice)?;
            model.check()?;
            steps += 1;
            prop_assert!(steps < 500, "a busy loop");
        }
    }

    /// A world in which nothing works is asked slowly: neither server nor broker is flooded.
    #[test]
    fn a_bad_world_is_asked_slowly(wall in clocks(), throws in proptest::collection::vec(any::<u64>(), 400)) {
        let mut model = Model::new(wall, true);
        // Enrolled first, then everything fails.
        for dice in &throws[..60] {
            model.step(Weather { luck: 255 }, dice & !0xff)?;
            if model.accepted.is_some() { break; }
        }
        model.asked.clear();
        model.logins.clear();
        let begin = model.uptime;
        let mut dice = throws.iter().cycle();
        while model.uptime < begin + DAY * 2 {
            // No luck, and nothing but failed connections.
            model.step(Weather { luck: 0 }, dice.next().unwrap() & !0xffff | 0xff)?;
        }
        prop_assert!(model.asked.len() < 250, "{} questions in two days", model.asked.len());
        prop_assert!(model.logins.len() < 1500, "{} logins in two days", model.logins.len());
    }

    /// The rules above can be broken: a device that forgets its candidate when it is saved is caught, because
    /// the identity that the broker then accepts is not the one that the durable state names.
    #[test]
    fn a_forgotten_candidate_is_caught(throws in proptest::collection::vec(any::<u64>(), 200)) {
        let mut model = Model::new(Some(0), true);
        model.plant = true;
        let mut caught = false;
        for dice in throws {
            // Fortune smiles; a renewal is commanded now and then.
            let kind = if dice.is_multiple_of(3) { 0x1000 } else { 0x0100 };
            let result = model.step(Weather { luck: 255 }, dice & !0xffff | kind);
            if result.is_err() || model.check().is_err() {
                caught = true;
                break;
            }
        }
        prop_assert!(caught);
    }
}
