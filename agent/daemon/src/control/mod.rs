//! Control of a running agent by the same user: a Unix socket of mode 0600 in the state directory.
//!
//! One line of JSON asks, one line of JSON answers. The socket can ask for what an MQTT command can ask for, and
//! for a snapshot; it cannot read keys or change settings.

mod client;
mod server;

use serde::{Deserialize, Serialize};

use crate::live::{Renewal, Snapshot};

pub use client::{ControlError, ask};
pub use server::{Listener, serve};

/// Longest line either way, in bytes.
const MAX_LINE: u64 = 4096;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command", deny_unknown_fields)]
pub enum Question {
    /// How the agent is.
    Status,
    /// To renew now, and to tell how it came out.
    Renew,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How it is.
    Status(Snapshot),
    /// How the renewal came out.
    Renewal(Renewal),
    /// The renewal is under way, and takes longer than a client may wait.
    StillRenewing,
    /// The question was not understood.
    BadQuestion(String),
}
