//! Lets the n-th operation on the disk fail, for every n: writes, syncs, openings, changes of names. The disk is full for a
//! while, or an operation fails once; then all is well again, and the same process has to go on.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::thread;

use enroll_server::failpoint::Plant;
use rustix::io::Errno;
use shared::Reject;
use shared::endpoint::{ENROLL, RENEW};
use shared::message::latest::{Answer, Outcome};

use super::child::Child;
use super::fleet::{Fleet, Request};
use super::invariants::{Invariant, Violation, check};
use super::ledger::{Asked, Ledger};
use super::progress::Progress;
use super::trace::Watch;
use crate::harness::{Reply, client_config, try_https};

/// How operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full for thirty operations (ENOSPC). A write that finds it full writes half first.
    Full,
    /// One operation fails (EIO).
    Once,
}

impl Failure {
    /// The number by which the system says so, and how many operations in a row fail.
    pub(super) const fn errno_and_length(self) -> (i32, u64) {
        match self {
            Self::Full => (Errno::NOSPC.raw_os_error(), 30),
            Self::Once => (Errno::IO.raw_os_error(), 1),
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct IoErrors {
    /// How operations fail.
    pub failure: Failure,
    /// How many devices enroll in each run; the first one renews, and is revoked.
    pub enrollments: u32,
    /// A defect.
    pub plant: Option<Plant>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// Operations that failed, one a run.
    pub operations: u64,
    /// Runs in which the server did not start.
    pub starts: u64,
    /// Requests that were answered with "later".
    pub later: u64,
}

/// How often requests are repeated in a run before nothing helps any more.
const PATIENCE: u32 = 300;

impl IoErrors {
    /// Runs them: each n until one run is clean.
    ///
    /// # Errors
    /// The first n after which something does not hold.
    ///
    /// # Panics
    /// Where the machine cannot run it.
    pub fn run(&self) -> Result<Failed, (u64, Violation)> {
        let fleet = Fleet::new(self.enrollments);
        let threads = thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let progress = Progress::new("operations");
        let (next, done) = (AtomicU64::new(1), Mutex::new(Ok(Failed::default())));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        progress.at(n, None);
                        let mut one = Failed::default();
                        let result = self.at(&fleet, n, &mut one);
                        let mut done = done.lock().expect("no panic");
                        match (result, done.as_mut()) {
                            (_, Err(_)) | (Ok(false), _) => return,
                            (Ok(true), Ok(sum)) => {
                                sum.operations += 1;
                                sum.starts += one.starts;
                                sum.later += one.later;
                            }
                            (Err(violation), Ok(_)) => {
                                *done = Err((n, violation));
                                return;
                            }
                        }
                    }
                });
            }
        });
        done.into_inner().expect("no panic")
    }

    /// One run in which the n-th operation fails. Gives whether there was an n-th one.
    fn at(&self, fleet: &Fleet, n: u64, done: &mut Failed) -> Result<bool, Violation> {
        let folder = fleet.new_server();
        let (marks, failed) = (folder.path("witness"), folder.path("failed"));
        let mut command = Child::command(&folder.config(), &marks, None, self.plant);
        let (errno, length) = self.failure.errno_and_length();
        let fail = Some((n, errno, length, failed.as_path()));
        Watch { root: &folder.server(), trace: None, marks: &marks, fail }.on(&mut command);
        let mut ledger = Ledger::default();
        match Child::start(&mut command) {
            Ok(Some(child)) => {
                let served = self.serve(fleet, &child, &mut ledger, done);
                let said = child.stop();
                served?;
                if said.contains("panicked") {
                    return Err(Violation::of(Invariant::WayForward, said));
                }
            }
            // It says why, and starts when the disk is good again.
            Err(said) if said.contains("the server does not start: ") && failed.exists() => done.starts += 1,
            other => return Err(Violation::of(Invariant::Starts, format!("{other:?}"))),
        }
        ledger.witness(&std::fs::read_to_string(&marks).unwrap_or_default(), 0);
        // A revoked device gets nothing any more.
        let stays = |asked: &&Asked| !ledger.to_be_revoked.contains(&asked.request.device);
        let keys: Vec<_> = ledger.asked.values().filter(stays).map(|asked| asked.request.key).collect();
        check(&folder.config(), &ledger, 0, &keys)?;
        Ok(failed.exists())
    }

    fn serve(
        &self,
        fleet: &Fleet,
        child: &Child,
        ledger: &mut Ledger,
        done: &mut Failed,
    ) -> Result<(), Violation> {
        let mut patience = PATIENCE;
        let mut later = || {
            done.later += 1;
            patience -= 1;
            patience > 0
        };
        enroll_and_renew(fleet, child, ledger, &mut later)?;
        revoke(fleet, child, ledger, &mut later)
    }
}

