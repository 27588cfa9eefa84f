//! What can be written behind `policy`.

use core::time::Duration;
use std::path::PathBuf;

use appraisal::GroupName;
use clap::Subcommand;
use shared::{DeviceId, UnixTime};

use super::values;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Policy {
    /// Look for mistakes: all of them, each with file, line and field. Exit status 3 where there are any.
    Check {
        /// Policy files; by default all those of the settings. A file in the folder of groups is read over the
        /// policy of the group default.
        files: Vec<PathBuf>,
        /// The group the files are meant for, where their names do not say it.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// Tell which rule decided about a device, with every rule that was looked at and what its evidence said.
    #[command(group = clap::ArgGroup::new("what").required(true).args(["device", "evidence"]))]
    Explain {
        /// What was recorded of this device.
        #[arg(long)]
        device: Option<DeviceId>,
        /// How many of its last requests.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        last: u32,
        /// Work out what would become of this enroll request: a file with the bytes as they are sent. Changes
        /// nothing.
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
        /// As if it came at this time: in seconds since 1970, or like 2026-11-25T19:00:00Z.
        #[arg(long, conflicts_with = "device", value_parser = values::time)]
        at: Option<UnixTime>,
        /// As if the device were of this group.
        #[arg(long, conflicts_with = "device")]
        group: Option<GroupName>,
        /// By this policy instead of the one in force.
        #[arg(long, conflicts_with = "device", value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Put past requests before a new policy: which would change? Exit status 5 where any would.
    Replay {
        /// The time since, such as 7d or 12h ago.
        #[arg(long, default_value = "7d", value_parser = values::duration)]
        since: Duration,
        /// The new policy.
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// The group it is for. The policy of the group default is the base of all others, so that one is put
        /// before the requests of every group.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// Show the policy of a group with every value.
    Show {
        /// The group.
        #[arg(long, default_value = "default")]
        group: GroupName,
        /// The candidate instead of the policy in force.
        #[arg(long)]
        candidate: bool,
    },
    /// What the running server judges by, what the files say, and what candidates would have done.
    Status,
    /// Put a group's candidate in the place of its policy; the old one is kept as FILE.previous.
    Promote {
        /// The group.
        #[arg(long, default_value = "default")]
        group: GroupName,
    },
}
