//! One machine: QEMU as a child process, and what its console says, line by line.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::board::Board;

/// What makes a machine's time pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// The host's clock.
    #[default]
    Nothing,
    /// Its own instructions, 16 nanoseconds each; the host's clock while it waits.
    Instructions,
}

/// A machine that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    console: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// QEMU does not play this board.
    #[error("QEMU does not play {0}; docs/boards.md says how to flash one")]
    NoMachine(&'static str),
    /// QEMU is not there.
    #[error("qemu-system-arm is not installed; on Debian: apt-get install qemu-system-arm")]
    NoQemu,
    /// QEMU did not start.
    #[error("QEMU did not start")]
    Start(#[from] std::io::Error),
}

impl Machine {
    /// Boots `elf` on `board` in `folder`, which holds its `flash.img` and `fuses.bin`. The host is 10.0.2.2 for it.
    ///
    /// # Errors
    /// Where QEMU is missing or does not start.
    pub fn boot(board: Board, elf: &Path, folder: &Path, count: Count) -> Result<Self, MachineError> {
        let name = board.machine().ok_or_else(|| MachineError::NoMachine(board.name()))?;
        let mut command = Command::new("qemu-system-arm");
        command.args(["-machine", name, "-nographic", "-monitor", "none", "-serial", "none"]);
        command.args(["-semihosting-config", "enable=on,target=native"]);
        command.args(["-nic", "user,model=stellaris", "-kernel"]).arg(elf);
        if count == Count::Instructions {
            command.args(["-icount", "shift=4"]);
        }
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => MachineError::NoQemu,
            _ => MachineError::Start(error),
        })?;
        let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("QEMU has no console"))?;
        Ok(Self { child, console: BufReader::new(stdout).lines() })
    }

    /// The next line of the console; `None` after the machine has stopped.
    ///
    /// # Errors
    /// Where the console cannot be read.
    pub async fn line(&mut self) -> Result<Option<String>, std::io::Error> {
        self.console.next_line().await
    }

    /// Cuts the power.
    ///
    /// # Errors
    /// Where QEMU cannot be killed.
    pub async fn cut_power(mut self) -> Result<(), std::io::Error> {
        self.child.kill().await
    }
}
