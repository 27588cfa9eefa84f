//! An enrollment server, a factory's lot and devices, all through the real binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use firmware_sim::device::{DeviceSpec, Overrides};
use firmware_sim::factory::{ATTESTATION_KEYS, DeviceSettings, Evidence};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::binaries::binary;
use super::https::{self, ClientKey};
use super::process::{Finished, Process, run};
use super::wait::{free_port, until};

/// What a test wants otherwise than usual.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Devices in the lot.
    pub devices: u32,
    /// Port of the broker that devices are told.
    pub broker_port: u16,
    /// The name of this machine for devices.
    pub host: &'static str,
    /// How the devices prove what they are.
    pub evidence: Evidence,
    /// Whether the server is told the attestation keys of a lot that has some.
    pub register_keys: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        // Port 9 (discard): nobody answers there.
        Self {
            devices: 1,
            broker_port: 9,
            host: "localhost",
            evidence: Evidence::Idevid,
            register_keys: true,
        }
    }
}

/// The address of this machine in the network that QEMU gives to its guests.
pub const QEMU_HOST: &str = firmware_sim::qemu::HOST;

/// A folder with a server, a lot and its devices in it.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    /// Port of the server's HTTPS listener.
    pub https_port: u16,
    /// Port of its listener for health, metrics and the revocation list.
    pub http_port: u16,
    /// Identifiers of the devices in the lot.
    pub devices: Vec<String>,
}

impl World {
    /// Sets a server up, makes a lot and tells the server about it. Nothing runs yet.
    ///
    /// # Panics
    /// Where one of the binaries fails.
    #[must_use]
    pub fn new(wishes: Wishes) -> Self {
        Self::with_init(wishes, |_| {})
    }

