//! Devices with TPMs in a world: a TPM maker that the server knows, devices in the inventory, a policy that takes their
//! evidence.

use std::fs;
use std::process::Command;

use tpm_client::EkKind;

use super::binaries::binary;
use super::measured_boot::Firmware;
use super::swtpm::{Swtpm, TpmMaker};
use super::world::World;

/// The firmware that the policy wants.
pub const GOOD: &str = "1.2.0";
/// Firmware that is known, and too old.
pub const OLD: &str = "1.0.0";
/// The model of the devices.
pub const MODEL: &str = "gateway";

/// Devices with TPMs, booted with good firmware.
#[derive(Debug)]
pub struct TpmFleet {
    /// The maker that the server knows.
    pub maker: TpmMaker,
    /// Identifiers of the devices, in the order of [`Self::tpms`].
    pub devices: Vec<String>,
    /// The devices' TPMs, on.
    pub tpms: Vec<Swtpm>,
}

impl TpmFleet {
    /// Makes this many devices and tells the server of `world` about them. The server must not run yet.
    ///
    /// # Panics
    /// Where swtpm is not installed, or one of the binaries fails.
    #[must_use]
    pub fn new(world: &World, devices: u32) -> Self {
        let maker = TpmMaker::new(&world.path("tpm-maker"));
        let devices: Vec<String> = (1..=devices).map(|number| format!("TPM-{number}")).collect();
        let tpms: Vec<Swtpm> = devices
            .iter()
            .map(|device| {
                let mut tpm = Swtpm::make(&world.path(&format!("tpms/{device}")), &maker);
                tpm.boot(&Firmware::new(GOOD));
                tpm
            })
            .collect();
        let fleet = Self { maker, devices, tpms };
        fleet.register(world);
        fleet
    }

    fn register(&self, world: &World) {
        let root = self.maker.root().display().to_string();
        let _maker = world.server(&["maker", "add", &root]).success();
        let rows: String = self
            .devices
            .iter()
            .zip(&self.tpms)
            .map(|(device, tpm)| format!("{device},{MODEL},{}\n", tpm.identity(EkKind::Rsa2048)))
            .collect();
        let inventory = world.path("tpm-inventory.csv");
        fs::write(&inventory, format!("device,model,idevid_sha256\n{rows}")).expect("to write the inventory");
        let _imported = world.server(&["device", "import", &inventory.display().to_string()]).success();
        let policy = world.text("server/policy.toml");
        let kinds = policy.lines().find(|line| line.starts_with("kinds = ")).expect("a line of kinds");
        let policy = policy.replace(kinds, "kinds = [\"tpm2\"]")
            + &format!("\n[[model]]\nname = {MODEL:?}\nminimum_firmware = {GOOD:?}\n")
            + &Firmware::new(GOOD).reference_values(GOOD)
            + &Firmware::new(OLD).reference_values(OLD);
        fs::write(world.path("server/policy.toml"), policy).expect("to write the policy");
    }

    /// The command that runs `agent` for a device.
    ///
    /// # Panics
    /// Where the configuration cannot be written.
    #[must_use]
    pub fn agent(&self, world: &World, index: usize, arguments: &[&str]) -> Command {
        let (device, tpm) = (&self.devices[index], &self.tpms[index]);
        let config = world.path(&format!("agents/{device}.toml"));
        fs::create_dir_all(world.path("agents")).expect("a folder for agents");
        let text = format!(
            "state_dir = {state:?}\ntrust_bundle = {bundle:?}\n\n[server]\nhost = \"localhost\"\nport = {port}\n\n\
             [identity]\ndevice = {device:?}\ntpm = {socket:?}\ntpm_certificates = {issuer:?}\n\
             tpm_event_log = {log:?}\n\n[telemetry]\ninterval = \"1s\"\n\n[log]\nlevel = \"debug\"\n",
            state = world.path(&format!("agents/{device}-state")),
            bundle = world.path("server/trust.bundle"),
            port = world.https_port,
            socket = tpm.socket(),
            issuer = self.maker.issuer(),
            log = tpm.event_log(),
        );
        fs::write(&config, text).expect("to write a configuration");
        let mut command = Command::new(binary("agent"));
        command.arg("--config").arg(config).args(arguments);
        command
    }
}
