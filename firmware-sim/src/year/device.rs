//! One device over the whole time: it starts, runs, loses its power, and starts again.
//!
//! The agent is that of every device: `agent_core::flow`, over the TLS, HTTPS and MQTT of the Linux daemon and over
//! the records of the microcontroller in a simulated flash, which survives the loss of power and nothing else does.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use agent::config::Timeouts;
use agent::heartbeat::Heartbeat;
use agent::mqtt::{MqttBroker, Pause};
use agent::transport::HttpsTransport;
use agent_core::flow::{Agent, Control, Notice, Platform, Settings};
use agent_core::keystore::SoftKeyStore;
use agent_core::lifecycle::Pace;
use agent_core::platform::Observer;
use agent_mcu::flash::{FlashStorage, SCRATCH};
use agent_mcu::wrap::{SoftCipher, Wrapped};
use enroll_server::clock::Clock as _;
use shared::UnixTime;
use tokio::sync::{Notify, watch};

use super::clock::{DeviceClock, Wall};
use super::flash::{Flash, PAGE, Powered, SIZE};
use super::ledger::Ledger;
use super::network::Calls;
use super::plan::{Cut, MINUTE, Nature};
use super::plant::{Keys, Plant};
use super::time::{Participant, VirtualTime};
use crate::chance::Dice;
use crate::device::{DeviceError, DeviceSpec, Factory};
use crate::faults::{Fault, FaultyStorage, FaultyTransport, Plan};
use crate::fleet::chain;

/// When the firmware of the simulated devices was built, as far as the time floor is concerned.
pub(super) const BUILT: UnixTime = match UnixTime::from_civil(2026, 11, 1, 0, 0, 0) {
    Some(time) => time,
    None => UnixTime::from_secs(0),
};
/// How long the power stays away after a cut, at most.
const LONGEST_CUT: Duration = Duration::from_secs(30 * 60);
/// The longest single wait of an agent: nobody asks it to stop, its power is cut instead.
const POLL: Duration = Duration::from_secs(400 * 86_400);

/// What all devices have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) time: VirtualTime,
    pub(super) ledger: Ledger,
    pub(super) telemetry: Duration,
    /// Mean time between two reports, and between two questions for what an operator wants.
    pub(super) report: Duration,
    pub(super) plant: Option<Plant>,
}

/// A device.
pub(super) struct Life {
    pub(super) number: usize,
    pub(super) spec: DeviceSpec,
    pub(super) common: Common,
    /// Whether it has power, as far as the director is concerned.
    pub(super) power: watch::Receiver<bool>,
    has_clock: bool,
    begins: Duration,
    cuts: VecDeque<Cut>,
    lost_answer: Option<u64>,
    dice: Dice,
    fuses: [u8; 32],
    flash: Flash,
}

/// Why a start is over.
enum Over {
    /// The director took the power.
    Off,
    /// It was cut amid a write.
    Cut,
    /// The agent gave up.
    Ended(DeviceError),
}

impl Life {
    /// The device `number`, as `nature` has it.
    pub(super) fn new(
        number: usize,
        spec: DeviceSpec,
        nature: &Nature,
        seed: u64,
        common: Common,
        power: watch::Receiver<bool>,
    ) -> Self {
        let mut dice = Dice::new(seed, "device", number as u64);
        let mut fuses = [0; 32];
        rand_core::RngCore::fill_bytes(&mut dice, &mut fuses);
        Self {
            number,
            spec,
            common,
            power,
            has_clock: nature.has_clock,
            begins: nature.begins,
            cuts: nature.cuts.clone().into(),
            lost_answer: Some(nature.lost_answer),
            dice,
            fuses,
            flash: Flash::default(),
        }
    }

