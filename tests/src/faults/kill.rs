//! Kills a server (SIGKILL) with eight requests in flight: at random moments, and at every named place. And its PostgreSQL,
//! where it has one: then the server has to go on by itself when the database is there again.
//!
//! One database lives through all of it. After each death every client repeats the request that was not answered, and one
//! of them its last one that was; every so often, and at the end, all invariants are checked.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use enroll_server::failpoint::Plant;
use firmware_sim::chance::Dice;
use shared::endpoint::ENROLL;
use tokio::time::Instant;

use super::child::{Child, Death, Place};
use super::database::{Cluster, StoreKind};
use super::fleet::{Fleet, Request};
use super::invariants::{Invariant, Violation, check};
use super::io_errors::certificate;
use super::ledger::{KeyHash, Ledger};
use super::progress::Progress;
use super::site::StateFolder;
use crate::harness::{HandDevice, LIMIT, client_config, pause, try_https};

/// Requests in flight.
const LANES: usize = 8;
/// Devices that take turns in each lane.
const TURNS: usize = 4;
/// A random moment comes so many answers at most after a server has become ready, however fast the machine is,
const ANSWERS: u64 = 6;
/// and then so many microseconds at most.
const WINDOW: u64 = 5_000;
/// Deaths of one server, after which there is a new one: every certificate is superseded by the next one of its device, and a
/// start makes the list of all of them anew.
const DEATHS: usize = 500;
/// How many requests of each check are repeated beside those of the last deaths.
const REPEATED: usize = 16;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// Deaths at random moments.
    pub random: u32,
    /// Deaths at each named place of an issuance: at its first passage, at its second, and so on.
    pub named: u32,
    /// Deaths at each named place of the log, which a server passes once a second.
    pub log: u32,
    /// Deaths of the database, each followed by one of the server; with PostgreSQL.
    pub database: u32,
    /// Where the server's database is.
    pub store: StoreKind,
    /// After how many deaths all invariants are checked.
    pub check_every: u32,
    /// Seed of the moments.
    pub seed: u64,
    /// A defect.
    pub plant: Option<Plant>,
    /// Another one: the server ends where its database does.
    pub dies_with_database: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Killed {
    /// Deaths of the server.
    pub deaths: u32,
    /// Deaths of the database.
    pub database: u32,
    /// Requests that were answered.
    pub answered: u32,
    /// Requests that were in flight at a death.
    pub cut: u32,
    /// Times that all invariants were checked.
    pub checks: u32,
}

/// A server that dies again and again, and its clients.
struct Server<'f> {
    folder: StateFolder,
    cluster: Option<&'f Cluster>,
    ledger: Ledger,
    lanes: Vec<Lane<'f>>,
}

/// One client.
struct Lane<'f> {
    fleet: &'f Fleet,
    devices: Vec<&'f HandDevice>,
    turn: usize,
    /// The request that got no answer.
    open: Option<Request>,
    /// The last one that got its answer.
    last: Option<Request>,
    /// Whether it sends that one again at the next server.
    repeats: bool,
}

/// What dies, and when.
#[derive(Clone, Copy)]
enum What {
    Named(Death),
    Random,
    Database,
}

/// So many answers, and then so long.
type Moment = (u64, Duration);

/// A request, and the certificate that came for it, or nothing where the server was dead.
type Heard = (Request, Result<Option<Vec<u8>>, Violation>);

/// How a server comes to its end.
enum End<'c> {
    /// At a named place.
    ByItself,
    /// At this moment after its start.
    At(Moment),
    /// After its database was killed at the first moment and started again, at the second one after that.
    After(&'c Cluster, Moment, Moment),
}

/// What came of a request.
enum Came {
    Certificate(Vec<u8>),
    /// The server says: later.
    Later,
    /// No answer, or half of one.
    Nothing,
    /// What no good request is told.
    Wrong(Violation),
}

