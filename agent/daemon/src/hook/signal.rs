//! Signals the process whose number stands in a file, and no other one that got the number later, nor one that somebody else
//! wrote there: a service that may write its own file is not to choose what an agent that runs as root signals.
//!
//! What is compared are ages, so that all of `/proc` but the process's own directory may be hidden (`ProcSubset=pid`).

use core::time::Duration;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fstatfs};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open, pidfd_send_signal};

use crate::config::Signal;

/// Longest file, in bytes: a number and a line's end.
const MAX_FILE: u64 = 32;
/// A process writes its file after it began; its begin is known to the kernel's tick, the other times to the second.
const SLACK: Duration = Duration::from_secs(2);

/// Why nobody was signalled.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignalError {
    #[error("the file with the process's number cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("{} is a link, a pipe or the like; name the file itself with the process's number", .0.display())]
    NoFile(PathBuf),
    #[error("{} does not hold the number of a process", .0.display())]
    NoNumber(PathBuf),
    #[error("process {0} does not run; the file is an old one")]
    Gone(i32),
    #[error("process {0} began after the file was written, so it is another one")]
    Another(i32),
    #[error(
        "the file belongs to user {writer}, and process {number} to user {owner}: only the process's own user, or root, says \
         where it is"
    )]
    Foreign { number: i32, writer: u32, owner: u32 },
    #[error("process {0} cannot be signalled")]
    Refused(i32, #[source] io::Error),
}

/// Sends the signal; returns the process's number.
pub(super) fn send(signal: Signal, pid_file: &Path) -> Result<i32, SignalError> {
    let (text, written) = read(pid_file)?;
    let number = text.trim().parse().ok().filter(|number| *number > 1);
    let (Some(number), Some(process)) = (number, number.and_then(Pid::from_raw)) else {
        return Err(SignalError::NoNumber(pid_file.to_owned()));
    };
    let gone = || SignalError::Gone(number);
    // First of all: what is looked at from here on is the process that is signalled, or that one is gone.
    let handle = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(handle) => Some(handle),
        Err(Errno::SRCH) => return Err(gone()),
        // Linux before 5.3, or a filter of system calls that does not know it.
        Err(_) => None,
    };
    let began = began(number).ok_or_else(gone)?;
    let owner = owner(number).ok_or_else(gone)?;
    if !may_name(written.by, owner) {
        return Err(SignalError::Foreign { number, writer: written.by, owner });
    }
    // The clock that the kernel counts a process's begin with: set by nobody, and going on while the system sleeps.
    let uptime = Duration::from_secs(rustix::system::sysinfo().uptime.try_into().unwrap_or(0));
    if !wrote(began, uptime, written) {
        return Err(SignalError::Another(number));
    }
    let signal = match signal {
        Signal::Hup => rustix::process::Signal::HUP,
        Signal::Usr1 => rustix::process::Signal::USR1,
        Signal::Usr2 => rustix::process::Signal::USR2,
    };
    let sent = match handle {
        Some(handle) => pidfd_send_signal(handle, signal),
        None => kill_process(process, signal),
    };
    sent.map_err(|error| SignalError::Refused(number, error.into()))?;
    Ok(number)
}

/// When the file was written, and by whom.
#[derive(Clone, Copy, Debug)]
struct Written {
    /// The user whose it is.
    by: u32,
    /// How long ago by the wall clock, which may have been set since.
    age: Duration,
    /// Its file system does not outlast the system.
    since_boot: bool,
}

/// Whether a process that began so long after the system can have written the file.
fn wrote(began: Duration, uptime: Duration, file: Written) -> bool {
    // A file that must be younger than the system, and is older by the wall clock: that was set meanwhile, as on every device
    // that wakes in 1970, and says nothing of the file's age.
    let unknown = file.since_boot && file.age > uptime;
    unknown || began.saturating_add(file.age) <= uptime.saturating_add(SLACK)
}

/// Whether a file of this user may say that the process of that user is to be signalled.
const fn may_name(writer: u32, owner: u32) -> bool {
    writer == 0 || writer == owner
}

