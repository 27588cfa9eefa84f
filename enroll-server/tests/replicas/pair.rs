//! Two servers on one database.

use core::net::SocketAddr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};

use postgres_server::PostgresServer;
use shared::message::latest::{Challenge, ChallengeRequest, EvidenceKind, Nonce};
use shared::{DeviceId, endpoint};
use tempfile::TempDir;

use crate::kit::client::{Identity, Tls};
use crate::kit::device::{Device, Maker, Operational};
use crate::kit::{identity, new_server};

/// The PostgreSQL server of all tests but those that end it.
static SERVER: LazyLock<Arc<PostgresServer>> = LazyLock::new(|| Arc::new(PostgresServer::start().unwrap()));

/// A server, as a process. Killed when dropped.
pub(crate) struct Replica {
    process: Child,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Replica {
    /// Waits until a server is ready.
    fn ready(mut process: Child) -> Self {
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let ready = lines.by_ref().map(Result::unwrap).find(|line| {
            seen.push(line.clone());
            line.contains("the server is ready")
        });
        let ready = ready.unwrap_or_else(|| panic!("the server did not start: {}", seen.join("\n")));
        // What it says later is not of interest, and must not fill the pipe.
        std::thread::spawn(move || lines.count());
        let address = |name: &str| {
            let at = ready.find(name).unwrap() + name.len();
            let rest = ready[at..].trim_start_matches("Some(");
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<SocketAddr>().unwrap()
        };
        Self { process, https: address("https="), http: address(" http=") }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

pub(crate) struct Pair {
    folder: TempDir,
    pub(crate) database: Arc<PostgresServer>,
    name: String,
    maker: Maker,
    root: Vec<u8>,
    replicas: [Option<Replica>; 2],
}

impl Pair {
    /// Two servers that are ready, on a database of their own.
    pub(crate) fn start() -> Self {
        Self::on(Arc::clone(&SERVER))
    }

    /// As [`start`](Self::start), on a PostgreSQL server that the test may end.
    pub(crate) fn on(database: Arc<PostgresServer>) -> Self {
        let mut pair = Self::at_rest(database);
        let file = pair.write("maker.pem", &pair.maker.pem);
        pair.command(0, &["maker", "add", file.to_str().unwrap()]);
        pair.begin(0);
        pair.begin(1);
        pair
    }

    /// Two servers that start at once, on a database in which only `sql` was carried out.
    pub(crate) fn at_once(sql: &str) -> Self {
        let mut pair = Self::at_rest(Arc::clone(&SERVER));
        pair.sql(&format!("SET ROLE enroll; {sql}"));
        let begun = [0, 1].map(|replica| pair.spawn(replica));
        pair.replicas = begun.map(|process| Some(Replica::ready(process)));
        pair
    }

    /// Two servers that never ran, on an empty database.
    fn at_rest(database: Arc<PostgresServer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (settings, config) = new_server(&folder);
        let url = database.database().unwrap();
        let (address, password) = url.split_once(" password=").unwrap();
        let (password, rest) = password.split_once(' ').unwrap();
        let secret = folder.path().join("server/store.password");
        std::fs::write(&secret, format!("{password}\n")).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let text = std::fs::read_to_string(&settings).unwrap();
        let text =
            text.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0").replace(
                "# postgres = \"postgres://enroll@db.example/enroll\"",
                &format!("postgres = \"{address} {rest}\"\npassword_file = \"store.password\""),
            );
        // Files that each writes are its own; what they share lies in one folder.
        for replica in 0..2 {
            let own = text.replace("\"crl.der\"", &format!("\"crl-{replica}.der\""));
            let own = own.replace("\"crl.pem\"", &format!("\"crl-{replica}.pem\""));
            std::fs::write(folder.path().join(format!("server/replica-{replica}.toml")), own).unwrap();
        }
        let pem = std::fs::read(&config.files.root_certificate).unwrap();
        let root = ca::pem::read_certificates(&pem).unwrap().remove(0);
        let name = rest.rsplit('=').next().unwrap().to_owned();
        let maker = Maker::new("Example Maker");
        Self { folder, database, name, maker, root, replicas: [None, None] }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn program(&self, replica: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
        command.arg("--config").arg(self.folder.path().join(format!("server/replica-{replica}.toml")));
        command
    }

    /// Runs a command of the operator.
    pub(crate) fn command(&self, replica: usize, arguments: &[&str]) -> String {
        let done = self.program(replica).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{arguments:?}: {}{}", text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn begin(&mut self, replica: usize) {
        self.replicas[replica] = Some(Replica::ready(self.spawn(replica)));
    }

    fn spawn(&self, replica: usize) -> Child {
        self.program(replica).arg("serve").stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Kills a server as a crash would: no destructor runs.
    pub(crate) fn kill(&mut self, replica: usize) {
        self.replicas[replica] = None;
    }

    pub(crate) fn replica(&self, replica: usize) -> &Replica {
        self.replicas[replica].as_ref().unwrap()
    }

    pub(crate) fn http(&self, replica: usize) -> SocketAddr {
        self.replica(replica).http
    }

    pub(crate) fn tls(&self, replica: usize) -> Tls {
        self.tls_at(self.replica(replica).https)
    }

    pub(crate) fn tls_at(&self, address: SocketAddr) -> Tls {
        Tls::new(address, &self.root)
    }

    /// What the database says.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.sql(&self.name, sql).unwrap()
    }

    /// Devices of the maker, in the inventory.
    pub(crate) fn devices(&self, ids: &[String]) -> Vec<Device> {
        let devices: Vec<Device> = ids.iter().map(|id| self.maker.device(id)).collect();
        let rows = devices.iter().enumerate().map(|(number, device)| {
            let inventory = device.inventory();
            if number == 0 { inventory } else { format!("{}\n", inventory.lines().nth(1).unwrap()) }
        });
        let file = self.write("inventory.csv", &rows.collect::<String>());
        self.command(0, &["device", "import", file.to_str().unwrap()]);
        devices
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        self.devices(&[id.to_owned()]).remove(0)
    }

    pub(crate) async fn nonce(&self, replica: usize, device: &DeviceId) -> Nonce {
        let reply = self.tls(replica).post(endpoint::CHALLENGE, &challenge(device)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Challenge::decode(&reply.body).unwrap().nonce
    }

    pub(crate) async fn enroll(&self, replica: usize, device: &Device) -> Identity {
        let key = Operational::new();
        let body = device.enroll(self.nonce(replica, &device.id).await, &key.csr);
        identity(&self.tls(replica).post(endpoint::ENROLL, &body).await, &key)
    }
}

/// The body of a request for a nonce.
pub(crate) fn challenge(device: &DeviceId) -> Vec<u8> {
    let kinds = EvidenceKind::NATIVE.iter().copied().collect();
    let mut body = vec![0; 256];
    let request = ChallengeRequest { device: device.clone(), kinds, introduction: None };
    let length = request.encode(&mut body).unwrap();
    body.truncate(length);
    body
}