/// The first device is revoked. Until the operator is told so, the server may only say "later".
fn revoke(
    fleet: &Fleet,
    child: &Child,
    ledger: &mut Ledger,
    later: &mut dyn FnMut() -> bool,
) -> Result<(), Violation> {
    let Some(device) = fleet.devices.first().map(|device| device.id.clone()) else { return Ok(()) };
    ledger.to_be_revoked.insert(device.clone());
    loop {
        let reply = fleet.revoke(child.port, &device);
        match reply.status {
            200 => {
                ledger.revoked.push((0, device));
                return Ok(());
            }
            503 if later() => {}
            _ => {
                let found = format!("the operator who revokes {device} is told {reply:?}");
                return Err(Violation::of(Invariant::WayForward, found));
            }
        }
    }
}

/// All devices enroll, the first renews. Where the server says "later", `later` tells whether to go on.
pub(super) fn enroll_and_renew(
    fleet: &Fleet,
    child: &Child,
    ledger: &mut Ledger,
    later: &mut dyn FnMut() -> bool,
) -> Result<(), Violation> {
    let mut first = None;
    for device in &fleet.devices {
        let request = fleet.enrollment(device);
        let certificate = insist(fleet, child, &request, ledger, later)?;
        first.get_or_insert((device, request, certificate));
    }
    if let Some((device, request, certificate)) = &first {
        let renewal = fleet.renewal(device, request, certificate);
        let _certificate = insist(fleet, child, &renewal, ledger, later)?;
    }
    Ok(())
}

/// Sends a request until it is answered: before that the server may only say "later".
fn insist(
    fleet: &Fleet,
    child: &Child,
    request: &Request,
    ledger: &mut Ledger,
    later: &mut dyn FnMut() -> bool,
) -> Result<Vec<u8>, Violation> {
    ledger.asks(request);
    let path = if request.identity.is_some() { RENEW } else { ENROLL };
    loop {
        let config = client_config(&fleet.root, request.identity.as_ref());
        let reply = try_https(child.port, config, path, Some(&request.body));
        let reply =
            reply.map_err(|error| Violation::of(Invariant::WayForward, format!("no answer: {error}")))?;
        if let Some(certificate) = certificate(&reply)? {
            ledger.answered(request, 0, certificate.clone())?;
            return Ok(certificate);
        }
        if !later() {
            let found = format!("{} is told \"later\", with a disk that is good again", request.device);
            return Err(Violation::of(Invariant::WayForward, found));
        }
    }
}

/// The certificate, or nothing where the device is to come later; anything else is the wrong answer to a good request,
/// whatever the machine does.
pub(super) fn certificate(reply: &Reply) -> Result<Option<Vec<u8>>, Violation> {
    let wrong = || Violation::of(Invariant::WayForward, format!("the wrong answer: {reply:?}"));
    let answer = Answer::decode(&reply.body).map_err(|_| wrong())?;
    match answer.outcome {
        Outcome::Issued(issued) => Ok(issued.chain.first().map(|leaf| leaf.to_vec())),
        Outcome::Rejected(rejected)
            if rejected.reject() == Some(Reject::Unavailable)
                && reply.status == 503
                && rejected.retry_after.is_some() =>
        {
            Ok(None)
        }
        _ => Err(wrong()),
    }
}