impl Kills {
    /// Runs them.
    ///
    /// # Errors
    /// The first thing that does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self) -> Result<Killed, Violation> {
        let cluster = (self.store == StoreKind::Postgres).then(Cluster::start);
        let fleet = Fleet::on(u32::try_from(LANES * TURNS).expect("few"), cluster.as_ref());
        let (mut done, mut dice) = (Killed::default(), Dice::new(self.seed, "kills", 0));
        let named = Place::ALL.into_iter().flat_map(|place| {
            let passages = if place.is_of_log() { self.log } else { self.named };
            (1..=passages).map(move |passage| What::Named(Death { place, passage }))
        });
        let database = cluster.iter().flat_map(|_| (0..self.database).map(|_| What::Database));
        let deaths: Vec<_> = named.chain(database).chain((0..self.random).map(|_| What::Random)).collect();
        let progress = Progress::new("deaths");
        for some in deaths.chunks(DEATHS) {
            let mut server = Server::new(&fleet, cluster.as_ref());
            for what in some {
                progress.at(done.deaths.into(), Some(deaths.len() as u64));
                self.kill(&mut server, *what, &mut dice, &mut done)?;
                if done.deaths.is_multiple_of(self.check_every) {
                    self.check(&mut server, &mut dice, &mut done)?;
                }
            }
            // Else it was just done.
            if !done.deaths.is_multiple_of(self.check_every) {
                self.check(&mut server, &mut dice, &mut done)?;
            }
            done.answered += u32::try_from(server.ledger.answers(0).count()).expect("few");
        }
        Ok(done)
    }

    /// Starts the server, and has it die.
    fn kill(
        &self,
        server: &mut Server<'_>,
        what: What,
        dice: &mut Dice,
        done: &mut Killed,
    ) -> Result<(), Violation> {
        let death = if let What::Named(death) = what { Some(death) } else { None };
        let config = server.folder.config();
        let mut command = Child::command(&config, &witness(&server.folder), death, self.plant);
        let mut moment = || (dice.below(ANSWERS + 1), Duration::from_micros(dice.below(WINDOW)));
        let end = match (what, server.cluster) {
            (What::Named(_), _) => End::ByItself,
            (What::Database, Some(cluster)) => End::After(cluster, moment(), moment()),
            (What::Database | What::Random, _) => End::At(moment()),
        };
        server.folder.end_leases();
        let started = Child::start(&mut command);
        if let Some(child) = started.map_err(|said| Violation::of(Invariant::Starts, said))? {
            // One client repeats what was answered, the others get on.
            let repeating = usize::try_from(done.deaths).unwrap_or_default() % LANES;
            server.lanes.iter_mut().enumerate().for_each(|(lane, of)| of.repeats = lane == repeating);
            done.cut += self.round(&mut server.lanes, &mut server.ledger, child, end)?;
        }
        done.database += u32::from(matches!(what, What::Database));
        done.deaths += 1;
        Ok(())
    }

    /// Serves all lanes until the server is dead. Gives how many requests were in flight.
    fn round(
        &self,
        lanes: &mut [Lane<'_>],
        ledger: &mut Ledger,
        mut child: Child,
        end: End<'_>,
    ) -> Result<u32, Violation> {
        let (dead, port) = (AtomicBool::new(false), child.port);
        let (tell, hear) = mpsc::channel();
        let mut heard = Vec::new();
        let (mut lives, mut dies) = (true, true);
        thread::scope(|scope| {
            for lane in lanes.iter_mut() {
                let (tell, dead) = (tell.clone(), &dead);
                scope.spawn(move || lane.run(port, dead, &tell));
            }
            drop(tell);
            match end {
                End::At(moment) => {
                    await_moment(&hear, &mut heard, moment);
                    child.kill();
                }
                End::After(cluster, database, server) => {
                    await_moment(&hear, &mut heard, database);
                    cluster.server.kill().expect("to kill the database");
                    if self.dies_with_database {
                        child.strike();
                    }
                    cluster.server.begin_again().expect("a database that starts again");
                    // What came before tells nothing: a certificate has to come by the server that has lived through it.
                    heard.extend(hear.try_iter());
                    let mut lived = 0;
                    while lived <= server.0 {
                        let Ok(came) = hear.recv_timeout(LIMIT) else { break };
                        lived += u64::from(matches!(came.1, Ok(Some(_))));
                        heard.push(came);
                    }
                    pause(server.1);
                    lives = lived > 0 && child.is_running();
                    child.kill();
                }
                End::ByItself => {
                    let begun = Instant::now();
                    while child.is_running() && begun.elapsed() < LIMIT {
                        pause(Duration::from_millis(1));
                    }
                    dies = !child.is_running();
                    child.kill();
                }
            }
            dead.store(true, Ordering::SeqCst);
            heard.extend(hear.iter());
        });
        if !lives {
            let found = format!("no certificate {LIMIT:?} after the database was there again");
            return Err(Violation::of(Invariant::WayForward, found));
        }
        assert!(dies, "within {LIMIT:?} the server does not pass the place where it is to die");
        let mut cut = 0;
        for (request, came) in heard {
            ledger.asks(&request);
            match came? {
                Some(certificate) => ledger.answered(&request, 0, certificate)?,
                None => cut += 1,
            }
        }
        Ok(cut)
    }

    fn check(&self, server: &mut Server<'_>, dice: &mut Dice, done: &mut Killed) -> Result<(), Violation> {
        let Server { folder, ledger, lanes, .. } = server;
        ledger.signed.clear();
        ledger.witness(&fs::read_to_string(witness(folder)).unwrap_or_default(), 0);
        let last = lanes.iter().flat_map(|lane| [lane.last.as_ref(), lane.open.as_ref()]);
        let mut repeated: Vec<KeyHash> = last.flatten().map(|request| request.key).collect();
        // One that is superseded is refused, and rightly: the last of each device is not.
        let mut newest: Vec<&Request> = lanes.iter().filter_map(|lane| lane.last.as_ref()).collect();
        while repeated.len() < REPEATED && !newest.is_empty() {
            let some = usize::try_from(dice.below(newest.len() as u64)).unwrap_or_default();
            repeated.push(newest.swap_remove(some).key);
        }
        folder.end_leases();
        check(&folder.config(), ledger, 0, &repeated)?;
        done.checks += 1;
        Ok(())
    }
}

