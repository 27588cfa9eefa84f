//! Evidence by DICE: a simulated boot, and the attester of the device.

use agent_core::evidence::DiceAttester;
use agent_core::keystore::SoftKey;
use agent_core::platform::Attester as _;
use firmware_sim::dice::{Boot, Code, Mode, Uds, boot};
use firmware_sim::factory::Maker;
use p256::ecdsa::SigningKey;
use shared::DeviceId;
use shared::message::latest::EvidenceKind;

use super::{Challenged, Presented, Spoil, Subject};
use crate::harness::device::Csr;
use crate::harness::wait::now;

/// The model of all these devices.
pub const DICE_MODEL: &str = "dice-sim";
/// CAs on each device: its root, and one a layer.
pub const DICE_LAYERS: u8 = 3;

/// A device with a secret of its own, a root by its maker, and one by a maker that nobody knows.
#[derive(Debug)]
pub struct DiceSubject {
    id: DeviceId,
    uds: Uds,
    root: Vec<u8>,
    strangers_root: Vec<u8>,
}

impl DiceSubject {
    /// A new device of `maker`.
    ///
    /// # Panics
    /// Where its root cannot be made.
    #[must_use]
    pub fn new(id: &str, maker: &Maker) -> Self {
        let (id, uds) = (DeviceId::new(id).expect("an identifier"), Uds::random().expect("randomness"));
        let stranger = Maker::above("Stranger", DICE_LAYERS, now()).expect("a maker");
        let root = |maker| uds.endorse(&id, maker, now()).expect("a root certificate");
        let (root, strangers_root) = (root(maker), root(&stranger));
        Self { id, uds, root, strangers_root }
    }

    /// Its line in the inventory.
    #[must_use]
    pub fn inventory(&self) -> String {
        format!("{},{DICE_MODEL},\n", self.id)
    }

    /// The firmware of good devices in reference values.
    #[must_use]
    pub fn reference_values() -> String {
        let one = |code: &Code<'_>| {
            let digest = hex::encode(code.hash);
            format!(
                "\n[[measurement]]\ncomponent = {:?}\nversion = {:?}\ndigest = {digest:?}\n",
                code.name, code.version
            )
        };
        codes("1.2.0").iter().map(one).collect()
    }

    /// Starts the device.
    ///
    /// # Panics
    /// Where a layer's certificate cannot be made.
    #[must_use]
    pub fn boot(&self, spoil: Option<Spoil>) -> Boot {
        let root = if spoil == Some(Spoil::WrongMaker) { &self.strangers_root } else { &self.root };
        let version = if spoil == Some(Spoil::OldVersion) { "0.0.1" } else { "1.2.0" };
        let mode = if spoil == Some(Spoil::OpenDebug) { Mode::Debug } else { Mode::Normal };
        boot(&self.uds, root, &codes(version), mode).expect("a boot")
    }
}

fn codes(version: &str) -> [Code<'_>; 2] {
    [
        Code::of_image("bootloader", "1.0.0", DICE_MODEL, b"bootloader 1.0.0"),
        Code::of_image("application", version, DICE_MODEL, format!("application {version}").as_bytes()),
    ]
}

impl Subject for DiceSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Dice
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let booted = self.boot(spoil);
        let chain: Vec<&[u8]> = booted.chain.iter().map(Vec::as_slice).collect();
        let key = SoftKey::from(SigningKey::from(&booted.alias));
        let mut attester = DiceAttester::new(key, &chain).expect("an alias key with its chain");
        assert_eq!(attester.device_id(), &self.id);
        let mut body = vec![0; shared::limits::MAX_EVIDENCE];
        let length = attester.attest(&challenged.nonce, &csr.point, &mut body).expect("a binding");
        body.truncate(length);
        Presented { body, endorsements: booted.chain.clone() }
    }
}
