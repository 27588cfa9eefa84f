//! A server under load for as long as is wanted, with faults of every kind at once: kills, lost answers, a disk that fails,
//! a clock that jumps, peers that fall silent, devices that enroll, renew and are revoked. At intervals the server is stopped
//! and all invariants are checked. In its last life it is not killed: what it holds of memory, descriptors and threads must
//! not grow.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use firmware_sim::chance::Dice;
use shared::Reject;
use shared::endpoint::{ENROLL, RENEW};
use shared::message::latest::{Answer, Outcome};
use tokio::time::Instant;

use super::child::{Child, Extra};
use super::fleet::{Fleet, Request};
use super::invariants::{Invariant, Violation, check};
use super::io_errors::{Failure, certificate};
use super::ledger::Ledger;
use super::progress::Progress;
use super::site::StateFolder;
use super::trace::Fault;
use crate::harness::{HandDevice, Reply, client_config, pause, try_https};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// How long with kills, in lives of a few seconds.
    pub mixed: Duration,
    /// How long the last life is, which is measured.
    pub last: Duration,
    /// After how many lives all invariants are checked.
    pub check_every: u32,
    /// Seed of what goes wrong when.
    pub seed: u64,
    /// Plants a leak.
    pub leaks: bool,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soaked {
    /// Times that the server was killed.
    pub kills: u32,
    /// Answers that were taken.
    pub answered: u32,
    /// Answers that were lost, most of them on purpose.
    pub lost: u32,
    /// Times that the disk was made to fail.
    pub disk: u32,
    /// Times that the clock jumped.
    pub clock: u32,
    /// Devices that were revoked.
    pub revoked: u32,
    /// Times that all invariants were checked.
    pub checks: u32,
    /// At the beginning of the last life, after its warm-up, and at its end.
    pub usage: [Usage; 2],
}

/// What a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in KiB.
    pub resident: u64,
    /// Open files and sockets.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// KiB of the complete revocation list: what the server has to keep in memory, and may.
    pub list: u64,
}

/// Clients at work at once, and devices of each.
const LANES: usize = 4;
const TURNS: usize = 6;
/// Between two faults.
const STEP: Duration = Duration::from_millis(400);
/// The part of the last life that is its warm-up, in percent: caches fill with the requests that are served, of which there are
/// fewer on a machine that has other work.
const WARM_UP: u32 = 50;
/// The parts that are compared, the one after the warm-up and the last one.
const PART: u32 = 25;
/// By how much memory may differ between two parts: what an allocator keeps and caches hold, not what is lost with each
/// request.
const SLACK: u64 = 12 * 1024;
/// Times the growth of the revocation list by which memory may grow on top. In a soak every certificate is superseded by
/// the next one of its device, and so is on the list until it ends. An entry of 43 bytes lies in memory by its number
/// and by its end, for two lists, and as it stands in these, in DER and PEM; the lists before are there until
/// the next ones are signed. 13 times were seen.
const LISTED: u64 = 16;
/// The same for descriptors and threads: connections that happen to be open.
const OPEN: u64 = 24;

/// What the clients and the operator share.
struct Scene<'f> {
    fleet: &'f Fleet,
    folder: StateFolder,
    fault: Fault,
    ledger: Mutex<Ledger>,
    seen: Mutex<Soaked>,
    violation: Mutex<Option<Violation>>,
    over: AtomicBool,
}

/// What one client remembers.
struct Lane<'f> {
    devices: VecDeque<&'f HandDevice>,
    open: Option<Request>,
    /// The last request that was answered, and its certificate.
    last: Option<(Request, Vec<u8>)>,
    dice: Dice,
}

