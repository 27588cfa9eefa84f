//! The real Mosquitto, as a process that ends with the test.

use core::time::Duration;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::pki::{Ca, Leaf};

/// A broker that wants client certificates and takes the user's name from them.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts the broker; clients have certificates of `client_ca`.
    pub(crate) fn start(identity: &Leaf, client_ca: &Ca) -> Self {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("these tests need Mosquitto; install it with: apt-get install mosquitto");
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("ca.pem"), &client_ca.pem).unwrap();
        fs::write(at("server.pem"), &identity.pem).unwrap();
        fs::write(at("server.key"), identity.key.serialize_pem()).unwrap();
        fs::write(at("acl"), "user observer\ntopic readwrite #\n\npattern readwrite devices/%u/#\n").unwrap();
        // The port is free now; nothing else on this machine asks for it within a moment.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nacl_file {}\n\
             require_certificate true\nuse_identity_as_username true\ntls_version tlsv1.3\n\
             allow_anonymous false\npersistence false\nlog_dest stderr\n",
            at("ca.pem"),
            at("server.pem"),
            at("server.key"),
            at("acl")
        );
        fs::write(at("mosquitto.conf"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let process = Command::new(program)
            .args(["-c", &at("mosquitto.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut broker = Self { port, process, _directory: directory };
        broker.wait_until_it_listens();
        broker
    }

    fn wait_until_it_listens(&mut self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self._directory.path().join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "Mosquitto ended: {log}");
            assert!(begin.elapsed() < Duration::from_secs(20), "Mosquitto does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the broker without a word to its clients.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}
