//! What can be written behind `maker`, `attestation-key` and `reference`: endorsements and reference values.

use std::path::PathBuf;

use clap::Subcommand;
use shared::DeviceId;

use super::values::{self, Sha256Arg};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Maker {
    /// Trust a maker's CA: devices with an IDevID from it can be appraised.
    Add {
        /// The CA's certificate, PEM or DER.
        file: PathBuf,
        /// What policies call it; by default the common name of its subject.
        #[arg(long)]
        name: Option<String>,
    },
    /// Register the public key that a maker signs releases with, for `reference import`.
    #[command(after_help = RELEASE_KEY_HELP)]
    ReleaseKey {
        /// The maker's name, as in `maker list`.
        maker: String,
        /// The public key in PEM: EC on P-256 or P-384.
        file: PathBuf,
    },
    /// List the keys that makers sign releases with.
    ReleaseKeys,
    /// Remove a release key: nothing it signs is taken any more; what it signed before stays in force.
    RemoveReleaseKey {
        /// SHA-256 of the key, as in `maker release-keys`.
        #[arg(value_parser = values::sha256)]
        sha256: Sha256Arg,
    },
    /// List the makers.
    List,
    /// Take in a revocation list of a maker: devices whose certificates it lists are refused, as the policy says
    /// (evidence.crl). Its signature is checked, and its number must not go back. A running server goes by it at
    /// once.
    Crl {
        /// The maker: its name, or the SHA-256 of its CA.
        maker: String,
        /// The list, PEM or DER.
        file: PathBuf,
        /// Certificates of CAs below the maker's, where one of those issued the list; may be repeated.
        #[arg(long = "ca", value_name = "FILE")]
        chain: Vec<PathBuf>,
    },
    /// List the makers' revocation lists, and which of them are overdue.
    Crls,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AttestationKey {
    /// Register the attestation key of one device, as its maker gives it.
    Add {
        /// Instance identifier of its PSA tokens, in hexadecimal: 32 bytes, or 33 with the type byte 01 in front.
        #[arg(long, value_name = "HEX", value_parser = crate::attestation_keys::instance)]
        instance_id: appraisal::psa::InstanceId,
        /// The device it is in.
        #[arg(long)]
        device: DeviceId,
        /// The public key, PEM or DER: an EC key on P-256, P-384 or P-521.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name or fingerprint of the maker who vouches for it; one of `enroll-server maker list`.
        #[arg(long)]
        maker: Option<String>,
        /// The device's model.
        #[arg(long)]
        model: Option<String>,
    },
    /// Register many: CSV with the header `instance_id,device,key,maker,model`, or JSON lines with these fields. The
    /// key is a SubjectPublicKeyInfo in DER, in hexadecimal. What is known already is not overwritten.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// List the attestation keys.
    List,
    /// Remove an attestation key: its device cannot attest with it any more.
    Remove {
        /// Its instance identifier, in hexadecimal.
        #[arg(value_name = "INSTANCE", value_parser = crate::attestation_keys::instance)]
        instance_id: appraisal::psa::InstanceId,
    },
}

const RELEASE_KEY_HELP: &str = "\
The maker makes the key once and keeps it where releases are built:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out release-key.pem
  openssl pkey -in release-key.pem -pubout -out release-key.pub.pem
and hands over release-key.pub.pem, in a way that you trust.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Reference {
    /// Import reference values from a CoRIM (draft-ietf-rats-corim) or a release list (CSV or JSON). All of the
    /// file or nothing; a running server judges by it at once.
    Import(ReferenceFile),
    /// List the sets of reference values in force.
    List {
        /// Also those that were superseded or withdrawn.
        #[arg(long)]
        all: bool,
    },
    /// Show a set with its values: the version in force, else the newest.
    Show {
        /// Its name.
        set: String,
        /// Its maker, where several have a set of this name.
        #[arg(long)]
        maker: Option<String>,
        /// How many values.
        #[arg(long, default_value_t = 1000)]
        count: u32,
    },
    /// Withdraw a set: devices with its firmware are refused from now on, unless another set knows it.
    Withdraw {
        /// Its name.
        set: String,
        /// Its maker, where several have a set of this name.
        #[arg(long)]
        maker: Option<String>,
        /// Why; stands in the audit trail.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Find the sets that know a digest, in force or not.
    Find {
        /// The digest in hexadecimal, as a refusal shows it.
        #[arg(long)]
        digest: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = IMPORT_HELP)]
pub(in crate::cli) struct ReferenceFile {
    /// The file; what it is shows from its first bytes.
    pub(in crate::cli) file: PathBuf,
    /// The maker whose devices the values are for. By default its signer says, or the file.
    #[arg(long)]
    pub(in crate::cli) maker: Option<String>,
    /// Detached signature of the file: ECDSA in DER or Base64.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) signature: Option<PathBuf>,
    /// Take a file that nobody signed. Only for files that reached you in a way you trust.
    #[arg(long, conflicts_with = "signature")]
    pub(in crate::cli) unsigned: bool,
    /// Name of a release list that says none; by default the name of the file without its extension.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) set: Option<String>,
    /// Number of a release list that says none; by default one more than the newest.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()))]
    pub(in crate::cli) release: Option<u64>,
    /// Let an older version take the place of a newer one, and a withdrawn one come back.
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Check everything and say what would change; change nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

const IMPORT_HELP: &str = "\
A release list in CSV has a header and a line a component; model and version may be empty:
  # name: sensor-a
  # release: 7
  model,component,version,digest
  sensor-a,application,1.3.0,2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
and is signed by the maker with the key of `maker release-key`:
  openssl dgst -sha256 -sign release-key.pem -out list.csv.sig list.csv
  enroll-server reference import list.csv --signature list.csv.sig
A signed CoRIM carries its signature; its signer is a release key, or a certificate from the maker's CA with
the extended key usage codeSigning. A newer version of a set takes the place of the older one.";
