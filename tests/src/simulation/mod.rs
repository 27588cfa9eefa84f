//! Devices, server, network, disks, clocks and deaths from one seed, on one thread and in virtual time: the same seed gives
//! the same again, event by event. docs/faults.md has the figures.
//!
//! Real are the agent (`agent_core::flow`), the issuance with its database and its log, and everything that is signed.
//! Simulated are time, network, TLS past its certificates, the devices' records, the broker, power and clocks. A request is
//! served to its end or to the server's death before the next one: what several do to a server at once is looked at by
//! [`faults`](crate::faults).

mod device;
mod network;
mod server;
mod time;

use core::cell::RefCell;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Mutex;
use std::{fs, thread};

use agent_core::x509::Certificate;
use shared::{UnixTime, endpoint};

use crate::faults::invariants::{Invariant, Violation, check_at};
use crate::faults::{Fleet, StateFolder};
use crate::harness::now;
use device::{Surroundings, live};
use network::{Message, Network};
use server::Office;
use time::Sim;

/// A defect that the simulation is there to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The server signs before its intent is durable.
    SignsBeforeRecording,
    /// The server's certificates are gone after its death.
    LosesDatabase,
    /// A device erases the key in use before the broker has accepted the next one.
    ErasesKeyEarly,
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Events.
    pub events: u64,
    /// The SHA-256 over all of them.
    pub trace: String,
    /// Deaths of the server.
    pub deaths: u32,
    /// Certificates that left the server.
    pub certificates: usize,
}

/// What came of many seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Seeds.
    pub seeds: u64,
    /// Events.
    pub events: u64,
    /// Deaths of the server.
    pub deaths: u64,
    /// Certificates that left the server.
    pub certificates: u64,
}

/// What everybody sees of the real state of things.
#[derive(Debug, Default)]
struct Town {
    /// Certificates that left the server.
    issued: BTreeSet<Vec<u8>>,
    /// Devices on the list that the broker reads.
    revoked: BTreeSet<usize>,
    /// Devices at the broker.
    online: BTreeSet<usize>,
    /// The last certificate that the broker accepted of each device, and when first.
    accepted: BTreeMap<usize, (Duration, Vec<u8>)>,
}

/// The factory's lot and the files of a server that has not run, which all seeds begin with.
#[derive(Debug)]
pub struct Simulation {
    fleet: Fleet,
    trust_bundle: Vec<u8>,
    shown: Vec<Vec<u8>>,
    begin: UnixTime,
}

const DEVICES: usize = 2;
const HOUR: Duration = Duration::from_secs(3600);
/// Faults come to an end, and some time later the simulation does.
const QUIET: Duration = Duration::from_secs(42 * 3600);
const END: Duration = Duration::from_secs(60 * 3600);

impl Simulation {
    /// Makes the lot and sets the server up, with certificates of two days.
    ///
    /// # Panics
    /// Where one of the binaries fails.
    #[must_use]
    pub fn new() -> Self {
        let fleet = Fleet::new(u32::try_from(DEVICES).expect("few"));
        let file = |name: &str| fleet.files().join(name);
        let policy = fs::read_to_string(file("policy.toml")).expect("a policy");
        let short = policy.replace("\ndays = \"profile\"\n", "\ndays = 2\n");
        assert_ne!(policy, short, "the policy says how long certificates live");
        fs::write(file("policy.toml"), short).expect("to write a policy");
        let trust_bundle = fs::read(file("trust.bundle")).expect("a trust bundle");
        let shown = fs::read(file("server.crt")).expect("the server's certificate");
        let shown = ca::pem::read_certificates(&shown).expect("certificates");
        Self { fleet, trust_bundle, shown, begin: now() }
    }

