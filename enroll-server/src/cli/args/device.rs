//! What can be written behind `device`.

use core::time::Duration;
use std::path::PathBuf;

use appraisal::GroupName;
use ca::Serial;
use ca::crl::Reason;
use clap::{Args, Subcommand, ValueEnum};
use shared::{DeviceId, UnixTime};

use super::values;
use crate::store::{Action, DenialError, DeviceFilter, DeviceState, Find, Page, Rate, Selection, Tag};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Device {
    /// Import a maker's inventory: CSV with a header, or one JSON object a line. What is known already is not
    /// overwritten.
    ///
    /// Columns, in any order: device; model; idevid_sha256, ek_sha256, dice_sha256, instance_id or ueid (the
    /// device's identity, in hexadecimal digits); group; tags (with spaces between). All but device may be missing
    /// or empty. A file with bad rows is not imported, unless with --skip-bad. Rows that contradict what is known
    /// are named and change nothing.
    Import {
        /// The file.
        file: PathBuf,
        /// Check all of it, say what each row would do, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Import the good rows of a file that has bad ones.
        #[arg(long)]
        skip_bad: bool,
        /// Go on where an interrupted import of this very file stopped.
        #[arg(long, conflicts_with = "dry_run")]
        resume: bool,
        /// Write every bad row with its line, column and reason: CSV, or JSON lines where the name ends in .json or
        /// .jsonl.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Write devices out, in the form that `import` reads.
    Export {
        /// Form.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
        /// File to write; must not be there. By default standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        filter: Filter,
    },
    /// List devices, page by page.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Begin behind this device: the last of the page before.
        #[arg(long, value_name = "DEVICE")]
        after: Option<DeviceId>,
        /// Most devices.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one device with its certificates.
    Show {
        /// The device.
        device: DeviceId,
    },
    /// List the requests that wait for approval: what they show, and since when they wait.
    Queue {
        /// Only those of this group.
        #[arg(long)]
        group: Option<GroupName>,
        /// Only those with this tag.
        #[arg(long, conflicts_with = "group")]
        tag: Option<Tag>,
        /// Begin behind this device: the last of the page before.
        #[arg(long, value_name = "DEVICE")]
        after: Option<DeviceId>,
        /// Most requests.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Approve the held request of a device and no other; where none is held, its next enrollment. Of a group or
    /// tag: every request that is held.
    Approve(Request),
    /// Deny the held request of a device: it is refused for good, until it is approved.
    Deny {
        #[command(flatten)]
        request: Request,
        /// Why, for the audit trail.
        #[arg(long, value_parser = denial)]
        reason: String,
    },
    /// Take devices out of service for a time: they get nothing, and their certificates are on hold.
    Suspend {
        #[command(flatten)]
        which: Which,
    },
    /// End a suspension; the certificates are in force again.
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Revoke a device and all its certificates, for good: there is no way back. A running server publishes it at once.
    ///
    /// For a device that was stolen, or whose IDevID key was. Where only the key of its certificate (LDevID) was copied,
    /// `return` revokes the certificates, and the device enrolls anew.
    Revoke {
        #[command(flatten)]
        which: ForGood,
        /// Why: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
        /// privilege-withdrawn.
        #[arg(long, default_value = "unspecified", value_parser = reason)]
        reason: Reason,
    },
    /// End a device's life: its certificates are revoked, its identifier stays taken.
    Retire(ForGood),
    /// Take a device back as it left its maker: certificates, approval, group, tags and tokens end, the pinned
    /// identity stays. It has to enroll anew.
    Return(ForGood),
    /// Give a device to another owner: as `return`, and into the new owner's group.
    Transfer {
        #[command(flatten)]
        which: ForGood,
        /// The new owner's group.
        #[arg(long, value_name = "GROUP")]
        to: GroupName,
    },
    /// Have devices renew their certificates, with new keys, before it is due.
    ///
    /// What is wanted stays so until the device has a newer certificate. Devices are told through their MQTT broker,
    /// where [mqtt] in the settings says so, and with the next answer that they get from this server. Devices
    /// without a certificate in force are left out.
    Renew(Renew),
    /// List the renewals that are wanted and did not take place yet: who was told, and what stands in the way.
    Renewals {
        /// Only those of this group.
        #[arg(long)]
        group: Option<GroupName>,
        /// Only those with this tag.
        #[arg(long, conflicts_with = "group")]
        tag: Option<Tag>,
        /// Begin behind this device: the last of the page before.
        #[arg(long, value_name = "DEVICE")]
        after: Option<DeviceId>,
        /// Most devices.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Put devices into a group, which decides the policy and the broker they get.
    // Said by hand, here and below: clap names the choice before the value, which is the order in which it is not read.
    #[command(
        override_usage = "enroll-server device set-group [OPTIONS] <NEW-GROUP> <DEVICE|--group <GROUP>|--tag <TAG>>"
    )]
    SetGroup {
        /// The group.
        #[arg(value_name = "NEW-GROUP")]
        into: GroupName,
        #[command(flatten)]
        which: Which,
    },
    /// Add tags to devices, or take them away.
    #[command(subcommand)]
    Tag(TagCommand),
}

/// Whose certificates are to be renewed, and how fast.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("renewed").required(true).multiple(false))]
pub(in crate::cli) struct Renew {
    /// The device.
    #[arg(group = "renewed")]
    device: Option<DeviceId>,
    /// All of this group.
    #[arg(long, group = "renewed")]
    group: Option<GroupName>,
    /// All with this tag.
    #[arg(long = "tag", value_name = "TAG", group = "renewed")]
    tagged: Option<Tag>,
    /// All there are.
    #[arg(long, group = "renewed")]
    all: bool,
    /// How many are told in a time, such as 5/s, 300/m or 1000/h. The server's own limit holds besides ([mqtt] rate).
    #[arg(long, value_name = "N/s", default_value = "10/s")]
    pub(in crate::cli) rate: Rate,
    /// Do not ask whether all devices are meant.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    /// Want no renewal any more.
    #[arg(long, conflicts_with_all = ["rate", "wait"])]
    pub(in crate::cli) cancel: bool,
    /// Wait until all have renewed, this long at most, such as 10m; the exit status is 1 if some have not by then.
    #[arg(long, value_name = "TIME", value_parser = super::values::duration)]
    pub(in crate::cli) wait: Option<Duration>,
}

impl Renew {
    pub(in crate::cli) fn selection(&self) -> Selection {
        match self {
            Self { device: Some(device), .. } => Selection::One(device.clone()),
            Self { group: Some(group), .. } => Selection::Group(group.clone()),
            Self { tagged: Some(tag), .. } => Selection::Tag(tag.clone()),
            // clap has seen to it that one is given.
            Self { .. } => Selection::All,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TagCommand {
    /// Add tags.
    #[command(
        override_usage = "enroll-server device tag add [OPTIONS] <TAGS> <DEVICE|--group <GROUP>|--tag <TAG>>"
    )]
    Add {
        /// Tags with commas between, such as `site:berlin,env=prod`.
        tags: Tags,
        #[command(flatten)]
        which: Which,
    },
    /// Take tags away.
    #[command(
        override_usage = "enroll-server device tag remove [OPTIONS] <TAGS> <DEVICE|--group <GROUP>|--tag <TAG>>"
    )]
    Remove {
        /// Tags with commas between.
        tags: Tags,
        #[command(flatten)]
        which: Which,
    },
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Fields with commas between, the first line says which.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// One device, or many.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Which {
    /// The device.
    device: Option<DeviceId>,
    /// All of this group.
    #[arg(long)]
    group: Option<GroupName>,
    /// All with this tag.
    #[arg(long = "tag", value_name = "TAG")]
    tagged: Option<Tag>,
}

