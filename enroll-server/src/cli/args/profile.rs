//! What can be written behind `profile`.

use std::path::PathBuf;

use appraisal::GroupName;
use clap::Subcommand;
use shared::DeviceId;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Profile {
    /// Look for mistakes: all of them, each with file, line and field, and what rules the certificates would break. A
    /// sample is signed in memory with keys that are thrown away, and shown. Exit status 3 where there are any.
    Check {
        /// Profile files; they need no server.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The device of the sample.
        #[arg(long, default_value = "sn-0001")]
        device: DeviceId,
        /// Its group.
        #[arg(long, default_value = "default")]
        group: GroupName,
        /// Its model.
        #[arg(long)]
        model: Option<String>,
        /// What {label} stands for.
        #[arg(long, default_value = "label")]
        label: String,
    },
    /// Show the profiles that the files say, with every value, and which groups use them.
    Show {
        /// One profile; by default all.
        name: Option<String>,
    },
    /// List the rules that every certificate is held to before it is signed, each with what demands it.
    Rules,
}
