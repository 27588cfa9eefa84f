//! The server: its real issuance, its SQLite database and its log, past TLS and HTTP. It dies at the named places and
//! between requests, and starts again on what is left of its files.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use agent_core::platform::TransportError;
use ca::Serial;
use enroll_server::admin::Admin;
use enroll_server::clock::{Clock, SettableClock};
use enroll_server::config::Config;
use enroll_server::failpoint::{Failpoint, Hook};
use enroll_server::issuance::{ClientIdentity, Granted, Outcome};
use enroll_server::startup::{AtRest, start_at_rest};
use shared::message::latest::{
    Answer, BrokerSettings, ChallengeRequest, EnrollRequest, Issued, Outcome as Wire, Rejected, RenewRequest,
};
use shared::{DeviceId, Reject, UnixTime, endpoint};
use tokio::runtime::Runtime;

use super::Plant;
use super::network::{Message, Network};
use super::time::Sim;
use crate::faults::invariants::Violation;
use crate::faults::{Invariant, Ledger, Place, Request, StateFolder};
use crate::harness::{ClientKey, written};

/// A server, alive or dead.
pub(super) struct Office {
    sim: Sim,
    network: Network,
    pub(super) folder: StateFolder,
    pub(super) config: Config,
    pub(super) clock: SettableClock,
    begin: UnixTime,
    /// Its clock is that much ahead of the real time.
    ahead: Duration,
    runtime: Runtime,
    alive: Option<AtRest>,
    /// When it starts again.
    pub(super) back: Duration,
    witness: Arc<Witness>,
    trust_bundle: Vec<u8>,
    issuing: Vec<u8>,
    plant: Option<Plant>,
    pub(super) ledger: Ledger,
    /// The last request of each device that was answered with a certificate.
    pub(super) newest: Vec<Option<Request>>,
    /// Certificates that left the server, and those who are revoked.
    pub(super) issued: BTreeSet<Vec<u8>>,
    pub(super) deaths: u32,
}

/// Looks on at the named places.
#[derive(Debug, Default)]
struct Witness {
    /// One more than the number of the place where the server dies; 0 for nowhere.
    armed: AtomicU32,
    signed: Mutex<Vec<Serial>>,
}

/// What the server unwinds with when it dies.
struct Died;

/// How long a dead server stays away, at most.
const LONGEST_ABSENCE: Duration = Duration::from_secs(2 * 3600);
/// How far its clock is ahead after a start, at most.
const CLOCK: Duration = Duration::from_secs(120);

impl Office {
    pub(super) fn new(
        sim: &Sim,
        network: &Network,
        folder: StateFolder,
        begin: UnixTime,
        devices: usize,
        plant: Option<Plant>,
    ) -> Self {
        let config = Config::load(&folder.config()).expect("settings");
        let read = |path| {
            ca::pem::read_certificates(&fs::read(path).expect("a file")).expect("certificates").remove(0)
        };
        let issuing = read(&config.files.issuing_certificate);
        let trust_bundle = fs::read(folder.path("server/trust.bundle")).expect("a trust bundle");
        Self {
            sim: sim.clone(),
            network: network.clone(),
            folder,
            config,
            clock: SettableClock::new(begin),
            begin,
            ahead: Duration::ZERO,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            alive: None,
            back: Duration::ZERO,
            witness: Arc::default(),
            trust_bundle,
            issuing,
            plant,
            ledger: Ledger::default(),
            newest: vec![None; devices],
            issued: BTreeSet::new(),
            deaths: 0,
        }
    }

    /// Starts it, where its time has come.
    pub(super) fn start(&mut self) -> Result<(), Violation> {
        if self.alive.is_some() || self.sim.now() < self.back {
            return Ok(());
        }
        self.ahead = if self.network.fails(30) { self.sim.some(CLOCK) } else { Duration::ZERO };
        self.set_clock();
        self.arm(4, &Place::ALL);
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let config = self.config.clone();
        let hook = self.hook();
        let started = self.until_death(async move { Box::pin(start_at_rest(&config, &clock, hook)).await });
        match started {
            Some(Ok(at_rest)) => {
                self.sim.tell("server", "starts");
                self.alive = Some(at_rest);
                Ok(())
            }
            Some(Err(error)) => Err(Violation::of(Invariant::Starts, error)),
            None => {
                self.dies("at its start");
                Ok(())
            }
        }
    }