impl Which {
    pub(in crate::cli) fn selection(self) -> Option<Selection> {
        match self {
            Self { device: Some(device), .. } => Some(Selection::One(device)),
            Self { group: Some(group), .. } => Some(Selection::Group(group)),
            Self { tagged: Some(tag), .. } => Some(Selection::Tag(tag)),
            // clap has seen to it that one is given.
            Self { device: None, group: None, tagged: None } => None,
        }
    }
}

/// A request that waits, or many.
#[derive(Debug, Args)]
pub(in crate::cli) struct Request {
    #[command(flatten)]
    which: Which,
    /// The request of the device that was seen in the queue, and no other that came in its place meanwhile.
    #[arg(long, value_name = "SERIAL", requires = "device")]
    serial: Option<Serial>,
}

impl Request {
    pub(in crate::cli) fn selection(self) -> Option<Selection> {
        match (self.which.selection(), self.serial) {
            (Some(Selection::One(device)), Some(serial)) => Some(Selection::Request(device, serial)),
            (selection, _) => selection,
        }
    }
}

/// One device, or many, for what cannot be taken back.
#[derive(Debug, Args)]
pub(in crate::cli) struct ForGood {
    #[command(flatten)]
    which: Which,
    /// Do not ask whether all devices of the group or the tag are meant.
    #[arg(long)]
    yes: bool,
}