    /// As [`new`](Self::new), with more arguments for `enroll-server init`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_init(wishes: Wishes, more: impl FnOnce(&mut Command)) -> Self {
        Self::with_steps(wishes, more, |_| {})
    }

    /// As [`with_init`](Self::with_init), with what is to be done between that and the making of the lot.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_steps(wishes: Wishes, more: impl FnOnce(&mut Command), steps: impl FnOnce(&Self)) -> Self {
        let folder = TempDir::with_prefix("world-").expect("a temporary folder");
        let mut world = Self { folder, https_port: free_port(), http_port: free_port(), devices: Vec::new() };
        world.init(&wishes, more);
        steps(&world);
        world.make_lot(&wishes);
        world
    }

    /// A path below the world's folder.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The text of a file below the world's folder.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn text(&self, relative: &str) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The certificates of a PEM file below the world's folder, in DER.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn certificates(&self, relative: &str) -> Vec<Vec<u8>> {
        ca::pem::read_certificates(self.text(relative).as_bytes()).expect("certificates in PEM")
    }

    /// The server's root CA in DER.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn root(&self) -> Vec<u8> {
        self.certificates("server/root-ca.crt").remove(0)
    }

    /// Runs `enroll-server` with these arguments, on this world's server.
    #[must_use]
    pub fn server(&self, arguments: &[&str]) -> Finished {
        run(&mut self.server_command(arguments))
    }

    /// As [`server`](Self::server), not yet run.
    #[must_use]
    pub fn server_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("enroll-server"));
        command.arg("--config").arg(self.path("server/enroll-server.toml")).args(arguments);
        command.env_remove("RUST_LOG");
        command
    }

    /// The JSON that `enroll-server` prints for these arguments.
    ///
    /// # Panics
    /// Where it fails or prints something else.
    #[must_use]
    pub fn server_json(&self, arguments: &[&str]) -> Json {
        let out = self.server(&[arguments, &["--json"]].concat()).success();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Starts the server; it is ready when this returns.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    pub fn serve(&self) -> Process {
        self.serve_by(&mut self.server_command(&["serve"]))
    }

    /// As [`serve`](Self::serve), by a command of the test's own.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    pub fn serve_by(&self, command: &mut Command) -> Process {
        let mut process = Process::start(command);
        until("a server that is ready", || {
            assert!(process.is_running(), "the server ended:\n{}", process.output());
            let stream = std::net::TcpStream::connect(("127.0.0.1", self.http_port)).ok()?;
            let reply = https::exchange(stream, "/readyz", None).ok()?;
            (reply.status == 200).then_some(())
        });
        process
    }

    /// Runs `agent` for a device of the lot, with a state directory of its own.
    #[must_use]
    pub fn agent(&self, device: &str, arguments: &[&str]) -> Finished {
        run(&mut self.agent_command(device, arguments))
    }

    /// As [`agent`](Self::agent), not yet run.
    ///
    /// # Panics
    /// Where the agent's configuration cannot be written.
    #[must_use]
    pub fn agent_command(&self, device: &str, arguments: &[&str]) -> Command {
        let config = self.path(&format!("agents/{device}.toml"));
        if !config.exists() {
            fs::create_dir_all(self.path("agents")).expect("a folder for agents");
            fs::write(&config, self.agent_config(device)).expect("to write a configuration");
        }
        let mut command = Command::new(binary("agent"));
        command.arg("--config").arg(config).args(arguments);
        command
    }

    /// The JSON of `agent status`.
    ///
    /// # Panics
    /// Where it prints something else.
    #[must_use]
    pub fn agent_status(&self, device: &str) -> Json {
        let finished = self.agent(device, &["status", "--json"]);
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout, finished.stderr))
    }

    /// The operational identity that the device's agent exported.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn exported_identity(&self, device: &str) -> ClientKey {
        let current = format!("agents/{device}-export/current");
        let key = ca::pem::read_private_key(&self.text(&format!("{current}/key.pem"))).expect("a key in PEM");
        let mut chain = self.certificates(&format!("{current}/cert.pem"));
        chain.extend(self.certificates(&format!("{current}/chain.pem")));
        chain.dedup();
        ClientKey { chain, key: key.to_vec() }
    }

    /// Configuration of the Linux agent for a device of the lot: what the factory wrote, in the agent's form.
    fn agent_config(&self, device: &str) -> String {
        let folder = self.path(&format!("lot/devices/{device}"));
        let settings = DeviceSettings::read(&folder.join("device.toml")).expect("a device's settings");
        let measurements: Vec<String> = settings
            .firmware
            .measurement
            .iter()
            // The certificates of a DICE device say it themselves.
            .filter(|_| settings.evidence != Evidence::Dice)
            .map(|m| {
                let (component, version, digest) = (&m.component, &m.version, &m.digest);
                format!("{{ component = {component:?}, version = {version:?}, digest = {digest:?} }}")
            })
            .collect();
        format!(
            "state_dir = {state:?}\ntrust_bundle = {bundle:?}\n\n[server]\nhost = \"localhost\"\nport = {port}\n\n\
             [identity]\n{identity}\n\n\
             [firmware]\nmaker_number = {maker}\nmodel = {model:?}\nhardware_version = {hardware:?}\nname = {name:?}\n\
             version = {version:?}\ndebug = \"disabled-permanently\"\nmeasurements = [{measurements}]\n\n\
             [telemetry]\ninterval = \"1s\"\n\n[export]\ndirectory = {export:?}\n\n[log]\nlevel = \"debug\"\n",
            state = self.path(&format!("agents/{device}-state")),
            bundle = folder.join("trust.bundle"),
            port = self.https_port,
            identity = identity(&settings, &folder),
            maker = settings.hardware.maker_number,
            model = settings.hardware.model,
            hardware = settings.hardware.version,
            name = settings.firmware.name,
            version = settings.firmware.version,
            measurements = measurements.join(", "),
            export = self.path(&format!("agents/{device}-export")),
        )
    }

    fn init(&self, wishes: &Wishes, more: impl FnOnce(&mut Command)) {
        let mut command = Command::new(binary("enroll-server"));
        command.arg("init").arg("--dir").arg(self.path("server"));
        command.args(["--tenant", "Example", "--host", "localhost", "--host", "127.0.0.1"]);
        command.args(["--host", QEMU_HOST]);
        command.args(["--broker-host", wishes.host, "--broker-port", &wishes.broker_port.to_string()]);
        more(&mut command);
        let _report = run(&mut command).success();
        self.configure(&[
            ("listen", "https", &format!("\"127.0.0.1:{}\"", self.https_port)),
            ("listen", "http", &format!("\"127.0.0.1:{}\"", self.http_port)),
        ]);
    }

    /// Sets fields of the server's configuration: table, field and value in TOML.
    ///
    /// # Panics
    /// Where the file is not TOML, or a value is not.
    pub fn configure(&self, fields: &[(&str, &str, &str)]) {
        configure(&self.path("server/enroll-server.toml"), fields);
    }

    /// Gives the lot's group a policy: that of the group `default`, without a change.
    fn with_group(&self) {
        let folder = self.path("server/policy.d");
        fs::create_dir_all(&folder).expect("a folder for policies");
        fs::write(folder.join(format!("{LOT_GROUP}.toml")), "").expect("to write the policy of a group");
    }

    fn make_lot(&mut self, wishes: &Wishes) {
        let devices = wishes.devices;
        let mut command = Command::new(binary("firmware-sim"));
        command.arg("factory").arg("--dir").arg(self.path("lot")).args(["--count", &devices.to_string()]);
        command.args(["--server", &format!("{}:{}", wishes.host, self.https_port)]);
        command.arg("--trust").arg(self.path("server/trust.bundle"));
        match wishes.evidence {
            Evidence::Idevid => {}
            Evidence::Psa => drop(command.args(["--evidence", "psa"])),
            Evidence::Dice => drop(command.args(["--evidence", "dice"])),
            Evidence::Claim => drop(command.args(["--evidence", "claim"])),
            Evidence::Symmetric => {
                let key = path_text(&self.path("lot.key"));
                let _made = self.server(&["key", "create", "--group", LOT_GROUP, "--out", &key]).success();
                command.args(["--evidence", "symmetric", "--group-key", &key]);
            }
        }
        let _report = run(&mut command).success();
        // What is known to be good stands in the policy.
        let policy = self.text("server/policy.toml") + "\n" + &self.text("lot/reference-values.toml");
        let policy = match wishes.evidence {
            Evidence::Idevid => policy,
            Evidence::Psa => policy.replacen("kinds = [", "kinds = [\"psa-token\", ", 1),
            Evidence::Dice => policy.replacen("kinds = [", "kinds = [\"dice\", ", 1),
            Evidence::Symmetric => policy.replacen("kinds = [", "kinds = [\"symmetric-key\", ", 1),
            Evidence::Claim => policy.replacen("kinds = [", "kinds = [\"claim-certificate\", ", 1),
        };
        fs::write(self.path("server/policy.toml"), policy).expect("to write the policy");
        let inventory = self.text("lot/inventory.csv");
        self.devices =
            inventory.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect();
        assert_eq!(self.devices.len(), devices as usize, "{inventory}");
        let file = |relative: &str| path_text(&self.path(relative));
        let ca = file("lot/maker/maker-ca.pem");
        match wishes.evidence {
            Evidence::Symmetric => self.with_group(),
            Evidence::Claim => {
                self.with_group();
                let quota = devices.to_string();
                let batch = ["batch", "add", &ca, "--group", LOT_GROUP, "--quota", &quota];
                let _batch = self.server(&batch).success();
            }
            _ => drop(self.server(&["maker", "add", &ca]).success()),
        }
        let _lot = self.server(&["device", "import", &file("lot/inventory.csv")]).success();
        if wishes.evidence == Evidence::Psa && wishes.register_keys {
            let keys = file(&format!("lot/{ATTESTATION_KEYS}"));
            let _keys = self.server(&["attestation-key", "import", &keys]).success();
        }
    }
}

