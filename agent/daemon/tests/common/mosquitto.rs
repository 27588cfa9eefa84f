//! The real Mosquitto, as a process that ends with the test.

use core::time::Duration;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::pki::{Ca, Leaf};

/// A broker that wants client certificates and takes the user's name from them.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    program: &'static str,
    process: Child,
    directory: tempfile::TempDir,
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
        // A port that is free now may be another test's a moment later: then the broker ends, and another is tried.
        let mut attempts = 0..5;
        loop {
            attempts.next().expect("a free port for Mosquitto");
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
            if let Some(process) = start(program, directory.path()) {
                return Self { port, program, process, directory };
            }
        }
    }

    /// Starts it again on its port, after [`kill`](Self::kill).
    pub(crate) fn restart(&mut self) {
        self.process = start(self.program, self.directory.path()).expect("the port is still free");
    }

    /// Stops it dead: its connections stay open, and nothing is read; until [`go_on`](Self::go_on).
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// After [`freeze`](Self::freeze).
    pub(crate) fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
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

/// Starts it with the files of `directory`; `None` where its port is taken.
fn start(program: &str, directory: &Path) -> Option<Child> {
    let log = directory.join("log");
    let process = Command::new(program)
        .arg("-c")
        .arg(directory.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    listening(process, &log)
}

/// The process once it says that it listens; `None` where its port is taken.
fn listening(mut process: Child, log: &Path) -> Option<Child> {
    let begin = Instant::now();
    loop {
        let told = fs::read_to_string(log).unwrap_or_default();
        if process.try_wait().unwrap().is_some() {
            assert!(told.contains("Address already in use"), "Mosquitto ended: {told}");
            return None;
        }
        if told.contains(" running") {
            return Some(process);
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "Mosquitto does not listen: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
