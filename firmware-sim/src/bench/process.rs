//! The server in a process of its own, so that its processor time and memory are its alone; read from /proc.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::BenchError;

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    folder: PathBuf,
    /// The native protocol.
    pub https: SocketAddr,
    /// OCSP and revocation lists.
    pub http: SocketAddr,
    /// Enrollment over Secure Transport.
    pub est: SocketAddr,
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

impl ServerProcess {
    /// Starts `enroll-server serve` with the settings in `config`, as this program's own child: the same code, linked
    /// into this program.
    ///
    /// # Errors
    /// Where it cannot be started, or does not become ready.
    pub async fn start(config: &Path) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::io("this program cannot be found"))?;
        let log = config.with_file_name("server.log");
        let file = File::create(&log).map_err(BenchError::io(format!("cannot write {}", log.display())))?;
        let child = Command::new(program)
            .args(["bench", "server", "--config"])
            .arg(config)
            // The log is as in production.
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::io("the server cannot be started"))?;
        let id = child.id().ok_or(BenchError::Proc("the number"))?;
        let folder = PathBuf::from(format!("/proc/{id}"));
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if let Some([https, http, est]) = addresses(&text) {
                return Ok(Self { child, folder, https, http, est });
            }
            if begun.elapsed() > PATIENCE {
                let last = text.lines().next_back().unwrap_or_default();
                return Err(BenchError::NotReady(last.to_owned()));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Processor time used until now, that of the kernel for the process included (proc(5), `utime` and `stime`).
    /// Comes in steps of a clock tick, 10 ms as a rule.
    ///
    /// # Errors
    /// Where the system does not tell it.
    pub fn cpu(&self) -> Result<Duration, BenchError> {
        let missing = BenchError::Proc("the processor time");
        let text = fs::read_to_string(self.folder.join("stat")).map_err(|_| missing)?;
        ticks(&text).ok_or(BenchError::Proc("the processor time"))
    }

    /// Memory that is resident now, in KiB.
    ///
    /// # Errors
    /// Where the system does not tell it.
    pub fn memory_kib(&self) -> Result<u64, BenchError> {
        self.status("VmRSS:")
    }

    /// The most memory that was resident since [`forget_peak`](Self::forget_peak), in KiB.
    ///
    /// # Errors
    /// Where the system does not tell it.
    pub fn peak_kib(&self) -> Result<u64, BenchError> {
        self.status("VmHWM:")
    }

    /// Begins a new peak of memory.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn forget_peak(&self) -> Result<(), BenchError> {
        // proc(5): 5 resets the peak resident set size.
        fs::write(self.folder.join("clear_refs"), "5").map_err(|_| BenchError::Proc("the memory anew"))
    }

    fn status(&self, name: &'static str) -> Result<u64, BenchError> {
        let text = fs::read_to_string(self.folder.join("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse().ok());
        number.ok_or(BenchError::Proc("the memory"))
    }

    /// Ends the server.
    ///
    /// # Errors
    /// Where it cannot be ended.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        self.child.kill().await.map_err(BenchError::io("the server cannot be stopped"))
    }
}

/// Processor time of the calling thread, to the nanosecond.
pub(super) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// `utime` and `stime` of a line in /proc/PID/stat. The name, in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_micros(ticks * 1_000_000 / per_second.max(1)))
}

/// The addresses in the line of the log by which the server says that it is ready.
fn addresses(log: &str) -> Option<[SocketAddr; 3]> {
    let line = log.lines().find(|line| line.contains("the server is ready"))?;
    let field = |name: &str| {
        let text = line.split_whitespace().find_map(|word| word.strip_prefix(name))?;
        text.trim_start_matches("Some(").trim_end_matches(')').parse().ok()
    };
    Some([field("https=")?, field("http=")?, field("est=")?])
}

#[cfg(test)]
mod tests {
    use super::{addresses, ticks};

    #[test]
    fn what_the_system_and_the_server_say_is_read() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks(stat).map(|time| time.as_millis()), Some(2_000));
        assert_eq!(ticks("12 (a) S 1"), None);
        let line =
            "INFO x: the server is ready https=127.0.0.1:1 http=Some(127.0.0.1:2) est=Some(127.0.0.1:3)";
        let found = addresses(&format!("a\n{line}\n")).unwrap();
        assert_eq!(found.map(|address| address.port()), [1, 2, 3]);
        assert_eq!(addresses("the server is ready https=127.0.0.1:1 http=None est=None"), None);
    }
}
