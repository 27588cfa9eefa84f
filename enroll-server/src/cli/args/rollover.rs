//! What can be written behind `ca status`, `ca rollover`, `ca trust-bundle` and `ca publish-bundle`.

use core::time::Duration;
use std::path::PathBuf;

use clap::Subcommand;
use shared::DeviceId;

use super::values;

/// The page of devices that have not moved.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CaStatus {
    /// Begin behind this device: the last of the page before.
    #[arg(long, value_name = "DEVICE")]
    pub(in crate::cli) after: Option<DeviceId>,
    /// How many of the devices that have not moved are listed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub(in crate::cli) limit: u32,
}

/// `ca rollover`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Rollover {
    /// Make a new CA known, or make one: devices are given the trust bundle with both roots, the old CA still signs.
    Start(Box<Start>),
    /// Have the new CA sign. Refused while living devices have not confirmed the trust bundle with the new root.
    Switch {
        /// Switch although devices have not confirmed it: those that trust only the old root then go by the
        /// cross-certificate.
        #[arg(long)]
        force: bool,
    },
    /// Give the old CA up: its root leaves the trust bundle, its certificates are refused. Refused while living devices
    /// need it.
    Retire {
        /// Retire it although devices need it: those come back by their evidence, or not at all.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        signer: Signer,
    },
    /// Give the new CA up, before it has signed anything.
    Abort {
        #[command(flatten)]
        signer: Signer,
    },
}

/// Who signs the next trust bundle.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Signer {
    /// The key that signs trust bundles; by default trust-signer.key beside the trust bundle.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) trust_signer: Option<PathBuf>,
    /// The next trust bundle, where it was signed elsewhere: `ca trust-bundle`.
    #[arg(long, conflicts_with = "trust_signer", value_name = "FILE")]
    pub(in crate::cli) bundle: Option<PathBuf>,
    /// File with the passphrase of the keys that are encrypted, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

/// `ca rollover start`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Start {
    /// Keep the root, and make only a new issuing CA.
    #[arg(long, conflicts_with_all = ["root", "no_cross"])]
    pub(in crate::cli) same_root: bool,
    /// The key of the root in force; by default root-ca.key beside its certificate.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) root_key: Option<PathBuf>,
    /// Encrypt the new keys with the passphrase.
    #[arg(long)]
    pub(in crate::cli) encrypt_keys: bool,
    /// How long the new issuing CA lives, such as 3650d.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(in crate::cli) lifetime: Option<Duration>,
    /// The new issuing CA's certificate, where it was made elsewhere; none is made then.
    #[arg(long, conflicts_with_all = ["root_key", "encrypt_keys", "lifetime"], value_name = "FILE")]
    pub(in crate::cli) issuing_certificate: Option<PathBuf>,
    /// Its key, where that is in a file.
    #[arg(long, requires = "issuing_certificate", value_name = "FILE")]
    pub(in crate::cli) issuing_key: Option<PathBuf>,
    /// A file with what would stand in [issuing_key], where its key is in a token, in a TPM or behind a command.
    #[arg(long, requires = "issuing_certificate", conflicts_with = "issuing_key", value_name = "FILE")]
    pub(in crate::cli) issuing_key_settings: Option<PathBuf>,
    /// The new root's certificate, where it was made elsewhere.
    #[arg(long, requires = "issuing_certificate", value_name = "FILE")]
    pub(in crate::cli) root: Option<PathBuf>,
    /// The new root's revocation list, where it was made elsewhere: `ca root-crl`. It is published from then on.
    #[arg(long, requires = "root", value_name = "FILE")]
    pub(in crate::cli) root_crl: Option<PathBuf>,
    /// A certificate by the root in force for the new root or the new issuing CA, where it was made elsewhere.
    #[arg(long, requires = "issuing_certificate", value_name = "FILE")]
    pub(in crate::cli) cross: Vec<PathBuf>,
    /// Go without a certificate by the root in force for the new one, as where that root's key is lost: devices that
    /// miss the rollover are lost.
    #[arg(long, conflicts_with = "cross")]
    pub(in crate::cli) no_cross: bool,
    #[command(flatten)]
    pub(in crate::cli) signer: Signer,
}

/// `ca trust-bundle`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrustBundle {
    /// The bundle in force, which the new one follows.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) after: PathBuf,
    /// The key that it names as the signer of the next one.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) signer: PathBuf,
    /// The roots in the new one; may be repeated, up to four times.
    #[arg(long = "root", required = true, value_name = "FILE")]
    pub(in crate::cli) roots: Vec<PathBuf>,
    /// Hand over to this key: it signs the bundle after the new one. Sign that one with it at once, too.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) next_signer: Option<PathBuf>,
    /// File with the passphrase of the keys that are encrypted, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
    /// File to write; must not be there.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
}