impl Soak {
    /// Runs it.
    ///
    /// # Errors
    /// The first thing that does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self) -> Result<Soaked, Violation> {
        let fleet = Fleet::new(u32::try_from(LANES * TURNS).expect("few"));
        let mut dice = Dice::new(self.seed, "soak", 0);
        let scene = Scene {
            fleet: &fleet,
            folder: fleet.new_server(),
            fault: Fault::new(),
            ledger: Mutex::default(),
            seen: Mutex::default(),
            violation: Mutex::default(),
            over: AtomicBool::new(false),
        };
        let mut lanes: Vec<Lane<'_>> = (0..)
            .zip(fleet.devices.chunks(TURNS))
            .map(|(lane, some)| Lane {
                devices: some.iter().collect(),
                open: None,
                last: None,
                dice: Dice::new(self.seed, "lane", lane),
            })
            .collect();
        let begun = Instant::now();
        let (mut lives, progress) = (0, Progress::new("lives"));
        while begun.elapsed() < self.mixed {
            let life = STEP * u32::try_from(3 + dice.below(8)).expect("few");
            self.live(&scene, &mut lanes, &mut dice, life, true)?;
            lives += 1;
            progress.at(u64::from(lives), None);
            if lives % self.check_every == 0 {
                self.check(&scene, &lanes)?;
            }
        }
        let before = scene.seen.lock().expect("no panic").answered;
        self.live(&scene, &mut lanes, &mut dice, self.last, false)?;
        if scene.seen.lock().expect("no panic").answered == before {
            return Err(Violation::of(Invariant::WayForward, "no request was answered in the last life"));
        }
        self.check(&scene, &lanes)?;
        let seen = *scene.seen.lock().expect("no panic");
        grown(seen.usage)?;
        Ok(seen)
    }

    /// One life of the server; at its end it is killed, or stopped.
    fn live<'f>(
        &self,
        scene: &Scene<'f>,
        lanes: &mut [Lane<'f>],
        dice: &mut Dice,
        length: Duration,
        is_killed: bool,
    ) -> Result<(), Violation> {
        let Scene { folder, fault, .. } = scene;
        let clock = folder.path("clock");
        fs::write(&clock, "0").expect("to set the clock");
        let mut command = Child::command(&folder.config(), &folder.path("witness"), None, None);
        Extra { clock: &clock, leaks: self.leaks }.on(&mut command);
        command.envs(fault.variables(&folder.server()));
        let child = Child::start(&mut command).map_err(|said| Violation::of(Invariant::Starts, said))?;
        let mut child = child.expect("nobody kills it");
        let port = child.port;
        scene.over.store(false, Ordering::SeqCst);
        let mut samples = Vec::new();
        thread::scope(|scope| {
            for lane in lanes.iter_mut() {
                scope.spawn(move || lane.run(scene, port));
            }
            let begun = Instant::now();
            // Peers that connect and say nothing: they are there for a life.
            let mut silent = VecDeque::new();
            while begun.elapsed() < length && scene.violation.lock().expect("no panic").is_none() {
                self.goes_wrong(scene, &clock, &child, dice);
                silent.extend(TcpStream::connect(("127.0.0.1", child.port)));
                silent.drain(..silent.len().saturating_sub(4));
                pause(STEP);
                samples.push((begun.elapsed(), usage(child.id(), &folder.server())));
            }
            if !child.is_running() {
                let found = Violation::of(Invariant::WayForward, "the server has ended by itself");
                scene.violation.lock().expect("no panic").get_or_insert(found);
            }
            if is_killed {
                child.kill();
                scene.seen.lock().expect("no panic").kills += 1;
                scene.over.store(true, Ordering::SeqCst);
            } else {
                let _counted = fault.disarm();
                scene.over.store(true, Ordering::SeqCst);
                let _said = child.stop();
            }
        });
        let _counted = fault.disarm();
        if let Some(violation) = scene.violation.lock().expect("no panic").take() {
            return Err(violation);
        }
        if !is_killed {
            scene.seen.lock().expect("no panic").usage = compared(&samples, length);
        }
        Ok(())
    }

    fn goes_wrong(&self, scene: &Scene<'_>, clock: &Path, child: &Child, dice: &mut Dice) {
        let mut seen = scene.seen.lock().expect("no panic");
        match dice.below(8) {
            0 | 1 => {
                let failure = if dice.chance(50) { Failure::Full } else { Failure::Once };
                let (errno, length) = failure.errno_and_length();
                scene.fault.arm(1 + dice.below(20), errno, length);
                seen.disk += 1;
            }
            2 => {
                // Half an hour to either side: nonces end, nothing else does.
                let jump = dice.below(3_600);
                let ahead = i64::try_from(jump).expect("an hour") - 1_800;
                fs::write(clock, ahead.to_string()).expect("to set the clock");
                seen.clock += 1;
            }
            3 if seen.revoked < 4 && seen.answered > 40 => {
                drop(seen);
                self.revoke(scene, child);
            }
            _ => {}
        }
    }

    /// The last device of a lane that is still there is revoked.
    fn revoke(&self, scene: &Scene<'_>, child: &Child) {
        let mut ledger = scene.ledger.lock().expect("no panic");
        let device = scene.fleet.devices.iter().skip(TURNS - 1).step_by(TURNS);
        let device = device.map(|device| &device.id).find(|id| !ledger.to_be_revoked.contains(*id));
        let Some(device) = device.cloned() else { return };
        ledger.to_be_revoked.insert(device.clone());
        drop(ledger);
        let reply = scene.fleet.revoke(child.port, &device);
        if reply.status == 200 {
            scene.ledger.lock().expect("no panic").revoked.push((0, device));
            scene.seen.lock().expect("no panic").revoked += 1;
        }
    }

    fn check(&self, scene: &Scene<'_>, lanes: &[Lane<'_>]) -> Result<(), Violation> {
        let folder = &scene.folder;
        let mut ledger = scene.ledger.lock().expect("no panic");
        ledger.signed.clear();
        ledger.witness(&fs::read_to_string(folder.path("witness")).unwrap_or_default(), 0);
        let last = lanes.iter().filter_map(|lane| lane.last.as_ref().map(|(request, _)| request));
        let last = last.filter(|request| request.identity.is_none());
        let last = last.filter(|request| !ledger.to_be_revoked.contains(&request.device));
        let repeated: Vec<_> = last.map(|request| request.key).collect();
        scene.seen.lock().expect("no panic").checks += 1;
        check(&folder.config(), &ledger, 0, &repeated)
    }
}

