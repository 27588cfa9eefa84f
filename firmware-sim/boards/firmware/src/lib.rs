//! The device's main program: what every board runs once its network, flash and randomness are there.
//!
//! A board brings an embassy network stack with its driver task, a NOR flash, a random generator and somebody to
//! tell what happens. It decides nothing; the order of things is the agent's.

#![no_std]
#![forbid(unsafe_code)]

mod clock;
mod network;

use core::pin::pin;

use agent_core::apart::apart;
use agent_core::evidence::{Firmware, IdevidAttester};
use agent_core::flow::{Agent, Control, Platform, Settings};
use agent_core::keystore::{KeyWrap, SoftKey, SoftKeyStore};
use agent_core::platform::Observer;
use agent_core::trust::LONGEST_TRUST_RECORD;
use agent_mcu::custody::{self, CustodyError};
use agent_mcu::flash::{FlashStorage, SCRATCH};
use agent_mcu::http::Https;
use agent_mcu::layout::Layout;
use agent_mcu::mqtt::{Mqtt, PacketBuffers, RECEIVE_BUFFER, SEND_BUFFER};
use agent_mcu::net::TimeLimits;
use agent_mcu::provision::{MAX_REGION, Provision, ProvisionError};
use agent_mcu::tls::{Buffers, READ_BUFFER, WRITE_BUFFER, Workspace};
use embassy_net::Stack;
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::CryptoRngCore;
use shared::UnixTime;
use shared::evidence::{DebugStatus, Measurement};
use shared::limits::MAX_ANSWER;

use clock::Uptime;
pub use network::{Sockets, StackConnector};

/// Name of the firmware.
pub const NAME: &str = "sensor-firmware";
/// Version of the firmware, as `MAJOR.MINOR.PATCH`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// 2026-11-01: the least that the time floor can be; raised with each release.
const BUILT: UnixTime = UnixTime::from_secs(1_793_491_200);
/// What a board says at its start where this is a debug build.
pub const DEBUG_BUILD: Option<&str> = if cfg!(debug_assertions) {
    Some("DEBUG BUILD: not for devices that leave the house; its evidence says so")
} else {
    None
};

/// Puts [`VERSION`] into a board's image under a name that is found in the ELF file.
#[macro_export]
macro_rules! export_version {
    () => {
        #[used]
        #[unsafe(no_mangle)]
        static FIRMWARE_VERSION: [u8; $crate::VERSION.len()] = match $crate::VERSION.as_bytes().first_chunk()
        {
            Some(version) => *version,
            None => unreachable!(),
        };
    };
}

/// What a board finds out of the image that runs.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// SHA-256 of the image, as measured at start.
    pub digest: [u8; 32],
    /// State of the debug port. A debug build claims an open one, whatever this says.
    pub debug: DebugStatus,
}

/// All the memory that the program keeps. One exists, in static RAM.
pub struct Memory {
    provision: [u8; MAX_REGION],
    read: [u8; READ_BUFFER],
    write: [u8; WRITE_BUFFER],
    parked: [u8; PARKED],
    receive: [u8; RECEIVE_BUFFER],
    send: [u8; SEND_BUFFER],
    scratch: [u8; SCRATCH],
    sockets: Sockets,
}

/// Room for a request: evidence, CSR and a chain of two IDevID certificates take half of it. A new trust bundle on its way
/// into the flash may take all.
const REQUEST: usize = LONGEST_TRUST_RECORD;
/// Room for an answer: a server plans none that is longer.
const ANSWER: usize = MAX_ANSWER;
/// An MQTT record longer than this is not interrupted while it arrives.
const PARKED: usize = 512;

