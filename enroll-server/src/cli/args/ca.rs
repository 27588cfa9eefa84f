//! `ca`: the certificate authority's keys and certificates.

use std::path::PathBuf;

use ca::crl::Reason;
use clap::Subcommand;

use super::device::reason;
use super::{CaStatus, Rollover, TrustBundle};

/// What can be done with the CA.
#[derive(Debug, Subcommand)]
pub(in super::super) enum Ca {
    /// Have a TPM 2.0 make an issuing CA's key. It never leaves the TPM; what is written is of use to that TPM only.
    TpmCreate(TpmCreate),
    /// On the machine of the root, which has no network: make a root CA, apart from any server.
    RootCeremony(RootCeremony),
    /// On the server: make the issuing CA's key where the settings say, and the request for its certificate.
    Csr(Csr),
    /// On the machine of the root: sign the request of an issuing CA. Only its key is taken from it.
    Sign(Sign),
    /// On the server: check the issuing CA's certificate and put it into place.
    Import(Import),
    /// On the machine of the root: make its next revocation list, of all that was on the last one and what is named.
    RootCrl(RootCrl),
    /// Show the issuing CAs, the rollover under way, and which devices have not moved.
    Status(CaStatus),
    /// Replace the CA while devices go on: start, switch, retire; or abort.
    #[command(subcommand)]
    Rollover(Rollover),
    /// Sign the next trust bundle where its key is kept, without a server.
    TrustBundle(TrustBundle),
    /// Publish trust bundles that were signed elsewhere and have the same roots: how their signer is changed.
    PublishBundle {
        /// The bundles, in their order.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// `ca tpm-create`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct TpmCreate {
    /// The TPM's device.
    #[arg(long, default_value = "/dev/tpmrm0", value_name = "DEVICE")]
    pub(in super::super) device: PathBuf,
    /// File of mode 0600 with an authorization value, 16 to 32 characters, that the key is then used with. One is made
    /// by: (umask 077; openssl rand -hex 16 >FILE).
    #[arg(long, value_name = "FILE")]
    pub(in super::super) auth_file: Option<PathBuf>,
    /// File to write; must not be there.
    #[arg(long, default_value = "issuing-ca.tpm", value_name = "FILE")]
    pub(in super::super) out: PathBuf,
}

/// `ca root-ceremony`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct RootCeremony {
    /// Folder to make; must be empty or not there.
    #[arg(long, value_name = "FOLDER")]
    pub(in super::super) dir: PathBuf,
    /// Your organisation, letters and digits only; stands in every certificate.
    #[arg(long, visible_alias = "name", value_name = "NAME")]
    pub(in super::super) tenant: String,
    /// How many years the root lives.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=20), value_name = "YEARS")]
    pub(in super::super) years: u8,
    /// File with the passphrase of the root's key, mode 0600. Else it is in the environment variable
    /// ENROLL_SERVER_PASSPHRASE, else it is asked for, twice.
    #[arg(long, value_name = "FILE")]
    pub(in super::super) passphrase_file: Option<PathBuf>,
    /// Leave the root's key in the clear, for media that are encrypted themselves.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(in super::super) unencrypted: bool,
}

/// `ca csr`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Csr {
    /// File for the request; must not be there.
    #[arg(long, default_value = "issuing-ca.csr", value_name = "FILE")]
    pub(in super::super) out: PathBuf,
    /// Public half of a key behind a command, PEM.
    #[arg(long, value_name = "FILE")]
    pub(in super::super) public_key: Option<PathBuf>,
    /// Encrypt a key that is made in a file, also where `passphrase_file` is not set. The passphrase comes from the
    /// environment variable ENROLL_SERVER_PASSPHRASE, else it is asked for.
    #[arg(long)]
    pub(in super::super) encrypt_key: bool,
}

/// `ca sign`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Sign {
    /// The request, as `ca csr` or openssl wrote it.
    #[arg(value_name = "REQUEST")]
    pub(in super::super) request: PathBuf,
    /// The root's folder, as `ca root-ceremony` made it.
    #[arg(long, value_name = "FOLDER")]
    pub(in super::super) root: PathBuf,
    /// File for the certificate; must not be there.
    #[arg(long, default_value = "issuing-ca.crt", value_name = "FILE")]
    pub(in super::super) out: PathBuf,
    /// How many days the issuing CA lives; never longer than the root.
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..=3650), value_name = "DAYS")]
    pub(in super::super) days: u16,
    /// File with the passphrase of the root's key.
    #[arg(long, value_name = "FILE")]
    pub(in super::super) passphrase_file: Option<PathBuf>,
}

/// `ca import`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Import {
    /// The certificate that the root signed.
    #[arg(value_name = "CERTIFICATE")]
    pub(in super::super) certificate: PathBuf,
    /// The root's revocation list, to be published from now on.
    #[arg(long, value_name = "FILE")]
    pub(in super::super) root_crl: Option<PathBuf>,
    /// Name or address under which devices reach this server, for its certificate where it has none yet; may be
    /// repeated. By default this machine's own.
    #[arg(long = "host", value_name = "HOST")]
    pub(in super::super) hosts: Vec<String>,
}

/// `ca root-crl`.
#[derive(Debug, clap::Args)]
pub(in super::super) struct RootCrl {
    /// The root's folder, as `ca root-ceremony` made it.
    #[arg(long, value_name = "FOLDER")]
    pub(in super::super) root: PathBuf,
    /// Make the first list of a root that never had one: nothing was revoked before.
    #[arg(long)]
    pub(in super::super) first: bool,
    /// Certificate of an issuing CA to revoke; may be repeated.
    #[arg(long, value_name = "CERTIFICATE")]
    pub(in super::super) revoke: Vec<PathBuf>,
    /// Why.
    #[arg(long, default_value = "unspecified", value_parser = reason, requires = "revoke", value_name = "REASON")]
    pub(in super::super) reason: Reason,
    /// How many days the list is good.
    #[arg(long, default_value_t = 396, value_parser = clap::value_parser!(u16).range(1..=1100), value_name = "DAYS")]
    pub(in super::super) days: u16,
    /// File with the passphrase of the root's key.
    #[arg(long, value_name = "FILE")]
    pub(in super::super) passphrase_file: Option<PathBuf>,
}