impl Lane<'_> {
    /// Sends requests until the life is over.
    fn run(&mut self, scene: &Scene<'_>, port: u16) {
        while !scene.over.load(Ordering::SeqCst) {
            let request = self.open.take().unwrap_or_else(|| self.next(scene));
            scene.ledger.lock().expect("no panic").asks(&request);
            let path = if request.identity.is_some() { RENEW } else { ENROLL };
            let config = client_config(&scene.fleet.root, request.identity.as_ref());
            let reply = match try_https(port, config, path, Some(&request.body)) {
                Ok(reply) => reply,
                Err(error) => {
                    scene.seen.lock().expect("no panic").lost += 1;
                    // A certificate that was made before the clock jumped back does not hold yet: the device enrolls, as a
                    // real one does.
                    let is_refused = error.kind() == std::io::ErrorKind::InvalidData;
                    self.open = Some(request).filter(|request| request.identity.is_none() || !is_refused);
                    pause(Duration::from_millis(20));
                    continue;
                }
            };
            match certificate(&reply) {
                Ok(Some(certificate)) => {
                    let answered =
                        scene.ledger.lock().expect("no panic").answered(&request, 0, certificate.clone());
                    if let Err(violation) = answered {
                        scene.violation.lock().expect("no panic").get_or_insert(violation);
                    }
                    if self.dice.chance(10) {
                        // The device does not hear of it, and asks again: the ledger knows what it has to be told.
                        scene.seen.lock().expect("no panic").lost += 1;
                        self.open = Some(request);
                        continue;
                    }
                    scene.seen.lock().expect("no panic").answered += 1;
                    self.last = Some((request, certificate));
                }
                Ok(None) => {
                    self.open = Some(request);
                    pause(Duration::from_millis(20));
                }
                Err(_) if is_rightly_refused(scene, &request, &reply) => {}
                Err(violation) => {
                    scene.violation.lock().expect("no panic").get_or_insert(violation);
                    return;
                }
            }
        }
    }

    /// The device that has just enrolled renews, or the next one enrolls.
    fn next(&mut self, scene: &Scene<'_>) -> Request {
        let renews = self.dice.chance(50);
        if let Some((request, certificate)) =
            self.last.take_if(|(request, _)| renews && request.identity.is_none())
            && let Some(device) = self.devices.iter().find(|device| device.id == request.device)
        {
            return scene.fleet.renewal(device, &request, &certificate);
        }
        self.devices.rotate_left(1);
        scene.fleet.enrollment(self.devices[0])
    }
}

