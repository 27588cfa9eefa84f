//! A device: the agent of all devices over records that lose the power, clocks that are wrong, and a broker in memory.

use core::cell::RefCell;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use agent_core::flow::{Agent, Control, Notice, Platform, Settings};
use agent_core::keystore::{SoftKeyStore, Unwrapped};
use agent_core::platform::{
    AttestError, Attester, Broker, Clock, Login, Observer, PublicPoint, Record, Session, SigningKey, Step,
    Storage, StorageError, TransportError,
};
use agent_core::x509::Certificate;
use firmware_sim::chance::Dice;
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, UnixTime, limits};

use super::network::{Network, Wire};
use super::time::Sim;
use super::{Plant, Town};
use crate::harness::HandDevice;

/// Everything a device needs of the simulation.
#[derive(Clone)]
pub(super) struct Surroundings<'f> {
    pub(super) sim: Sim,
    pub(super) network: Network,
    pub(super) town: Rc<RefCell<Town>>,
    pub(super) begin: UnixTime,
    pub(super) trust_bundle: &'f [u8],
    pub(super) plant: Option<Plant>,
}

/// A cut comes within so many writes of a start, the loss of power otherwise within so long.
const WRITES: u64 = 20;
const LONGEST_RUN: Duration = Duration::from_secs(24 * 3600);
const LONGEST_OFF: Duration = Duration::from_secs(30 * 60);
const TELEMETRY: Duration = Duration::from_secs(12 * 3600);
/// The longest single wait: nobody asks it to stop.
const POLL: Duration = Duration::from_secs(400 * 86_400);

/// Lives through all its starts.
pub(super) async fn live(number: usize, seed: u64, hand: &HandDevice, around: Surroundings<'_>) {
    let (sim, mut rng) = (around.sim.clone(), Dice::new(seed, "device", number as u64));
    let disk = Disk::default();
    sim.sleep(sim.some(Duration::from_secs(600))).await;
    loop {
        around.town.borrow_mut().online.remove(&number);
        disk.power_on(
            around
                .network
                .fails(50)
                .then(|| (1 + sim.draw(|dice| dice.below(WRITES)), sim.draw(|dice| dice.chance(50)))),
        );
        let off = around.network.fails(60).then(|| sim.now() + sim.some(LONGEST_RUN));
        let off = off.filter(|at| *at < around.network.quiet);
        sim.tell(number, "starts");
        let platform = Platform {
            keys: SoftKeyStore::new(Unwrapped),
            storage: Records { disk: disk.clone(), around: around.clone() },
            clock: DeviceClock::start(&around),
            rng: &mut rng,
            attester: Proof(hand),
            transport: Wire { network: around.network.clone(), device: number },
            broker: Hall { around: around.clone(), device: number },
            observer: Tap { around: around.clone(), device: number },
        };
        let settings = Settings {
            telemetry_interval: TELEMETRY,
            poll: POLL,
            ..Settings::new("localhost", 8443, around.trust_bundle, around.begin)
        };
        let control = Control::new();
        let mut agent: Box<Agent<'_, _>> = Box::new(Agent::new(platform, settings));
        let mut run = pin!(Box::pin(agent.run(&control)));
        let ended = poll_fn(|context| {
            if let Some(off) = off {
                if sim.now() >= off {
                    return Poll::Ready(None);
                }
                sim.wake_at(off);
            }
            let polled = run.as_mut().poll(context);
            if disk.is_dead() { Poll::Ready(None) } else { polled.map(Some) }
        })
        .await;
        match ended {
            None => sim.tell(number, "loses its power"),
            Some(ended) => {
                // Nothing may end it: whether it is back on its feet is seen at the end.
                sim.tell(number, format_args!("ends: {}", ended.is_ok()));
            }
        }
        around.town.borrow_mut().online.remove(&number);
        sim.sleep(Duration::from_secs(1) + sim.some(LONGEST_OFF)).await;
    }
}

/// Records that keep their contract up to the write at which the power fails. Clones are the same.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<Platter>>);

#[derive(Default)]
struct Platter {
    records: BTreeMap<u8, Vec<u8>>,
    writes: u64,
    /// The write at which the power fails, and whether that still takes effect.
    cut: Option<(u64, bool)>,
    dead: bool,
}

impl Disk {
    fn power_on(&self, cut: Option<(u64, bool)>) {
        let mut platter = self.0.borrow_mut();
        (platter.cut, platter.writes, platter.dead) = (cut, 0, false);
    }

    fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }
}

struct Records<'f> {
    disk: Disk,
    around: Surroundings<'f>,
}

impl Records<'_> {
    async fn write(&self, change: impl FnOnce(&mut Platter)) {
        {
            let mut platter = self.disk.0.borrow_mut();
            platter.writes += 1;
            let is_quiet = self.around.sim.now() >= self.around.network.quiet;
            let cut = platter.cut.filter(|(at, _)| *at == platter.writes && !is_quiet);
            if !platter.dead && cut.is_none_or(|(_, done)| done) {
                change(&mut platter);
            }
            platter.dead |= cut.is_some();
            if !platter.dead {
                return;
            }
        }
        pending::<()>().await;
    }
}

