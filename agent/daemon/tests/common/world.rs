//! A provisioned device with everything around it: its files, an enrollment server that checks nothing, Mosquitto.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use super::enrollment::{Enrollment, Seen, Verdict};
use super::mosquitto::Mosquitto;
use super::pki::{Ca, Usage};

/// A provisioned device, a broker and an enrollment server.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) server: Enrollment,
    pub(crate) broker: Mosquitto,
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = Arc::new(Ca::new("ca"));
        let broker = Mosquitto::start(&ca.issue("broker", Usage::Server, |_| {}), &ca);
        let server = Enrollment::start(Arc::clone(&ca), broker.port);
        let world = Self { directory: tempfile::tempdir().unwrap(), server, broker };
        let idevid = Ca::new("maker").issue("SN-1", Usage::Device, |_| {});
        world.write("idevid.pem", idevid.pem.as_bytes());
        world.write("idevid.key", idevid.key.serialize_pem().as_bytes());
        world.write("trust.bundle", &world.server.trust_bundle);
        world.write(
            "agent.toml",
            world.config("certificate = \"idevid.pem\"\nkey = \"idevid.key\"").as_bytes(),
        );
        world
    }

    pub(crate) fn config(&self, identity: &str) -> String {
        format!(
            "state_dir = \"state\"\ntrust_bundle = \"trust.bundle\"\n\
             server = {{ host = \"localhost\", port = {} }}\ntelemetry.interval = \"1s\"\n\
             export.directory = \"export\"\nlog.level = \"debug\"\n\
             hook.command = [\"/bin/sh\", \"-c\", 'echo \"$AGENT_EVENT\" >> {}']\n[identity]\n{identity}\n",
            self.server.port,
            self.path("hook").display()
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.env_clear().args(["--config", self.path("agent.toml").to_str().unwrap()]);
        command
    }

    pub(crate) fn agent(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that has to end with this exit status; what it printed.
    pub(crate) fn ends(&self, arguments: &[&str], status: i32) -> (String, String) {
        let output = self.agent(arguments);
        let texts = (text(&output.stdout), text(&output.stderr));
        let log = self.read("log");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {texts:?}; log:\n{log}");
        texts
    }

    pub(crate) fn run(&self, environment: &[(&str, &str)]) -> Running {
        self.start(&["run"], environment)
    }

    /// Starts a command that stays; it writes the file `log`.
    pub(crate) fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let log = fs::File::create(self.path("log")).unwrap();
        let process = self
            .command()
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { process }
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.agent(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null)
    }

    /// Waits until `condition` holds, and shows the agent's log where it never does.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            assert!(begin.elapsed() < Duration::from_secs(60), "never {what}; log:\n{}", self.read("log"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.server.seen.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, verdict: Verdict) {
        *self.server.verdict.lock().unwrap() = verdict;
    }
}

/// A process that is killed at the latest when the test ends.
pub(crate) struct Running {
    pub(crate) process: Child,
}

impl Running {
    pub(crate) fn terminate(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn serial(status: &serde_json::Value) -> String {
    status["identity"]["serial"].as_str().unwrap_or_default().to_owned()
}