impl<'f> Server<'f> {
    fn new(fleet: &'f Fleet, cluster: Option<&'f Cluster>) -> Self {
        let lanes = fleet.devices.chunks(TURNS).map(|some| Lane::new(fleet, some)).collect();
        Self { folder: fleet.new_server(), cluster, ledger: Ledger::default(), lanes }
    }
}

impl<'f> Lane<'f> {
    fn new(fleet: &'f Fleet, devices: &'f [HandDevice]) -> Self {
        Self { fleet, devices: devices.iter().collect(), turn: 0, open: None, last: None, repeats: false }
    }

    /// Sends requests until the server is dead.
    fn run(&mut self, port: u16, dead: &AtomicBool, tell: &mpsc::Sender<Heard>) {
        let config = client_config(&self.fleet.root, None);
        let mut again = self.last.clone().filter(|_| self.repeats);
        while !dead.load(Ordering::SeqCst) {
            // First what was answered before the last death, then what was not, then something new.
            let request = again.take().or_else(|| self.open.clone()).unwrap_or_else(|| self.next());
            let is_last = self.last.as_ref().is_some_and(|last| last.key == request.key);
            if !is_last {
                self.open = Some(request.clone());
            }
            let came = match try_https(port, config.clone(), ENROLL, Some(&request.body)) {
                Ok(reply) => match certificate(&reply) {
                    Ok(Some(certificate)) => Came::Certificate(certificate),
                    Ok(None) => Came::Later,
                    Err(wrong) => Came::Wrong(wrong),
                },
                Err(_) => Came::Nothing,
            };
            match came {
                Came::Certificate(certificate) => {
                    tell.send((request.clone(), Ok(Some(certificate)))).expect("somebody listens");
                    if !is_last {
                        (self.open, self.last) = (None, Some(request));
                    }
                }
                // Not as fast as it can: a database that starts again needs the processor.
                Came::Later => pause(Duration::from_millis(20)),
                Came::Nothing => {
                    tell.send((request, Ok(None))).expect("somebody listens");
                    return;
                }
                Came::Wrong(wrong) => {
                    tell.send((request, Err(wrong))).expect("somebody listens");
                    return;
                }
            }
        }
    }

    fn next(&mut self) -> Request {
        let device = self.devices[self.turn % self.devices.len()];
        self.turn += 1;
        self.fleet.enrollment(device)
    }
}

/// Hears so many of the lanes, and waits so long then.
fn await_moment(hear: &mpsc::Receiver<Heard>, heard: &mut Vec<Heard>, (answers, time): Moment) {
    heard.extend((0..answers).map_while(|_| hear.recv_timeout(LIMIT).ok()));
    pause(time);
}

fn witness(folder: &StateFolder) -> PathBuf {
    folder.path("witness")
}