/// Never waits: a pipe in the file's place would have the agent hang.
fn read(path: &Path) -> Result<(String, Written), SignalError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let no_file = || SignalError::NoFile(path.to_owned());
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => no_file(),
        _ => SignalError::Unreadable(error),
    })?;
    let found = file.metadata().map_err(SignalError::Unreadable)?;
    if !found.is_file() {
        return Err(no_file());
    }
    let at = u64::try_from(found.mtime()).unwrap_or(0);
    let age = Duration::from_secs(crate::clock::now().as_secs().saturating_sub(at));
    // statfs(2): TMPFS_MAGIC. It is what /run is.
    let status = fstatfs(&file).map_err(|error| SignalError::Unreadable(error.into()))?;
    let since_boot = status.f_type == 0x0102_1994;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(SignalError::Unreadable)?;
    Ok((text, Written { by: found.uid(), age, since_boot }))
}

/// The user whose a process is; `None` where there is none. The directory itself has its effective user, also where what lies
/// in it is kept from that one (proc_pid(5)).
fn owner(number: i32) -> Option<u32> {
    Some(std::fs::metadata(format!("/proc/{number}")).ok()?.uid())
}

/// How long after the system a process began (proc_pid_stat(5), field 22); `None` where there is none.
fn began(number: i32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name before may hold spaces and brackets; field 3 comes after its last bracket.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_secs(ticks / rustix::param::clock_ticks_per_second().max(1)))
}

#[cfg(test)]
mod tests {
    use super::{SignalError, Written, may_name, send, wrote};
    use crate::config::Signal;
    use core::time::Duration;
    use std::fs::File;
    use std::process::{Child, Command};

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
        let opened = File::options().write(true).open(&file).unwrap();
        let old = opened.metadata().unwrap().modified().unwrap() - Duration::from_secs(10);
        opened.set_modified(old).unwrap();
        assert!(matches!(send(Signal::Hup, &file), Err(SignalError::Another(_))));
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(send(Signal::Hup, &file), Err(SignalError::Gone(_))));
    }

    /// In seconds: the process began after the system; the system runs; the file is old by the wall clock.
    #[test]
    fn only_a_process_that_began_before_its_file_wrote_it() {
        let day = 86_400;
        for (began, uptime, age, since_boot, expected) in [
            (100, 1_000, 900, false, true),
            (100, 1_000, 100, true, true),
            // The number was given again after the file was written.
            (500, 1_000, 900, false, false),
            (500, 1_000, 900, true, false),
            // Rounding.
            (102, 1_000, 900, true, true),
            (103, 1_000, 900, true, false),
            // Written before the system started, and kept on a disk.
            (5, 1_000, 2_000, false, false),
            (0, 1_000, 1_003, false, false),
            // Written when the clock showed 1970: as old as that by the clock that was set since.
            (5, 1_000, 56 * 365 * day, true, true),
            (5, 1_000, 56 * 365 * day, false, false),
            // Written before the clock was set back: not in the future.
            (5, 1_000, 0, true, true),
        ] {
            let [began, uptime, age] = [began, uptime, age].map(Duration::from_secs);
            let file = Written { by: 0, age, since_boot };
            assert_eq!(wrote(began, uptime, file), expected, "{began:?} {uptime:?} {file:?}");
        }
    }

    #[test]
    fn only_root_and_the_processs_own_user_say_where_it_is() {
        for (writer, owner, may) in
            [(0, 0, true), (0, 812, true), (812, 812, true), (812, 0, false), (812, 813, false)]
        {
            assert_eq!(may_name(writer, owner), may, "{writer} {owner}");
        }
        if rustix::process::geteuid().is_root() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("pid");
            let mut child = sleeper();
            std::fs::write(&file, child.id().to_string()).unwrap();
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            let outcome = send(Signal::Hup, &file);
            assert!(
                matches!(outcome, Err(SignalError::Foreign { writer: 65534, owner: 0, .. })),
                "{outcome:?}"
            );
            assert!(child.try_wait().unwrap().is_none(), "it lives");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_is_no_plain_file_is_not_read_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link, pipe) = (dir.path().join("real"), dir.path().join("link"), dir.path().join("pipe"));
        std::fs::write(&real, "no number").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for odd in [link, pipe, dir.path().to_owned()] {
            let outcome = send(Signal::Hup, &odd);
            assert!(matches!(outcome, Err(SignalError::NoFile(_))), "{outcome:?}");
        }
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