    /// Runs one seed; `verbose` prints its events.
    ///
    /// # Errors
    /// The first thing that does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self, seed: u64, plant: Option<Plant>, verbose: bool) -> Result<Seen, Violation> {
        let sim = Sim::new(seed, verbose);
        let network = Network::new(&sim, DEVICES, QUIET, self.shown.clone());
        let folder: StateFolder = self.fleet.new_server();
        let town = Rc::new(RefCell::new(Town::default()));
        let mut office = Office::new(&sim, &network, folder, self.begin, DEVICES, plant);
        let around = Surroundings {
            sim: sim.clone(),
            network: network.clone(),
            town: Rc::clone(&town),
            begin: self.begin,
            trust_bundle: &self.trust_bundle,
            plant,
        };
        let mut devices: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for (number, hand) in self.fleet.devices.iter().enumerate() {
            devices.push(Box::pin(live(number, seed, hand, around.clone())));
        }
        let mut revocation = sim.draw(|dice| dice.chance(30)).then(|| sim.some(QUIET));
        revocation.into_iter().for_each(|at| sim.wake_at(at));
        let mut rounds = (1..).map(|n| HOUR * 6 * n);
        let mut round = rounds.next().unwrap_or(END);
        sim.wake_at(round);
        office.start()?;
        loop {
            let first = usize::try_from(sim.draw(|dice| dice.below(DEVICES as u64))).expect("few");
            for turn in 0..DEVICES {
                let device = &mut devices[(first + turn) % DEVICES];
                let polled = device.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "a device lives on");
            }
            office.start()?;
            if sim.now() >= round {
                office.keep_log();
                round = rounds.next().unwrap_or(END);
                sim.wake_at(round);
            }
            if revocation.is_some_and(|at| at <= sim.now()) {
                if office.revoke(&self.fleet.devices[0].id) {
                    town.borrow_mut().revoked.insert(0);
                    revocation = None;
                } else {
                    // The operator comes again.
                    let again = sim.now() + HOUR / 2;
                    revocation = Some(again);
                    sim.wake_at(again);
                }
            }
            while let Some(message) = network.arrived() {
                self.needs_it(&message, &sim, &town.borrow())?;
                office.serve(&message)?;
                town.borrow_mut().issued.extend(office.issued.iter().cloned());
            }
            if !sim.advance(END) {
                break;
            }
        }
        drop(devices);
        if let Some(at) = revocation.filter(|at| *at < END) {
            let found = format!("the operator could not revoke a device, and was to come again at {at:?}");
            return Err(Violation::of(Invariant::WayForward, found));
        }
        self.judge(&mut office, &town.borrow())?;
        let (events, trace) = sim.trace();
        Ok(Seen { events, trace, deaths: office.deaths, certificates: office.issued.len() })
    }

    /// Whoever has been at the broker renews: it enrolls again only where its certificate has ended.
    fn needs_it(&self, message: &Message, sim: &Sim, town: &Town) -> Result<(), Violation> {
        let accepted = town.accepted.get(&message.device).and_then(|(_, leaf)| Certificate::parse(leaf).ok());
        let is_good = accepted.is_some_and(|leaf| leaf.not_after() > self.begin.after(sim.now()));
        let is_revoked = town.revoked.contains(&message.device);
        // One that was sent before, and was delayed, is no new wish.
        let since = town.accepted.get(&message.device).map(|(at, _)| *at);
        let again = message.path == endpoint::ENROLL && since.is_some_and(|at| message.sent > at);
        if again && is_good && !is_revoked {
            let found = format!("device {} enrolls again, with a certificate that is good", message.device);
            return Err(Violation::of(Invariant::WayForward, found));
        }
        Ok(())
    }

    /// Everybody who is not revoked is at work, and the server's files are in order.
    fn judge(&self, office: &mut Office, town: &Town) -> Result<(), Violation> {
        for device in 0..DEVICES {
            let (is_online, is_revoked) = (town.online.contains(&device), town.revoked.contains(&device));
            if is_online == is_revoked {
                let found = format!("device {device} at the broker: {is_online}; revoked: {is_revoked}");
                let invariant = if is_revoked { Invariant::StaysRevoked } else { Invariant::WayForward };
                return Err(Violation::of(invariant, found));
            }
        }
        office.stop();
        let is_revoked = |device: usize| town.revoked.contains(&device);
        let newest = office.newest.iter().enumerate().filter(|(device, _)| !is_revoked(*device));
        let repeated: Vec<_> = newest.filter_map(|(_, request)| Some(request.as_ref()?.key)).collect();
        let clock = std::sync::Arc::new(office.clock.clone());
        check_at(&office.folder.config(), &office.ledger, 0, &repeated, clock)
    }

    /// Runs the seeds from `first` on.
    ///
    /// # Errors
    /// The lowest seed that was found to fail, and what does not hold with it.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn run_all(&self, first: u64, count: u64, plant: Option<Plant>) -> Result<Sum, (u64, Violation)> {
        let threads = thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let (next, end) = (AtomicU64::new(first), first + count);
        let (sum, failed) = (Mutex::new(Sum::default()), Mutex::new(None));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= end {
                            return;
                        }
                        match self.run(seed, plant, false) {
                            Ok(seen) => {
                                let mut sum = sum.lock().expect("no panic");
                                sum.seeds += 1;
                                sum.events += seen.events;
                                sum.deaths += u64::from(seen.deaths);
                                sum.certificates += seen.certificates as u64;
                            }
                            Err(violation) => {
                                next.store(end, Ordering::SeqCst);
                                let mut failed = failed.lock().expect("no panic");
                                if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                                    *failed = Some((seed, violation));
                                }
                            }
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().expect("no panic");
        failed.map_or_else(|| Ok(sum.into_inner().expect("no panic")), Err)
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}