    /// Serves a request that has arrived.
    pub(super) fn serve(&mut self, message: &Message) -> Result<(), Violation> {
        if self.alive.is_none() {
            self.network.answer(message, Err(TransportError::Unreachable));
            return Ok(());
        }
        if self.network.fails(1) {
            self.network.answer(message, Err(TransportError::Closed));
            self.dies("between two requests");
            return Ok(());
        }
        self.set_clock();
        self.arm(6, &Place::ALL[..4]);
        if let Some(request) = request_of(message) {
            self.ledger.asks(&request);
        }
        let answered = self.with(|office, at_rest| office.answer(at_rest, message));
        match answered {
            Some(answered) => {
                let (status, body, granted) = answered;
                self.sim.tell("server", format_args!("call {} gets {status}", message.call));
                if let (Some(certificate), Some(request)) = (granted, request_of(message)) {
                    self.ledger.answered(&request, 0, certificate.clone())?;
                    self.issued.insert(certificate);
                    self.newest[message.device] = Some(request);
                }
                self.network.answer(message, Ok((status, body)));
            }
            None => {
                self.network.answer(message, Err(TransportError::Closed));
                self.dies("in a request");
            }
        }
        Ok(())
    }

    /// Logs what waits.
    pub(super) fn keep_log(&mut self) {
        if self.alive.is_none() {
            return;
        }
        self.set_clock();
        self.arm(10, &Place::ALL[4..]);
        let done = self.with(|office, at_rest| {
            office.runtime.block_on(async { while at_rest.log.round().await.is_ok_and(|more| more) {} });
        });
        if done.is_none() {
            self.dies("in its log");
        }
    }

    /// Revokes a device. `false` where the server is away.
    pub(super) fn revoke(&mut self, device: &DeviceId) -> bool {
        if self.alive.is_none() {
            return false;
        }
        self.set_clock();
        self.ledger.to_be_revoked.insert(device.clone());
        let revoked = self.with(|office, at_rest| {
            let admin = Admin::new(Arc::clone(at_rest.issuance.store()), Arc::new(office.clock.clone()));
            office.runtime.block_on(admin.revoke(device, ca::crl::Reason::KeyCompromise)).is_ok()
        });
        if revoked == Some(true) {
            self.sim.tell("server", format_args!("{} is revoked", self.devices_name(device)));
            self.ledger.revoked.push((0, device.clone()));
        }
        revoked == Some(true)
    }

    /// Ends it, for the check.
    pub(super) fn stop(&mut self) {
        if let Some(at_rest) = self.alive.take() {
            self.runtime.block_on(at_rest.issuance.store().close()).expect("to close the store");
        }
        self.ledger.signed = self.signed().iter().map(|serial| (0, *serial)).collect();
    }

    fn signed(&self) -> Vec<Serial> {
        self.witness.signed.lock().expect("no panic").clone()
    }

    fn devices_name(&self, device: &DeviceId) -> String {
        self.newest
            .iter()
            .position(|known| known.as_ref().is_some_and(|known| known.device == *device))
            .map_or_else(|| "a device".to_owned(), |number| number.to_string())
    }

    fn set_clock(&self) {
        self.clock.set(self.begin.after(self.sim.now() + self.ahead));
    }

    /// Has the server die at one of these places, in `percent` of 100 cases.
    fn arm(&self, percent: u64, places: &[Place]) {
        let armed = if self.network.fails(percent) {
            let some = usize::try_from(self.sim.draw(|dice| dice.below(places.len() as u64))).expect("few");
            Place::ALL.iter().position(|place| *place == places[some]).map_or(0, |place| place + 1)
        } else {
            0
        };
        self.witness.armed.store(u32::try_from(armed).expect("few"), Ordering::SeqCst);
    }

    fn hook(&self) -> Hook {
        let witness = Arc::clone(&self.witness);
        let hook = Hook::new(move |place: Failpoint| {
            if let Failpoint::Signed(serial) = place {
                witness.signed.lock().expect("no panic").push(serial);
            }
            let armed = witness.armed.load(Ordering::SeqCst);
            let here = Place::ALL.iter().position(|known| *known == Place::of(place));
            if here.is_some_and(|here| u32::try_from(here + 1) == Ok(armed)) {
                witness.armed.store(0, Ordering::SeqCst);
                // Past the panic hook: nothing is printed.
                resume_unwind(Box::new(Died));
            }
        });
        match self.plant {
            Some(Plant::SignsBeforeRecording) => {
                hook.with_plant(enroll_server::failpoint::Plant::SignsBeforeRecording)
            }
            _ => hook,
        }
    }

    /// Does something with the server that lives. `None` where it dies of it.
    fn with<T>(&mut self, work: impl FnOnce(&Self, &mut AtRest) -> T) -> Option<T> {
        let mut at_rest = self.alive.take()?;
        let done = catch_unwind(AssertUnwindSafe(|| work(self, &mut at_rest)));
        self.alive = Some(at_rest);
        survived(done)
    }