impl Storage for Records<'_> {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        let platter = self.disk.0.borrow();
        let Some(content) = platter.records.get(&(record as u8)) else { return Ok(None) };
        buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?.copy_from_slice(content);
        Ok(Some(content.len()))
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        let plant = self.around.plant;
        self.write(|platter| {
            if plant == Some(Plant::ErasesKeyEarly) && record == Record::KeyB {
                platter.records.remove(&(Record::KeyA as u8));
            }
            platter.records.insert(record as u8, content.to_vec());
        })
        .await;
        Ok(())
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        self.write(|platter| {
            platter.records.remove(&(record as u8));
        })
        .await;
        Ok(())
    }
}

/// Clocks of a device from one start on.
struct DeviceClock {
    sim: Sim,
    started: Duration,
    wall: Option<Wall>,
}

/// What the real-time clock said at the start, and a jump that it makes later.
struct Wall {
    said: UnixTime,
    jump: Option<(Duration, UnixTime)>,
}

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

impl DeviceClock {
    fn start(around: &Surroundings<'_>) -> Self {
        let (sim, network) = (around.sim.clone(), &around.network);
        let now = around.begin.after(sim.now());
        let wrong = || match sim.draw(|dice| dice.below(3)) {
            0 => UnixTime::from_secs(0),
            1 => now.after(TEN_YEARS),
            _ => now.before(TEN_YEARS),
        };
        let wall = sim.draw(|dice| dice.chance(60)).then(|| Wall {
            said: if network.fails(30) { wrong() } else { now },
            jump: network.fails(20).then(|| (sim.some(LONGEST_RUN), wrong())),
        });
        Self { started: sim.now(), sim, wall }
    }
}

impl Clock for DeviceClock {
    fn wall(&self) -> Option<UnixTime> {
        let (wall, uptime) = (self.wall.as_ref()?, self.uptime());
        match wall.jump {
            Some((at, to)) if uptime >= at => Some(to.after(uptime - at)),
            _ => Some(wall.said.after(uptime)),
        }
    }

    fn uptime(&self) -> Duration {
        self.sim.now().saturating_sub(self.started)
    }

    async fn sleep(&mut self, duration: Duration) {
        self.sim.sleep(duration).await;
    }
}

/// The device's IDevID.
struct Proof<'f>(&'f HandDevice);

impl Attester for Proof<'_> {
    fn device_id(&self) -> &DeviceId {
        &self.0.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::IdevidEat
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let evidence = self.0.evidence(nonce, csr_key);
        out.get_mut(..evidence.len()).ok_or(AttestError::TooLong)?.copy_from_slice(&evidence);
        Ok(evidence.len())
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        self.0.chain.iter().map(Vec::as_slice).collect()
    }
}

/// A broker in memory: lets in who has the key of a certificate that left the server, is in force by the real time, and is
/// not revoked.
struct Hall<'f> {
    around: Surroundings<'f>,
    device: usize,
}

impl Hall<'_> {
    fn accepts<K: SigningKey>(&self, login: &Login<'_, K>) -> bool {
        let Some(leaf) = login.identity.chain.first() else { return false };
        let Ok(certificate) = Certificate::parse(leaf) else { return false };
        let now = self.around.begin.after(self.around.sim.now());
        let town = self.around.town.borrow();
        *certificate.public_point() == login.identity.key.public_point()
            && town.issued.contains(*leaf)
            && !town.revoked.contains(&self.device)
            && certificate.not_before() <= now
            && now <= certificate.not_after()
    }
}

impl<K: SigningKey> Broker<K> for Hall<'_> {
    async fn serve(&mut self, login: Login<'_, K>, session: &mut impl Session) -> Result<(), TransportError> {
        let Surroundings { sim, network, town, .. } = &self.around;
        sim.sleep(Duration::from_millis(100)).await;
        if network.cut_until(self.device).is_some() || network.fails(5) {
            return Err(TransportError::Unreachable);
        }
        if !self.accepts(&login) {
            sim.tell(self.device, "the broker refuses");
            return Err(TransportError::Closed);
        }
        session.accepted().await;
        {
            let mut town = town.borrow_mut();
            town.online.insert(self.device);
            let leaf = login.identity.chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
            if town.accepted.get(&self.device).is_none_or(|(_, known)| *known != leaf) {
                town.accepted.insert(self.device, (sim.now(), leaf));
            }
        }
        let lost = network.next_cut(self.device);
        let ended = loop {
            let wait = match session.next() {
                Step::Publish { .. } => {
                    sim.sleep(Duration::from_millis(20)).await;
                    session.published();
                    continue;
                }
                Step::Wait(wait) => wait,
                Step::Leave => break Ok(()),
            };
            let until = sim.now().saturating_add(wait);
            let gone = poll_fn(|_| {
                let gone =
                    town.borrow().revoked.contains(&self.device) || lost.is_some_and(|at| at <= sim.now());
                if gone || until <= sim.now() {
                    return Poll::Ready(gone);
                }
                sim.wake_at(lost.unwrap_or(until).min(until));
                Poll::Pending
            })
            .await;
            if gone {
                break Err(TransportError::Closed);
            }
        };
        town.borrow_mut().online.remove(&self.device);
        ended
    }
}

/// Notes what the agent tells.
struct Tap<'f> {
    around: Surroundings<'f>,
    device: usize,
}

impl Observer for Tap<'_> {
    fn notice(&mut self, notice: &Notice<'_>) {
        self.around.sim.tell(self.device, notice.name());
    }
}
