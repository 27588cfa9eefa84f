//! A server in a process of its own, with a witness inside: all that `enroll-server serve` runs, started by a test
//! executable so that it can look on at the named places of an issuance, die at one, and have a defect.

use core::sync::atomic::{AtomicU32, Ordering};
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use enroll_server::clock::{Clock, SystemClock};
use enroll_server::config::Config;
use enroll_server::failpoint::{Failpoint, Hook, Plant};
use enroll_server::startup::{Options, Server};
use rustix::process::Signal;
use shared::UnixTime;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::Process;

/// The named places where the server can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// See [`Failpoint::Appraised`].
    Appraised,
    /// See [`Failpoint::Recorded`].
    Recorded,
    /// See [`Failpoint::Signed`].
    Signed,
    /// See [`Failpoint::Completed`].
    Completed,
    /// See [`Failpoint::LogTiles`].
    LogTiles,
    /// See [`Failpoint::LogSigned`].
    LogSigned,
    /// See [`Failpoint::LogPublished`].
    LogPublished,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Appraised,
        Self::Recorded,
        Self::Signed,
        Self::Completed,
        Self::LogTiles,
        Self::LogSigned,
        Self::LogPublished,
    ];

    /// Whether it is one of the log, which is written in its own time, and not one of a request.
    pub(crate) const fn is_of_log(self) -> bool {
        matches!(self, Self::LogTiles | Self::LogSigned | Self::LogPublished)
    }

    pub(crate) const fn of(place: Failpoint) -> Self {
        match place {
            Failpoint::Appraised => Self::Appraised,
            Failpoint::Recorded(_) => Self::Recorded,
            Failpoint::Signed(_) => Self::Signed,
            Failpoint::Completed(_) => Self::Completed,
            Failpoint::LogTiles(_) => Self::LogTiles,
            Failpoint::LogSigned(_) => Self::LogSigned,
            Failpoint::LogPublished(_) => Self::LogPublished,
        }
    }
}

/// At which place a server kills itself, and at the how manieth passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The place.
    pub place: Place,
    /// 1 for the first passage.
    pub passage: u32,
}

/// What a server has beside that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extra<'a> {
    /// A file that says by how many seconds its clock is ahead of this machine's; it may change while the server runs.
    pub(super) clock: &'a Path,
    /// The planted defect: it keeps something of every certificate.
    pub(super) leaks: bool,
}

impl Extra<'_> {
    /// Has `command`, one of [`Child::command`], run with it.
    pub(super) fn on(&self, command: &mut Command) {
        command.env(CLOCK, self.clock);
        if self.leaks {
            command.env(LEAKS, "1");
        }
    }
}

/// The clock of this machine, ahead of the time by what a file says.
#[derive(Debug)]
struct AheadClock(PathBuf);

impl Clock for AheadClock {
    fn now(&self) -> UnixTime {
        let ahead: i64 =
            fs::read_to_string(&self.0).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        UnixTime::from_secs(SystemClock.now().as_secs().saturating_add_signed(ahead))
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// Port of its HTTPS listener.
    pub port: u16,
    /// Port of its listener without TLS.
    pub http_port: u16,
}

const CONFIG: &str = "FAULTS_CHILD_CONFIG";
const WITNESS: &str = "FAULTS_CHILD_WITNESS";
const DEATH: &str = "FAULTS_CHILD_DEATH";
const PLANT: &str = "FAULTS_CHILD_PLANT";
const CLOCK: &str = "FAULTS_CHILD_CLOCK";
const LEAKS: &str = "FAULTS_CHILD_LEAKS";
const PLANTS: [Plant; 5] = [
    Plant::SignsBeforeRecording,
    Plant::CommitsWithoutSync,
    Plant::AnswersWithoutStoring,
    Plant::BelievesOldDatabase,
    Plant::RecoversOnce,
];

impl Child {
    /// The command that runs a server on these settings, in a process of this executable, whose test `child` calls
    /// [`serve`]. The witness writes into the file `witness`.
    ///
    /// # Panics
    /// Where the executable does not know its own path.
    #[must_use]
    pub fn command(config: &Path, witness: &Path, death: Option<Death>, plant: Option<Plant>) -> Command {
        let mut command = Command::new(env::current_exe().expect("the test's own path"));
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(CONFIG, config).env(WITNESS, witness);
        if let Some(Death { place, passage }) = death {
            command.env(DEATH, format!("{place:?} {passage}"));
        }
        if let Some(plant) = plant {
            command.env(PLANT, format!("{plant:?}"));
        }
        command
    }