impl ForGood {
    /// The devices, and whether nobody is to be asked about them.
    pub(in crate::cli) fn selection(self) -> (Option<Selection>, bool) {
        (self.which.selection(), self.yes)
    }
}

/// Which devices are looked for; the conditions add up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Filter {
    /// In this state: registered, held, enrolled, suspended, revoked or retired.
    #[arg(long, value_parser = device_state)]
    state: Option<DeviceState>,
    /// In this group.
    #[arg(long)]
    group: Option<GroupName>,
    /// Of this model.
    #[arg(long)]
    model: Option<String>,
    /// With this tag; may be repeated.
    #[arg(long)]
    tag: Vec<Tag>,
    /// With an identifier that begins so.
    #[arg(long)]
    prefix: Option<String>,
    /// With this text in its identifier, model, group or a tag; or with an identity, a certificate's serial number
    /// or its key's hash that begins with these hexadecimal digits, four at least.
    #[arg(long, value_name = "TEXT")]
    find: Option<Find>,
    /// With certificates that all end before this time, such as 2026-12-24T00:00:00Z: those that run out unless they renew,
    /// and those that have.
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    expires_before: Option<UnixTime>,
}

impl Filter {
    pub(in crate::cli) fn read(self) -> DeviceFilter {
        let Self { state, group, model, tag, prefix, find, expires_before } = self;
        DeviceFilter { state, group, model, tags: tag, prefix, find, expires_before }
    }
}

/// A page of `limit` behind `after`.
pub(in crate::cli) const fn page(after: Option<DeviceId>, limit: u32) -> Page {
    Page { after, limit }
}

/// Tags with commas between.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Tags(pub(in crate::cli) Vec<Tag>);

impl core::str::FromStr for Tags {
    type Err = crate::store::TagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

fn denial(text: &str) -> Result<String, DenialError> {
    Action::deny(text).map(|_action| text.to_owned())
}

fn device_state(text: &str) -> Result<DeviceState, String> {
    let names = || DeviceState::ALL.map(DeviceState::name).join(", ");
    DeviceState::from_name(text).ok_or_else(|| format!("expected one of {}", names()))
}

pub(super) fn reason(text: &str) -> Result<Reason, String> {
    let names = || {
        let names = Reason::ALL.into_iter().filter(|reason| reason.is_final()).map(Reason::name);
        names.collect::<Vec<_>>().join(", ")
    };
    let found = Reason::from_name(text).filter(|reason| reason.is_final());
    found.ok_or_else(|| format!("expected one of {}", names()))
}
