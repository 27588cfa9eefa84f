//! `ca`: the certificate authority's keys and certificates.

use std::path::PathBuf;

use clap::Subcommand;

/// What can be done with the CA.
#[derive(Debug, Subcommand)]
pub(in super::super) enum Ca {
    /// Have a TPM 2.0 make an issuing CA's key. It never leaves the TPM; what is written is of use to that TPM only.
    TpmCreate(TpmCreate),
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