    /// Starts it; it is ready when this returns. `None` where it was killed before.
    ///
    /// # Errors
    /// What it wrote, where it ended in another way.
    ///
    /// # Panics
    /// Where it neither becomes ready nor ends.
    pub fn start(command: &mut Command) -> Result<Option<Self>, String> {
        let mut process = Process::start(command);
        match process.first_line("ready ") {
            Some(line) => {
                let mut ports = line.split(' ').rev().map(|port| port.parse().expect("a port"));
                let (http_port, port) = (ports.next().expect("a port"), ports.next().expect("a port"));
                Ok(Some(Self { process, port, http_port }))
            }
            None if process.wait().signal() == Some(Signal::KILL.as_raw()) => Ok(None),
            None => Err(process.output()),
        }
    }

    /// Kills it (SIGKILL).
    pub fn kill(self) {
        let _output = self.process.kill();
    }

    /// Asks it to stop, and waits for its end. Gives what it wrote.
    #[must_use]
    pub fn stop(self) -> String {
        self.process.stop().1
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it (SIGKILL), and does not wait.
    pub fn strike(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

/// Runs the server that [`Child::command`] asks for, until SIGTERM.
///
/// # Panics
/// Where it does not start.
pub fn serve() {
    let config = env::var_os(CONFIG).expect("called by a harness");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = Config::load(Path::new(&config)).expect("settings");
        let options = Options { hook: hook(), ..Options::default() };
        let clock: Arc<dyn Clock> = match env::var_os(CLOCK) {
            Some(path) => Arc::new(AheadClock(path.into())),
            None => Arc::new(SystemClock),
        };
        let server = Box::pin(Server::start_with(config, clock, options)).await;
        let server = server.unwrap_or_else(|error| panic!("the server does not start: {error:?}"));
        let mut end = signal(SignalKind::terminate()).expect("a signal");
        let bound = server.bound();
        say(&format!("ready {} {}", bound.https.port(), bound.http.map_or(0, |http| http.port())));
        end.recv().await;
        server.stop().await;
    });
}

fn hook() -> Hook {
    let witness = env::var_os(WITNESS).expect("called by a harness");
    let death = env::var(DEATH).ok();
    let leaks = env::var_os(LEAKS).is_some();
    let kept = Mutex::new(Vec::new());
    let passed = AtomicU32::new(0);
    let hook = Hook::new(move |place| {
        if let Failpoint::Signed(serial) = place {
            let mut file = OpenOptions::new().create(true).append(true).open(&witness).expect("the witness");
            if leaks {
                kept.lock().expect("no panic").push(vec![1_u8; LEAK]);
            }
            // In one write: whoever dies in it leaves a line or none.
            file.write_all(format!("signed {serial}\n").as_bytes()).expect("the witness");
        }
        if let Some((name, passage)) = death.as_deref().and_then(|death| death.split_once(' '))
            && name == format!("{:?}", Place::of(place))
            && passage == (passed.fetch_add(1, Ordering::SeqCst) + 1).to_string()
        {
            rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).expect("to die");
        }
    });
    let plant = env::var(PLANT).ok();
    let plant = PLANTS.into_iter().find(|known| plant.as_deref() == Some(format!("{known:?}").as_str()));
    match plant {
        Some(plant) => hook.with_plant(plant),
        None => hook,
    }
}

/// Bytes that the planted defect keeps of every certificate.
const LEAK: usize = 1024 * 1024;

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "tells the harness, in another process")]
    {
        println!("{text}");
    }
}
