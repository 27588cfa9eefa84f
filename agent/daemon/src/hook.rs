//! Does what the operator wants after a change of identity or trust: signals a process, runs commands; one at a time,
//! without a shell, with a time limit, and with nothing of the agent's own environment.

mod signal;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use shared::DeviceId;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Action, Hook};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first identity was issued.
    Enrolled,
    /// Another identity is in use.
    Renewed,
    /// Another trust bundle is in force.
    TrustChanged,
    /// The identity was erased.
    Reset,
}

impl Change {
    /// The value of `AGENT_EVENT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Renewed => "renewed",
            Self::TrustChanged => "trust-changed",
            Self::Reset => "reset",
        }
    }
}

/// Where changes are told. Clones feed the same worker.
#[derive(Clone, Debug)]
pub struct Hooks {
    queue: Option<mpsc::Sender<Change>>,
}

/// Runs the commands in the background, in order.
#[derive(Debug)]
pub struct HookWorker {
    task: Option<JoinHandle<()>>,
}

/// Most changes that wait for their command; a change that finds the queue full is logged and left out.
const MAX_WAITING: usize = 16;
/// Where programs are looked for by scripts.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the worker; must be called within a tokio runtime. Without a configured command nothing is ever run.
#[must_use]
pub fn start(hook: Option<Hook>, device: DeviceId, export: Option<PathBuf>) -> (Hooks, HookWorker) {
    let Some(hook) = hook else { return (Hooks { queue: None }, HookWorker { task: None }) };
    let (queue, mut changes) = mpsc::channel(MAX_WAITING);
    let context = Context { hook, device, export };
    let task = tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            context.run(change).await;
        }
    });
    (Hooks { queue: Some(queue) }, HookWorker { task: Some(task) })
}

impl Hooks {
    /// Asks for the command to be run; returns at once.
    pub fn changed(&self, change: Change) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(change).is_err() {
            tracing::warn!(event = change.name(), "the hook command is too slow; a change was left out");
        }
    }
}

impl HookWorker {
    /// Waits until all commands that were asked for have ended; every [`Hooks`] must be gone by then.
    pub async fn finish(self) {
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the hook worker failed");
        }
    }
}

#[derive(Debug)]
struct Context {
    hook: Hook,
    device: DeviceId,
    export: Option<PathBuf>,
}

impl Context {
    async fn run(&self, change: Change) {
        for action in &self.hook.actions {
            match action {
                Action::Run { program, arguments } => self.command(program, arguments, change).await,
                Action::Signal { signal, pid_file } => {
                    let (event, file) = (change.name(), pid_file.display());
                    match signal::send(*signal, pid_file) {
                        Ok(process) => tracing::info!(event, process, %file, "process signalled"),
                        Err(error) => {
                            let cause = crate::cli::causes(&error);
                            tracing::error!(event, %file, cause, "the hook's process could not be signalled");
                        }
                    }
                }
            }
        }
    }

    async fn command(&self, program: &Path, arguments: &[String], change: Change) {
        let event = change.name();
        let mut command = Command::new(program);
        let program = program.display();
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("AGENT_EVENT", event)
            .env("AGENT_DEVICE", self.device.as_str())
            .current_dir("/")
            .stdin(Stdio::null())
            // A group of its own, so that what the command started goes with it.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &self.export {
            command.env("AGENT_EXPORT_DIRECTORY", directory);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%program, event, %error, "the hook command could not be started");
                return;
            }
        };
        let group = child.id();
        match timeout(self.hook.timeout, child.wait()).await {
            Ok(Ok(status)) if status.success() => tracing::info!(%program, event, "hook command done"),
            Ok(Ok(status)) => tracing::error!(%program, event, %status, "the hook command failed"),
            Ok(Err(error)) => tracing::error!(%program, event, %error, "the hook command was lost"),
            Err(_) => {
                let limit = self.hook.timeout.as_secs();
                tracing::error!(%program, event, limit, "the hook command was too slow and was killed");
                kill_group(group);
                if let Err(error) = child.kill().await {
                    tracing::error!(%program, %error, "the hook command could not be killed");
                }
            }
        }
    }
}

pub(crate) fn kill_group(group: Option<u32>) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, "the hook's process group was gone already");
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, start};
    use crate::config::{Action, Hook, Signal};
    use core::time::Duration;
    use shared::DeviceId;
    use std::path::PathBuf;
    use std::time::Instant;

    fn shell(script: &str, timeout: Duration) -> Hook {
        // A test's own shell; the runner starts none.
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Hook { actions: vec![Action::Run { program: "/bin/sh".into(), arguments }], timeout }
    }

    fn device() -> DeviceId {
        DeviceId::new("SN-1").unwrap()
    }

    #[tokio::test]
    async fn the_command_learns_what_changed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!("/usr/bin/env | sort >> {}", out.display());
        let hook = shell(&script, Duration::from_secs(20));
        let (hooks, worker) = start(Some(hook), device(), Some(PathBuf::from("/export")));
        hooks.changed(Change::Enrolled);
        hooks.changed(Change::TrustChanged);
        drop(hooks);
        worker.finish().await;
        let text = std::fs::read_to_string(out).unwrap();
        let ours: Vec<_> = text.lines().filter(|line| line.starts_with("AGENT_")).collect();
        assert_eq!(
            ours,
            [
                "AGENT_DEVICE=SN-1",
                "AGENT_EVENT=enrolled",
                "AGENT_EXPORT_DIRECTORY=/export",
                "AGENT_DEVICE=SN-1",
                "AGENT_EVENT=trust-changed",
                "AGENT_EXPORT_DIRECTORY=/export",
            ]
        );
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "measures real time")]
    async fn a_slow_command_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let begin = Instant::now();
        let (hooks, worker) = start(Some(shell(&script, Duration::from_secs(1))), device(), None);
        hooks.changed(Change::Renewed);
        drop(hooks);
        worker.finish().await;
        assert!(begin.elapsed() < Duration::from_secs(20));
        let child = std::fs::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        // A signal takes its time; gone, or dead and not yet buried.
        while std::fs::read_to_string(&stat).is_ok_and(|state| !state.contains(") Z ")) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the child lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_command_that_cannot_start_or_fails_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let done = dir.path().join("done");
        let mut hook = shell(&format!("touch {}", done.display()), Duration::from_secs(5));
        let missing = Action::Run { program: "/no/such".into(), arguments: vec![] };
        let nobody = Action::Signal { signal: Signal::Hup, pid_file: "/no/such.pid".into() };
        let fails = shell("exit 3", Duration::from_secs(5)).actions.remove(0);
        hook.actions.splice(0..0, [missing, nobody, fails]);
        let (hooks, worker) = start(Some(hook), device(), None);
        hooks.changed(Change::Reset);
        drop(hooks);
        worker.finish().await;
        assert!(done.exists(), "what comes after a failure is done all the same");
    }
}