    fn until_death<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        survived(catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(work))))
    }

    fn dies(&mut self, where_: &str) {
        self.deaths += 1;
        if let Some(at_rest) = self.alive.take() {
            // What a place comes before was not asked of the store; what it comes after is durable.
            self.runtime.block_on(at_rest.issuance.store().close()).expect("to close the store");
        }
        if self.plant == Some(Plant::LosesDatabase) {
            self.folder.forget_certificates();
        }
        self.back = self.sim.now() + Duration::from_secs(1) + self.sim.some(LONGEST_ABSENCE);
        self.sim.wake_at(self.back);
        self.sim.tell("server", format_args!("dies {where_}"));
    }

    /// Status, body and certificate.
    fn answer(&self, at_rest: &AtRest, message: &Message) -> (u16, Vec<u8>, Option<Vec<u8>>) {
        let issuance = &at_rest.issuance;
        let identity =
            message.leaf.as_deref().map(ClientIdentity::from_der).transpose().expect("a certificate");
        let outcome = self.runtime.block_on(Box::pin(async {
            Ok(match message.path.as_str() {
                endpoint::CHALLENGE => {
                    let request = ChallengeRequest::decode(&message.body).expect("a message");
                    let challenged = issuance.challenge(&request).await?;
                    return Ok(Err(written(|out| challenged.message().encode(out))));
                }
                endpoint::ENROLL => {
                    let request = EnrollRequest::decode(&message.body).expect("a message");
                    Ok((request.device.clone(), issuance.enroll(&request).await?))
                }
                endpoint::RENEW => {
                    let request = RenewRequest::decode(&message.body).expect("a message");
                    Ok((request.device.clone(), issuance.renew(&request, identity.as_ref()).await?))
                }
                _ => Err(self.trust_bundle.clone()),
            })
        }));
        let outcome: Result<_, enroll_server::issuance::Denied> = outcome;
        match outcome {
            Ok(Err(body)) => (200, body, None),
            Ok(Ok((device, Outcome::Granted(granted)))) => {
                (200, self.issued(&device, &granted), Some(granted.der().to_vec()))
            }
            Ok(Ok((_, Outcome::Held))) => {
                let pending = Wire::Pending { retry_after: Duration::from_secs(60) };
                (202, self.encode(pending), None)
            }
            Err(denied) => {
                let (reject, retry_after) = (denied.reject(), Some(Duration::from_secs(60)));
                let retry_after = retry_after.filter(|_| reject == Reject::Unavailable);
                let rejected = Rejected { code: reject.code(), message: "Refused.", retry_after };
                (reject.http_status(), self.encode(Wire::Rejected(rejected)), None)
            }
        }
    }

    fn issued(&self, device: &DeviceId, granted: &Granted) -> Vec<u8> {
        let (renew_from, renew_by) = granted.validity().renewal_window();
        let topic = |kind: &str| format!("devices/{device}/{kind}");
        let (telemetry, status, command) = (topic("telemetry"), topic("status"), topic("command"));
        self.encode(Wire::Issued(Issued {
            chain: [granted.der(), self.issuing.as_slice()].into_iter().collect(),
            renew_from,
            renew_by,
            trust_bundle: &self.trust_bundle,
            broker: BrokerSettings {
                host: "localhost",
                port: 8883,
                telemetry_topic: &telemetry,
                status_topic: &status,
                command_topic: &command,
                keep_alive: 60,
            },
        }))
    }

    fn encode(&self, outcome: Wire<'_>) -> Vec<u8> {
        written(|out| Answer { server_time: self.clock.now(), outcome }.encode(out))
    }
}

fn survived<T>(done: std::thread::Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(died) if died.is::<Died>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// The request for a certificate in a message, as the ledger knows it.
fn request_of(message: &Message) -> Option<Request> {
    let (device, csr) = match message.path.as_str() {
        endpoint::ENROLL => {
            EnrollRequest::decode(&message.body).ok().map(|request| (request.device, request.csr))?
        }
        endpoint::RENEW => {
            RenewRequest::decode(&message.body).ok().map(|request| (request.device, request.csr))?
        }
        _ => return None,
    };
    let key = *appraisal::csr::check(csr).ok()?.spki_sha256();
    let identity = message.leaf.as_ref().map(|leaf| ClientKey { chain: vec![leaf.clone()], key: Vec::new() });
    Some(Request { device, key, body: message.body.clone(), private_key: Vec::new(), identity })
}