/// Sets fields in a file of settings: table, field and value in TOML.
///
/// # Panics
/// Where the file is not TOML, or a value is not.
pub fn configure(path: &Path, fields: &[(&str, &str, &str)]) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut config: toml::Table = text.parse().expect("TOML");
    for (table, field, value) in fields {
        let value: toml::Table = format!("v = {value}").parse().expect("a value in TOML");
        let table = config.entry(*table).or_insert_with(|| toml::Table::new().into());
        table.as_table_mut().expect("a table").insert((*field).to_owned(), value["v"].clone());
    }
    fs::write(path, config.to_string()).expect("to write the configuration");
}

/// The group that a lot is put into by what its devices enroll with.
pub const LOT_GROUP: &str = "lot";

/// The agent's identity: what the factory put into the device, or the simulated root of trust behind a command.
fn identity(settings: &DeviceSettings, folder: &Path) -> String {
    let file = |name: &str| folder.join(name);
    match settings.evidence {
        Evidence::Idevid => {
            format!("certificate = {:?}\nkey = {:?}", file("idevid.pem"), file("idevid.key"))
        }
        Evidence::Symmetric => {
            format!("device = {:?}\nsymmetric_key = {:?}", settings.device, file("device.key"))
        }
        Evidence::Claim => format!(
            "device = {:?}\nclaim_certificate = {:?}\nclaim_key = {:?}",
            settings.device,
            file("claim.pem"),
            file("claim.key")
        ),
        Evidence::Dice => {
            let booted = DeviceSpec::load(folder, &Overrides::default()).expect("a device of the lot");
            let (certificate, key) = booted.leave_dice().expect("a boot");
            format!("dice_certificate = {certificate:?}\ndice_key = {key:?}")
        }
        Evidence::Psa => format!(
            "device = {:?}\npsa_command = [{:?}, \"psa-token\", \"--dir\", {folder:?}]\npsa_certificate = {:?}",
            settings.device,
            binary("firmware-sim"),
            file("iak.pem"),
        ),
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