    /// Lives until the future is dropped; `who` takes part in the time already.
    pub(super) async fn run(mut self, who: Participant) {
        who.sleep_until(self.begins).await;
        let mut who = Some(Arc::new(who));
        loop {
            if !*self.power.borrow_and_update() {
                // Takes no part in the time meanwhile. Whoever switches it on waits until it has started.
                who = None;
                if self.power.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let present = who.take().unwrap_or_else(|| Arc::new(self.common.time.join(self.spec.id())));
            self.common.ledger.power_on(self.number);
            let over = Box::pin(self.start(&present)).await;
            self.flash.power_on();
            match over {
                Over::Off => self.common.ledger.power_off(self.number),
                Over::Cut => {
                    self.cuts.pop_front();
                    self.common.ledger.power_off(self.number);
                    self.common.ledger.entry(self.number, |entry, _| entry.cuts += 1);
                    let pause = self.dice.between(Duration::from_secs(1), LONGEST_CUT);
                    tokio::select! {
                        () = present.sleep(pause) => {}
                        _switched = self.power.changed() => {}
                    }
                }
                Over::Ended(error) => {
                    self.common.ledger.power_off(self.number);
                    let text = chain(&error);
                    self.common.ledger.entry(self.number, |entry, _| entry.ended = Some(text.clone()));
                    self.common.ledger.violation(format!("{}: its agent ended: {text}", self.spec.id()));
                    return;
                }
            }
            who = Some(present);
        }
    }

    /// From one start to the loss of power.
    async fn start(&mut self, who: &Arc<Participant>) -> Over {
        match self.attempt(who).await {
            Ok(over) => over,
            Err(error) => Over::Ended(error),
        }
    }

    async fn attempt(&mut self, who: &Arc<Participant>) -> Result<Over, DeviceError> {
        let wall = self.wall();
        let factory = Factory::read(&self.spec)?;
        let attester = factory.attester(&self.spec)?;
        let trust_bundle = self.spec.read_trust_bundle()?;
        let mut scratch = vec![0; SCRATCH];
        let (plan, cut) = (self.arm(), Rc::new(Notify::new()));
        let lost = self.lost_answer.take().map_or((Fault::None, 0), |at| (Fault::OutcomeLost, at));
        let range = 0..u32::try_from(SIZE).unwrap_or(PAGE);
        let records = FlashStorage::new(self.flash.clone(), range, &mut scratch);
        let https = HttpsTransport::new(Timeouts::default(), Heartbeat::silent());
        let platform = Platform {
            keys: Keys {
                inner: SoftKeyStore::new(Wrapped::new(SoftCipher::new(&self.fuses))),
                erases_early: self.common.plant == Some(Plant::ErasesKeyEarly),
            },
            storage: Powered {
                known: HashMap::new(),
                inner: FaultyStorage::new(records, plan.clone()),
                plan,
                flash: self.flash.clone(),
                cut: Rc::clone(&cut),
            },
            clock: DeviceClock::start(Arc::clone(who), wall),
            rng: &mut self.dice,
            attester,
            transport: Calls {
                inner: FaultyTransport::new(https, Plan::new(lost.0, lost.1)),
                who: Arc::clone(who),
                ledger: self.common.ledger.clone(),
                device: self.number,
                plant: self.common.plant,
            },
            broker: MqttBroker::pausing(
                Timeouts::default(),
                Heartbeat::silent(),
                VirtualPause(Arc::clone(who)),
            ),
            observer: Tap {
                who: Arc::clone(who),
                ledger: self.common.ledger.clone(),
                device: self.number,
                id: self.spec.id().to_owned(),
            },
        };
        let settings = Settings {
            software_version: &self.spec.settings.firmware.version,
            telemetry_interval: self.common.telemetry,
            poll: POLL,
            pace: Pace { check_in: self.common.report, trust_check: self.common.report, ..Pace::DEFAULT },
            ..Settings::new(&self.spec.server.host, self.spec.server.port, &trust_bundle, BUILT)
        };
        let control = Control::new();
        let mut agent: Box<Agent<'_, _>> = Box::new(Agent::new(platform, settings));
        let power = &mut self.power;
        let switched_off = async {
            // Ends too where the director is gone.
            while *power.borrow_and_update() && power.changed().await.is_ok() {}
        };
        tokio::select! {
            biased;
            () = cut.notified() => Ok(Over::Cut),
            () = switched_off => Ok(Over::Off),
            outcome = Box::pin(agent.run(&control)) => match outcome {
                Ok(()) => Ok(Over::Off),
                Err(error) => Ok(Over::Ended(error.into())),
            },
        }
    }

    /// Sets up the next cut.
    fn arm(&self) -> Plan {
        match self.cuts.front() {
            Some(Cut::AtRecord(fault, at)) => Plan::new(*fault, *at),
            Some(Cut::AtByte(bytes)) => {
                self.flash.cut_after(*bytes);
                Plan::new(Fault::None, 0)
            }
            None => Plan::new(Fault::None, 0),
        }
    }

    /// What the real-time clock says at this start.
    fn wall(&mut self) -> Wall {
        match (self.has_clock, self.dice.below(10)) {
            (false, _) | (true, 0) => Wall::None,
            // Its battery is empty.
            (true, 1) => Wall::From(UnixTime::from_secs(0)),
            (true, 2) => Wall::From(UnixTime::from_secs(946_684_800)),
            // Years ahead.
            (true, 3) => Wall::From(self.common.time.now().after(10 * 365 * 24 * 60 * MINUTE)),
            (true, _) => Wall::Right,
        }
    }
}

/// Pauses of a session, in virtual time.
struct VirtualPause(Arc<Participant>);

impl Pause for VirtualPause {
    async fn pause(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// Tells the ledger.
struct Tap {
    who: Arc<Participant>,
    ledger: Ledger,
    device: usize,
    id: String,
}

impl Observer for Tap {
    fn notice(&mut self, notice: &Notice<'_>) {
        tracing::debug!(device = self.id, notice = notice.name(), "{notice:?}");
        self.who.doing(notice.name());
        self.ledger.notice(self.device, notice);
    }
}