/// A revoked device is refused. After a jump of the clock a device begins anew whose nonce has ended, or whose request was
/// recorded by a clock that was ahead: no certificate is signed for it whose life has not begun. Nor has that of its IDevID,
/// which was made for this run, where the clock was set back.
fn is_rightly_refused(scene: &Scene<'_>, request: &Request, reply: &Reply) -> bool {
    let Ok(Answer { outcome: Outcome::Rejected(rejected), .. }) = Answer::decode(&reply.body) else {
        return false;
    };
    match rejected.reject() {
        Some(Reject::DeviceRevoked | Reject::CertificateRevoked) => {
            scene.ledger.lock().expect("no panic").to_be_revoked.contains(&request.device)
        }
        Some(Reject::UnknownNonce | Reject::ExpiredNonce | Reject::UsedNonce | Reject::BadEndorsement) => {
            scene.seen.lock().expect("no panic").clock > 0
        }
        _ => false,
    }
}

/// The means of the part after the warm-up and of the last part.
fn compared(samples: &[(Duration, Usage)], length: Duration) -> [Usage; 2] {
    let (warm, part) = (length * WARM_UP / 100, length * PART / 100);
    let mean = |from: Duration, to: Duration| {
        let some: Vec<_> =
            samples.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, usage)| usage).collect();
        let mean = |of: fn(&Usage) -> u64| {
            some.iter().map(|usage| of(usage)).sum::<u64>() / (some.len() as u64).max(1)
        };
        Usage {
            resident: mean(|usage| usage.resident),
            descriptors: mean(|usage| usage.descriptors),
            threads: mean(|usage| usage.threads),
            list: mean(|usage| usage.list),
        }
    };
    [mean(warm, warm + part), mean(length - part, length * 2)]
}

fn grown([before, after]: [Usage; 2]) -> Result<(), Violation> {
    assert!(before.resident > 0 && before.descriptors > 0 && before.threads > 0, "it was looked: {before:?}");
    let listed = LISTED * after.list.saturating_sub(before.list);
    let grown = [
        ("KiB of memory", before.resident, after.resident, SLACK + listed),
        ("descriptors", before.descriptors, after.descriptors, OPEN),
        ("threads", before.threads, after.threads, OPEN),
    ];
    match grown.into_iter().find(|(_, before, after, slack)| *after > before + slack) {
        Some((what, before, after, slack)) => Err(Violation::of(
            Invariant::Flat,
            format!("from {before} to {after} {what}, and {slack} more are allowed"),
        )),
        None => Ok(()),
    }
}

fn usage(process: u32, server: &Path) -> Usage {
    let count =
        |folder: &str| fs::read_dir(format!("/proc/{process}/{folder}")).map_or(0, Iterator::count) as u64;
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let resident = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    let list = fs::metadata(server.join("crl.der")).map_or(0, |list| list.len() / 1024);
    Usage { resident, descriptors: count("fd"), threads: count("task"), list }
}
