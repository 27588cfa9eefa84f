//! One device with all it needs, in virtual time.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use agent_core::evidence::{Firmware, IdevidAttester, TokenAttester};
use agent_core::flow::{Agent, Control, Notice, OnceError, Platform, Settings, Status};
use agent_core::keystore::{SoftKey, SoftKeyStore, Unwrapped};
use agent_core::platform::{Attester, Clock, Observer, SigningKey as _};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use shared::evidence::{DebugStatus, Measurement};
use shared::{DeviceId, UnixTime};

use super::broker::{Hall, HallBroker};
use super::pki::key;
use super::server::{Fault, Office, OfficeTransport};
use super::storage::MemoryStorage;

/// When the tests begin.
pub const START: u64 = 1_800_000_000;
/// When the device's software was built.
pub const BUILT: u64 = 1_799_000_000;

/// Virtual time, shared by all.
#[derive(Clone, Default)]
pub struct Time {
    uptime: Rc<Cell<Duration>>,
    stop_at: Rc<Cell<Option<Duration>>>,
    control: Rc<RefCell<Rc<Control>>>,
}

impl Time {
    pub fn uptime(&self) -> Duration {
        self.uptime.get()
    }

    /// The real time, whatever the device thinks.
    pub fn real(&self) -> UnixTime {
        UnixTime::from_secs(START).after(self.uptime())
    }

    pub fn pass(&self, duration: Duration) {
        self.uptime.set(self.uptime() + duration);
        if self.stop_at.get().is_some_and(|at| at <= self.uptime()) {
            self.control.borrow().stop();
        }
    }
}

/// The device's clock: uptime, and perhaps a real-time clock that is off by so much.
pub struct TestClock {
    time: Time,
    /// Seconds added to the real time; none means no clock.
    pub wall: Option<i64>,
}

impl Clock for TestClock {
    fn wall(&self) -> Option<UnixTime> {
        let offset = self.wall?;
        Some(UnixTime::from_secs(self.time.real().as_secs().saturating_add_signed(offset)))
    }

    fn uptime(&self) -> Duration {
        self.time.uptime()
    }

    async fn sleep(&mut self, duration: Duration) {
        assert!(!duration.is_zero(), "a wait of nothing is a busy loop");
        self.time.pass(duration);
    }
}

/// Random numbers out of a hash, the same in each run; may fail.
#[derive(Clone)]
pub struct TestRng {
    state: [u8; 32],
    pub broken: bool,
}

impl TestRng {
    pub fn new(seed: u64) -> Self {
        Self { state: Sha256::digest(seed.to_be_bytes()).into(), broken: false }
    }
}

impl RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        panic!("the core uses try_fill_bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("the core uses try_fill_bytes only")
    }

    fn fill_bytes(&mut self, _: &mut [u8]) {
        panic!("the core uses try_fill_bytes only")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        if self.broken {
            return Err(core::num::NonZeroU32::MIN.into());
        }
        for chunk in out.chunks_mut(32) {
            self.state = Sha256::digest(self.state).into();
            chunk.copy_from_slice(&Sha256::digest([&self.state[..], b"out"].concat())[..chunk.len()]);
        }
        Ok(())
    }
}

impl CryptoRng for TestRng {}

/// Writes down the names of what happens.
#[derive(Clone, Default)]
pub struct Diary(pub Rc<RefCell<Vec<String>>>);

impl Observer for Diary {
    fn notice(&mut self, notice: &Notice<'_>) {
        let _displayable = format!("{notice:?}");
        self.0.borrow_mut().push(notice.name().into());
    }
}

/// The parts of the test, with any attester.
pub type AnyPlatform<A> = Platform<
    SoftKeyStore<Unwrapped>,
    MemoryStorage,
    TestClock,
    TestRng,
    A,
    OfficeTransport,
    HallBroker,
    Diary,
>;
pub type TestPlatform<'d> = AnyPlatform<IdevidAttester<'d, SoftKey>>;
pub type TokenPlatform = AnyPlatform<TokenAttester>;

/// Everything around one device.
pub struct World {
    pub time: Time,
    pub office: Rc<RefCell<Office>>,
    pub hall: Rc<RefCell<Hall>>,
    pub storage: MemoryStorage,
    pub diary: Diary,
    pub wall: Option<i64>,
    pub seed: u64,
    /// How often the device comes to the server with nothing to ask; never, where a test does not say so.
    pub check_in: Duration,
    /// How often it reports its trust bundle; only when asked, where a test does not say so.
    pub trust_check: Duration,
    idevid: Vec<u8>,
    provisioned: Vec<u8>,
    boots: Cell<u64>,
}

impl World {
    pub fn new() -> Self {
        let time = Time::default();
        let office = Office::new(time.clone(), "SN-0001");
        let idevid = office.maker.issue(
            "SN-0001",
            &key(1).public_point(),
            7,
            UnixTime::from_secs(BUILT),
            UnixTime::from_secs(4_000_000_000),
        );
        let provisioned = office.bundle.clone();
        let hall = Hall {
            faults: VecDeque::new(),
            known_only: false,
            away: false,
            commands: VecDeque::new(),
            patience: None,
            accepted: Vec::new(),
            published: Vec::new(),
            logins: 0,
        };
        Self {
            time,
            office: Rc::new(RefCell::new(office)),
            hall: Rc::new(RefCell::new(hall)),
            storage: MemoryStorage::default(),
            diary: Diary::default(),
            wall: Some(0),
            seed: 1,
            check_in: Duration::ZERO,
            trust_check: Duration::ZERO,
            idevid,
            provisioned,
            boots: Cell::new(0),
        }
    }

