//! What can be written behind `webhook`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Webhook {
    /// List the webhooks of the settings.
    List,
    /// Show how a webhook stands, or all of them: what was delivered, what waits, what is parked.
    Status {
        /// Its name.
        name: Option<String>,
    },
    /// List the events that a receiver refused for good.
    Parked {
        /// The webhook's name.
        name: String,
    },
    /// Have events sent again by the server that runs.
    Replay {
        /// The webhook's name.
        name: String,
        #[command(flatten)]
        what: ReplayWhat,
    },
    /// Send a test event now, from here, and show the answer. Exit status 1 where the receiver does not take it.
    Test {
        /// The webhook's name.
        name: String,
    },
    /// Make a secret to be shared with a receiver, in a new file.
    Secret {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct ReplayWhat {
    /// All parked events.
    #[arg(long)]
    pub(in crate::cli) parked: bool,
    /// One parked event.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) event: Option<u64>,
    /// Every event from this number on, whether it was delivered or not.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) from: Option<u64>,
}
