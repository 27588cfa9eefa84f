//! What can be written behind `key`, `batch` and `token`: what devices show that have no identity of their own yet.

use std::path::PathBuf;

use appraisal::GroupName;
use clap::Subcommand;
use shared::DeviceId;

use super::values::Part;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Key {
    /// Make a key; it is shown once, or written to a file that only you can read.
    ///
    /// A policy has to accept the kind "symmetric-key". Whoever has a group's key can be any device of the group:
    /// keep it at the factory, and give each device what `key derive` makes of it.
    #[command(group = clap::ArgGroup::new("for").required(true).args(["device", "group"]))]
    Create {
        /// The one device it is for. It overrides the key of the device's group, for good.
        #[arg(long, value_name = "ID")]
        device: Option<DeviceId>,
        /// The group it is for; its devices are put into the device group of the same name.
        #[arg(long, value_name = "NAME")]
        group: Option<GroupName>,
        /// Put its devices into this device group instead.
        #[arg(long, value_name = "GROUP")]
        enroll_group: Option<GroupName>,
        /// Days until it ends; by default it has no end.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
        /// How many devices it may bring in; by default any number.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        quota: Option<u32>,
        /// Write the key to this new file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Derive a device's key from its group's: HMAC-SHA256 over the device identifier. For the factory; needs no
    /// server.
    Derive {
        /// The group's key, as `key create --group` wrote it; only you may have access to the file.
        #[arg(long, value_name = "FILE")]
        group_key: PathBuf,
        /// The device.
        #[arg(long, value_name = "ID")]
        device: DeviceId,
        /// Write the key to this new file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the keys without their secrets, the newest first, page by page.
    List(Part),
    /// Revoke a key: no device enrolls by it any more. To shut out one device of a group, make a key for that device
    /// and revoke it.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Batch {
    /// Add a batch. Its certificate shows which batch a device is of, not which device it is: so each enrollment by
    /// it waits for an operator (--hold), or their number has an end (--quota), or both.
    ///
    /// A policy has to accept the kind "claim-certificate". Such an enrollment never leads to a device that is there
    /// already.
    #[command(group = clap::ArgGroup::new("bound").required(true).multiple(true).args(["hold", "quota"]))]
    Add {
        /// The certificate of the CA that issued the batch's claim certificates, or the claim certificate itself; PEM
        /// or DER.
        file: PathBuf,
        /// The device group that its devices are put into.
        #[arg(long, value_name = "NAME")]
        group: GroupName,
        /// Let every enrollment wait for an operator's approval.
        #[arg(long)]
        hold: bool,
        /// How many devices it may bring in.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        quota: Option<u32>,
        /// Days until it ends; by default it has no end.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
    },
    /// List the batches, the newest first, page by page.
    List(Part),
    /// Revoke a batch: no device enrolls by its certificate any more, and it cannot be added again.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Token {
    /// Make a token, or many; their texts are shown once and kept nowhere.
    Create(CreateToken),
    /// List the tokens without their texts, the newest first, page by page.
    List(Part),
    /// Revoke a token.
    Revoke {
        /// Its name in the list.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateToken {
    /// The one device it is for; by default any device.
    #[arg(long)]
    pub(in crate::cli) device: Option<DeviceId>,
    /// Limit it to this group: the device is put into it, and one of another group cannot use it.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) group: Option<GroupName>,
    /// Hours until it expires.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub(in crate::cli) hours: u32,
    /// Make so many, as a table, or as CSV or JSON.
    #[arg(long, value_name = "N", conflicts_with = "device",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) count: Option<u32>,
    /// The form that people can type: 16 letters and digits, one of which finds typing errors; 75 random bits in
    /// place of 128.
    #[arg(long)]
    pub(in crate::cli) short: bool,
    /// Print CSV: token,text,group,expires.
    #[arg(long, conflicts_with_all = ["json", "print"])]
    pub(in crate::cli) csv: bool,
    /// Print labels to cut out, each with a QR code that holds the token's text.
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) print: bool,
    /// Write the QR code to this new file, mode 0600, as SVG.
    #[arg(long, value_name = "FILE.svg", conflicts_with = "count")]
    pub(in crate::cli) qr: Option<PathBuf>,
}
