//! Child processes that do not outlive their test.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::wait::{LIMIT, until};

/// A running program. Killed when dropped, whatever the test does.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// A program that has come to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// What a program wrote, both streams line by line as they came.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    /// How many streams have come to their end.
    ended: AtomicUsize,
}

impl Output {
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst) == 2
    }
}

impl Process {
    /// Starts `command`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Arc::new(Output::default());
        follow(child.stdout.take().expect("piped"), &output);
        follow(child.stderr.take().expect("piped"), &output);
        Self { name, child, output }
    }

    /// Waits for a line that `wanted` takes something from.
    ///
    /// # Panics
    /// After [`LIMIT`].
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let mut read = 0;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            for line in &lines[read..] {
                if let Some(found) = wanted(line) {
                    return found;
                }
            }
            read = lines.len();
            let (guard, waited) = self
                .output
                .grown
                .wait_timeout_while(lines, LIMIT, |lines| lines.len() == read)
                .unwrap_or_else(PoisonError::into_inner);
            lines = guard;
            assert!(!waited.timed_out(), "{}: waited in vain for: {what}", self.name);
        }
    }

    /// Waits for a line with this text in it; `None` where the program closes both its streams before.
    ///
    /// # Panics
    /// After [`LIMIT`].
    #[must_use]
    pub fn first_line(&self, text: &str) -> Option<String> {
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let open = |lines: &mut Vec<String>| found(lines).is_none() && !self.output.is_over();
        let waited = self.output.grown.wait_timeout_while(lines, LIMIT, open);
        let (lines, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{}: waited in vain for: {text}", self.name);
        found(&lines)
    }

    /// Waits for a line with this text in it.
    ///
    /// # Panics
    /// After [`LIMIT`].
    pub fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |line| line.contains(text).then_some(()));
    }

    /// What was written until now.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// Where the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("the process is there");
    }

    /// Sends a signal to all processes of the group that it leads; nothing where none is left.
    ///
    /// # Panics
    /// Where it leads none, or the system refuses.
    pub fn signal_group(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        match kill_process_group(Pid::from_raw(id).expect("a process id"), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// Kills it (SIGKILL) and waits for its end.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("to kill a child");
        self.child.wait().expect("its end");
        self.output()
    }

    /// Asks it to stop (SIGTERM), waits for its end and gives how it ended with all it wrote.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        let status = self.wait();
        (status, self.output())
    }

    /// For a destructor: asks it to stop (SIGTERM) and waits some seconds for its end. Asserts nothing, since the test may
    /// be failing already.
    pub fn end_softly(&mut self) {
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if runs(&mut self.child) {
            self.signal(Signal::TERM);
        }
        for _ in 0..500 {
            if !runs(&mut self.child) {
                return;
            }
            super::wait::pause(core::time::Duration::from_millis(20));
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After [`LIMIT`].
    pub fn wait(&mut self) -> ExitStatus {
        let name = format!("the end of {}", self.name);
        until(&name, || self.child.try_wait().expect("the state of a child"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, or the test fails already: nothing to do about an error here.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
        if std::thread::panicking() {
            eprint(&format!("---- output of {} ----\n{}\n----", self.name, self.output()));
        }
    }
}

/// Runs `command` to its end.
///
/// # Panics
/// Where it cannot be started.
pub fn run(command: &mut Command) -> Finished {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Finished {
    /// Its standard output.
    ///
    /// # Panics
    /// Where it did not end well.
    #[must_use]
    pub fn success(self) -> String {
        let Self { status, stdout, stderr } = &self;
        assert!(status.success(), "{status}\n{stdout}\n{stderr}");
        self.stdout
    }

    /// Both streams where it failed, else nothing.
    #[must_use]
    pub fn failure_or_empty(self) -> String {
        if self.status.success() { String::new() } else { format!("{}\n{}", self.stdout, self.stderr) }
    }

    /// Both streams.
    ///
    /// # Panics
    /// Where it ended well.
    #[must_use]
    pub fn failure(self) -> String {
        let Self { status, stdout, stderr } = &self;
        assert!(!status.success(), "it should have failed\n{stdout}\n{stderr}");
        format!("{stdout}\n{stderr}")
    }
}

/// Collects the lines of a stream until its end.
fn follow(stream: impl Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            output.grown.notify_all();
            line.clear();
        }
        let _lines = output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        output.ended.fetch_add(1, Ordering::SeqCst);
        output.grown.notify_all();
    });
}

fn eprint(text: &str) {
    #[expect(clippy::print_stderr, reason = "shows what went on in a test that fails")]
    {
        eprintln!("{text}");
    }
}