impl Memory {
    /// Empty memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            provision: [0; MAX_REGION],
            read: [0; READ_BUFFER],
            write: [0; WRITE_BUFFER],
            parked: [0; PARKED],
            receive: [0; RECEIVE_BUFFER],
            send: [0; SEND_BUFFER],
            scratch: [0; SCRATCH],
            sockets: Sockets::new(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The flash cannot be read.
    Flash,
    /// The factory's region cannot be used.
    Provision(ProvisionError),
    /// The IDevID key cannot be used.
    Key(CustodyError),
    /// The IDevID is not that of the key, or names no device.
    Idevid,
    /// The records cannot be used.
    Records,
    /// It was asked to stop.
    Stopped,
}

impl End {
    /// Whether another start may find it otherwise: hardware that failed once, as with a supply that sags, and what was misread
    /// with it. What the factory put in wrongly, or never put in, stays so.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Flash | Self::Records | Self::Provision(ProvisionError::Damaged) => true,
            Self::Key(CustodyError::Flash | CustodyError::Wrap(_) | CustodyError::Damaged) => true,
            Self::Provision(ProvisionError::Blank | ProvisionError::Form | ProvisionError::TooLong)
            | Self::Key(CustodyError::Missing)
            | Self::Idevid
            | Self::Stopped => false,
        }
    }

    /// A stable name, for a console or a status light.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flash => "flash-unreadable",
            Self::Provision(ProvisionError::Blank) => "not-provisioned",
            Self::Provision(_) => "provision-damaged",
            Self::Key(CustodyError::Missing) => "no-idevid-key",
            Self::Key(CustodyError::Damaged) => "idevid-key-damaged",
            Self::Key(CustodyError::Flash | CustodyError::Wrap(_)) => "idevid-key-not-wrapped",
            Self::Idevid => "idevid-unusable",
            Self::Records => "records-unusable",
            Self::Stopped => "stopped",
        }
    }
}

/// What a board brings besides its network.
pub struct Hardware<F, W, R> {
    /// The flash that the factory's settings and the records lie in.
    pub flash: F,
    /// Where they lie.
    pub layout: Layout,
    /// Protects private keys in the flash.
    pub wrap: W,
    /// The random generator.
    pub rng: R,
}

/// Runs the device for ever, or until `control` says stop.
pub async fn run<F, W, R>(
    stack: Stack<'_>,
    hardware: Hardware<F, W, R>,
    image: Image,
    memory: &mut Memory,
    observer: impl Observer,
    control: &Control,
) -> End
where
    F: NorFlash,
    W: KeyWrap,
    R: CryptoRngCore + Clone,
{
    let Hardware { mut flash, layout, mut wrap, mut rng } = hardware;
    let length = layout.settings.len().min(MAX_REGION);
    let Some(region) = memory.provision.get_mut(..length) else { return End::Flash };
    if flash.read(layout.settings.start, region).await.is_err() {
        return End::Flash;
    }
    let provision = match Provision::read(region) {
        Ok(provision) => provision,
        Err(error) => return End::Provision(error),
    };
    let key = match apart(pin!(custody::open(&mut flash, &layout, &mut wrap, &mut rng))).await {
        Ok(key) => key,
        Err(error) => return End::Key(error),
    };
    let Some(attester) = attester(&provision, key, image) else { return End::Idevid };

    let workspace = Workspace::new(Buffers {
        read: &mut memory.read,
        write: &mut memory.write,
        parked: &mut memory.parked,
    });
    let packets = PacketBuffers { receive: &mut memory.receive, send: &mut memory.send };
    let connector = || StackConnector::new(stack, &memory.sockets);
    let limits = TimeLimits::default();
    let platform = Platform {
        keys: SoftKeyStore::new(wrap),
        storage: FlashStorage::new(flash, layout.records, &mut memory.scratch),
        clock: Uptime,
        rng: rng.clone(),
        attester,
        transport: Https::new(connector(), rng.clone(), &workspace, limits),
        broker: Mqtt::new(connector(), rng, &workspace, packets, limits),
        observer,
    };
    let settings = Settings {
        software_version: VERSION,
        ..Settings::new(provision.host, provision.port, provision.trust_bundle, BUILT)
    };
    let mut agent: Agent<'_, _, REQUEST, ANSWER> = Agent::new(platform, settings);
    match apart(pin!(agent.run(control))).await {
        Ok(()) => End::Stopped,
        Err(_) => End::Records,
    }
}

#[inline(never)]
fn attester<'p>(
    provision: &Provision<'p>,
    key: SoftKey,
    image: Image,
) -> Option<IdevidAttester<'p, SoftKey>> {
    let mut measurements = heapless::Vec::new();
    let application = Measurement { component: "application", version: VERSION, digest: image.digest };
    measurements.push(application).ok()?;
    let firmware = Firmware {
        oemid: provision.oemid,
        hwmodel: provision.hwmodel,
        hwversion: provision.hwversion,
        swname: NAME,
        swversion: VERSION,
        debug: if DEBUG_BUILD.is_some() { DebugStatus::Enabled } else { image.debug },
        measurements,
    };
    IdevidAttester::new(key, &provision.idevid_chain, firmware).ok()
}
