//! Firmware that measures: events, the digests that go into the registers, and the event log in its crypto-agile
//! form (TCG PC Client Platform Firmware Profile, section 10.2). Written apart from the code under test.

use sha2::{Digest as _, Sha256};

/// An event: register, type, data. Its digest is that of its data.
type Event = (u8, u32, Vec<u8>);

/// What a platform's firmware measures when it boots.
#[derive(Clone, Debug)]
pub struct Firmware {
    events: Vec<Event>,
}

const EV_SEPARATOR: u32 = 4;
const EV_S_CRTM_VERSION: u32 = 8;
const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const EV_EFI_ACTION: u32 = 0x8000_0007;

/// The registers that the agent quotes by default.
pub const REGISTERS: [u8; 4] = [0, 2, 4, 7];

impl Firmware {
    /// Firmware of this version, secure boot on, no debugger.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut events = vec![
            (0, EV_S_CRTM_VERSION, version.as_bytes().to_vec()),
            (7, EV_EFI_VARIABLE_DRIVER_CONFIG, b"SecureBoot=1".to_vec()),
            (4, EV_EFI_BOOT_SERVICES_APPLICATION, b"boot loader".to_vec()),
        ];
        events.extend((0..8).map(|register| (register, EV_SEPARATOR, vec![0; 4])));
        Self { events }
    }

    /// The same, with the firmware's debugger open.
    #[must_use]
    pub fn with_debugger(mut self) -> Self {
        self.events.insert(1, (7, EV_EFI_ACTION, b"UEFI Debug Mode".to_vec()));
        self
    }

    /// What is extended, in order.
    pub fn digests(&self) -> impl Iterator<Item = (u8, [u8; 32])> {
        self.events.iter().map(|(register, _, data)| (*register, Sha256::digest(data).into()))
    }

    /// The value of a register at the end.
    #[must_use]
    pub fn register(&self, register: u8) -> [u8; 32] {
        self.digests().filter(|(of, _)| *of == register).fold([0; 32], |value, (_, digest)| {
            Sha256::new().chain_update(value).chain_update(digest).finalize().into()
        })
    }

    /// The reference values for the registers of [`REGISTERS`], in TOML.
    #[must_use]
    pub fn reference_values(&self, version: &str) -> String {
        REGISTERS
            .iter()
            .map(|register| {
                let digest = hex::encode(self.register(*register));
                format!(
                    "\n[[measurement]]\ncomponent = \"pcr-{register}\"\nversion = {version:?}\n\
                     digest = {digest:?}\n"
                )
            })
            .collect()
    }

    /// The event log.
    #[must_use]
    pub fn event_log(&self) -> Vec<u8> {
        let mut header = b"Spec ID Event03\0".to_vec();
        // Platform class, version 2.0, errata, natural integers of 8 bytes, one algorithm: SHA-256.
        header.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
        let mut log = vec![0, 0, 0, 0, 3, 0, 0, 0];
        log.extend([0; 20]);
        log.extend(length(&header));
        log.extend(header);
        for ((register, digest), (_, kind, data)) in self.digests().zip(&self.events) {
            log.extend(u32::from(register).to_le_bytes());
            log.extend(kind.to_le_bytes());
            log.extend([1, 0, 0, 0, 0x0b, 0]);
            log.extend(digest);
            log.extend(length(data));
            log.extend(data);
        }
        log
    }
}

fn length(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len()).expect("a short event").to_le_bytes()
}
