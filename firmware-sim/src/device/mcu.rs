//! A device on the microcontroller's stack: embedded-tls, P-256 in software, minimq, records in a NOR flash
//! image. What a board's `main` does, with TCP and randomness of the host.
//!
//! Like most such boards it has no clock: it learns the time from the enrollment server.

use std::sync::Arc;

use agent_core::flow::{Agent, Control, Notice, Platform, Settings};
use agent_core::keystore::SoftKeyStore;
use agent_core::platform::{Clock, Observer};
use agent_mcu::flash::FlashStorage;
use agent_mcu::http::Https;
use agent_mcu::mqtt::{Mqtt, PacketBuffers, RECEIVE_BUFFER, SEND_BUFFER};
use agent_mcu::net::TimeLimits;
use agent_mcu::tls::{Buffers, READ_BUFFER, WRITE_BUFFER, Workspace};
use agent_mcu::wrap::{SoftCipher, Wrapped};
use core::time::Duration;
use rand_core::OsRng;
use shared::UnixTime;

use super::attester::Factory;
use super::{Behaviour, DeviceError, DeviceSpec, Job, TokioConnector};
use crate::board::fuses;
use crate::faults::{FaultyStorage, FaultyTransport, Plan};
use crate::flash::{FileFlash, SIZE};

/// When this firmware was built, as far as the time floor is concerned: 2026-11-01.
const BUILT: UnixTime = UnixTime::from_secs(1_793_491_200);
/// Longest record of MQTT that can be parked while its rest arrives.
const PARKED: usize = 1024;

/// Runs a device to its end.
pub(super) async fn run(
    spec: &DeviceSpec,
    behaviour: &Behaviour,
    control: Arc<Control>,
    tap: Box<dyn FnMut(&Notice<'_>)>,
) -> Result<(), DeviceError> {
    let parts = Factory::read(spec)?;
    let trust_bundle = spec.read_trust_bundle()?;
    let attester = parts.attester(spec)?;

    let (mut read, mut write) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER]);
    let (mut parked, mut receive) = (vec![0; PARKED], vec![0; RECEIVE_BUFFER]);
    let (mut send, mut scratch) = (vec![0; SEND_BUFFER], vec![0; agent_mcu::flash::SCRATCH]);
    let workspace = Workspace::new(Buffers { read: &mut read, write: &mut write, parked: &mut parked });
    let packets = PacketBuffers { receive: &mut receive, send: &mut send };
    let limits = TimeLimits::default();

    let flash = FileFlash::open(&spec.file("flash.img"))?;
    let range = 0..u32::try_from(SIZE).unwrap_or(u32::MAX);
    let (storage_fault, at) = behaviour.faults.storage;
    let (network_fault, exchange) = behaviour.faults.network;
    let platform = Platform {
        keys: SoftKeyStore::new(Wrapped::new(SoftCipher::new(&*fuses(&spec.dir)?))),
        storage: FaultyStorage::new(
            FlashStorage::new(flash, range, &mut scratch),
            Plan::new(storage_fault, at),
        ),
        clock: Uptime::start(),
        rng: OsRng,
        attester,
        transport: FaultyTransport::new(
            Https::new(TokioConnector, OsRng, &workspace, limits),
            Plan::new(network_fault, exchange),
        ),
        broker: Mqtt::new(TokioConnector, OsRng, &workspace, packets, limits),
        observer: Tap(tap),
    };
    let settings = Settings {
        software_version: &spec.settings.firmware.version,
        telemetry_interval: behaviour.telemetry_interval,
        pace: behaviour.pace,
        ..Settings::new(&spec.server.host, spec.server.port, &trust_bundle, BUILT)
    };
    let mut agent: Box<Agent<'_, _>> = Box::new(Agent::new(platform, settings));
    match behaviour.job {
        Job::Run => Ok(Box::pin(agent.run(&control)).await?),
        Job::Enroll => Ok(Box::pin(agent.enroll_once(&control)).await.map(|_status| ())?),
    }
}

/// A board without a real-time clock.
struct Uptime(tokio::time::Instant);

impl Uptime {
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Uptime {
    fn wall(&self) -> Option<UnixTime> {
        None
    }

    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

struct Tap(Box<dyn FnMut(&Notice<'_>)>);

impl Observer for Tap {
    fn notice(&mut self, notice: &Notice<'_>) {
        (self.0)(notice);
    }
}
