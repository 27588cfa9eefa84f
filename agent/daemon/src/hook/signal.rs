//! Signals the process whose number stands in a file, and no other one that got the number later.

use core::time::Duration;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::process::{Pid, kill_process};

use crate::config::Signal;

/// Longest file, in bytes: a number and a line's end.
const MAX_FILE: u64 = 32;
/// A process writes its file after it began; its begin is known to the kernel's tick, the file's time to that of its
/// file system.
const SLACK: Duration = Duration::from_secs(2);

/// Why nobody was signalled.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignalError {
    #[error("the file with the process's number cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("{} does not hold the number of a process", .0.display())]
    NoNumber(PathBuf),
    #[error("process {0} does not run; the file is an old one")]
    Gone(i32),
    #[error("process {0} began after the file was written, so it is another one")]
    Another(i32),
    #[error("process {0} cannot be signalled")]
    Refused(i32, #[source] io::Error),
}

/// Sends the signal; returns the process's number.
pub(super) fn send(signal: Signal, pid_file: &Path) -> Result<i32, SignalError> {
    let (text, written) = read(pid_file).map_err(SignalError::Unreadable)?;
    let number = text.trim().parse().ok().filter(|number| *number > 1);
    let (Some(number), Some(process)) = (number, number.and_then(Pid::from_raw)) else {
        return Err(SignalError::NoNumber(pid_file.to_owned()));
    };
    let began = began(number).ok_or(SignalError::Gone(number))?;
    if began > written + SLACK {
        return Err(SignalError::Another(number));
    }
    let signal = match signal {
        Signal::Hup => rustix::process::Signal::HUP,
        Signal::Usr1 => rustix::process::Signal::USR1,
        Signal::Usr2 => rustix::process::Signal::USR2,
    };
    kill_process(process, signal).map_err(|error| SignalError::Refused(number, error.into()))?;
    Ok(number)
}

fn read(path: &Path) -> io::Result<(String, SystemTime)> {
    let file = File::open(path)?;
    let written = file.metadata()?.modified()?;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok((text, written))
}

/// When a process began (proc_pid_stat(5), field 22; proc_stat(5), btime); `None` where there is none.
fn began(number: i32) -> Option<SystemTime> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name before may hold spaces and brackets; field 3 comes after its last bracket.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let since_boot = Duration::from_secs(ticks / rustix::param::clock_ticks_per_second().max(1));
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot))?.checked_add(since_boot)
}

#[cfg(test)]
mod tests {
    use super::{SignalError, send};
    use crate::config::Signal;
    use core::time::Duration;
    use std::fs::File;
    use std::process::{Child, Command};
    use std::time::SystemTime;

    /// A process that each of the signals ends, also where the tests were started with one ignored (`nohup`).
    fn sleeper() -> Child {
        let child =
            Command::new("env").args(["--default-signal=HUP,USR1,USR2", "sleep", "600"]).spawn().unwrap();
        // Before it sleeps it may still ignore what they were started with.
        let name = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn the_process_in_the_file_is_signalled() {
        use std::os::unix::process::ExitStatusExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        for (signal, number) in [(Signal::Hup, 1), (Signal::Usr1, 10), (Signal::Usr2, 12)] {
            let mut child = sleeper();
            std::fs::write(&file, format!("{}\n", child.id())).unwrap();
            assert_eq!(u32::try_from(send(signal, &file).unwrap()).unwrap(), child.id());
            assert_eq!(child.wait().unwrap().signal(), Some(number));
        }
    }

    #[test]
    fn another_process_with_the_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut child = sleeper();
        std::fs::write(&file, child.id().to_string()).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        assert!(matches!(send(Signal::Hup, &file), Err(SignalError::Another(_))));
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(send(Signal::Hup, &file), Err(SignalError::Gone(_))));
    }

    /// 0 is the agent's own process group, -1 everybody, 1 the first process.
    #[test]
    fn what_is_no_number_of_one_process_signals_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        for bad in
            ["", "0", "-1", "1", "-812", "mosquitto", "12 13", "99999999999999999999999999999999999999"]
        {
            std::fs::write(&file, bad).unwrap();
            assert!(matches!(send(Signal::Hup, &file), Err(SignalError::NoNumber(_))), "{bad}");
        }
        assert!(matches!(send(Signal::Hup, &dir.path().join("none")), Err(SignalError::Unreadable(_))));
    }
}
