//! What can be written behind `dashboard`.

use core::time::Duration;

use clap::Subcommand;

use super::values;
use crate::dashboard::Role;

/// Longest life of a link.
const LONGEST: Duration = Duration::from_secs(86_400);

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Dashboard {
    /// Make a link by which one person signs in, once. Whoever opens it first has it: hand it over in private.
    Link {
        /// What they may do: viewer (look), operator (approve, refuse, suspend), admin (also tokens and revocations).
        #[arg(long, default_value = "viewer", value_parser = role)]
        role: Role,
        /// How long the link is good, such as 15m; 24h at most. The session that it opens lasts as the settings say.
        #[arg(long = "for", default_value = "15m", value_name = "DURATION", value_parser = lifetime)]
        lifetime: Duration,
        /// Who it is for, as the audit trail names them. By default you.
        #[arg(long, value_parser = name)]
        name: Option<String>,
    },
    /// List who is signed in.
    Sessions,
    /// End a session, or all of them.
    #[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all"]))]
    SignOut {
        /// The session's name in the list.
        id: Option<String>,
        /// End all sessions, and links that were not used yet.
        #[arg(long)]
        all: bool,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| "expected viewer, operator or admin".to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let found = values::duration(text)?;
    let good = !found.is_zero() && found <= LONGEST;
    if good { Ok(found) } else { Err("expected a duration of 24h at most, such as 15m".to_owned()) }
}

fn name(text: &str) -> Result<String, String> {
    let good = crate::config::is_person(text);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 printable characters without spaces".to_owned())
    }
}