    pub fn settings(&self) -> Settings<'_> {
        let mut settings =
            Settings::new("enroll.example", 8443, &self.provisioned, UnixTime::from_secs(BUILT));
        settings.telemetry_interval = Duration::from_secs(3600);
        settings.poll = Duration::from_secs(3600);
        settings.software_version = "1.2.0";
        settings.pace.check_in = self.check_in;
        settings.pace.trust_check = self.trust_check;
        settings
    }

    /// Starts the device, as after a power-up.
    pub fn boot(&self) -> Agent<'_, TestPlatform<'_>> {
        Agent::new(self.platform(self.idevid()), self.settings())
    }

    /// The same with a one-time token in place of the IDevID.
    pub fn boot_with_token(&self, token: &str) -> Agent<'_, TokenPlatform> {
        self.boot_with(TokenAttester::new(DeviceId::new("SN-0001").unwrap(), token).unwrap())
    }

    /// The same with evidence of another kind.
    pub fn boot_with<A: Attester>(&self, attester: A) -> Agent<'_, AnyPlatform<A>> {
        Agent::new(self.platform(attester), self.settings())
    }

    fn platform<A>(&self, attester: A) -> AnyPlatform<A> {
        self.boots.set(self.boots.get() + 1);
        Platform {
            keys: SoftKeyStore::new(Unwrapped),
            storage: self.storage.clone(),
            clock: TestClock { time: self.time.clone(), wall: self.wall },
            rng: TestRng::new(self.seed << 20 | self.boots.get()),
            attester,
            transport: OfficeTransport(self.office.clone()),
            broker: HallBroker { hall: self.hall.clone(), office: self.office.clone() },
            observer: self.diary.clone(),
        }
    }

    pub fn idevid(&self) -> IdevidAttester<'_, SoftKey> {
        let firmware = Firmware {
            oemid: 32473,
            hwmodel: "TH-100",
            hwversion: "1",
            swname: "thermo",
            swversion: "1.2.0",
            debug: DebugStatus::DisabledPermanently,
            measurements: [Measurement { component: "application", version: "1.2.0", digest: [7; 32] }]
                .into_iter()
                .collect(),
        };
        IdevidAttester::new(key(1), &[&self.idevid], firmware).unwrap()
    }

    /// Starts the device and lets it run for so long, or until its power fails.
    pub fn run_for(&self, duration: Duration) {
        let control = self.control_for(duration);
        let mut agent = self.boot();
        if let Some(result) = self.drive(agent.run(&control)) {
            result.unwrap();
        }
    }

    /// The same with evidence of another kind; the power does not fail.
    pub fn run_with<A: Attester>(&self, attester: A, duration: Duration) {
        let control = self.control_for(duration);
        let mut agent = self.boot_with(attester);
        self.drive(agent.run(&control)).unwrap().unwrap();
    }

    /// A control that stops after so long.
    pub fn control_for(&self, duration: Duration) -> Rc<Control> {
        let control = Rc::new(Control::new());
        *self.time.control.borrow_mut() = control.clone();
        self.time.stop_at.set(Some(self.time.uptime() + duration));
        control
    }

    /// Runs a future to its end; `None` where the power failed.
    pub fn drive<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending if self.storage.is_dead() => None,
            Poll::Pending => panic!("nothing here ever waits, except for power"),
        }
    }

    pub fn status(&self) -> Status {
        self.drive(self.boot().status()).unwrap().unwrap()
    }

    pub fn enroll_once(&self) -> Result<Status, OnceError> {
        let control = self.control_for(Duration::from_secs(86_400));
        self.drive(self.boot().enroll_once(&control)).unwrap()
    }

    pub fn renew_once(&self) -> Result<Status, OnceError> {
        let control = self.control_for(Duration::from_secs(86_400));
        self.drive(self.boot().renew_once(&control)).unwrap()
    }

    pub fn renew_if_due(&self) -> Result<Option<Status>, OnceError> {
        let control = self.control_for(Duration::from_secs(86_400));
        self.drive(self.boot().renew_if_due(&control)).unwrap()
    }

    /// Makes the next exchange on `path` go wrong, after those that were asked for before.
    pub fn fault(&self, path: &'static str, fault: Fault) {
        self.office.borrow_mut().faults.push_back((path, fault));
    }

    /// How often the server was asked on `path`.
    pub fn asked(&self, path: &str) -> usize {
        self.office.borrow().log.iter().filter(|asked| **asked == path).count()
    }

    /// Has the broker send a command, so many seconds after the start.
    pub fn command(&self, second: u64, payload: &[u8]) {
        self.hall.borrow_mut().commands.push_back((Duration::from_secs(second), payload.to_vec()));
    }

    /// From now on the broker accepts no other keys than it has accepted before.
    pub fn refuse_next_keys(&self) {
        self.hall.borrow_mut().known_only = true;
    }

    pub fn accept_all_keys(&self) {
        self.hall.borrow_mut().known_only = false;
    }

    /// Changes the trust bundle the device is provisioned with.
    pub fn provision(&mut self, bundle: Vec<u8>) {
        self.provisioned = bundle;
    }

    /// How often something was noticed.
    pub fn count(&self, name: &str) -> usize {
        self.diary.0.borrow().iter().filter(|n| *n == name).count()
    }

    /// The last key the broker accepted.
    pub fn last_accepted(&self) -> Option<agent_core::platform::PublicPoint> {
        self.hall.borrow().accepted.last().copied()
    }
}
