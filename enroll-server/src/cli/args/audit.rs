//! What can be written behind `audit`.

use std::path::PathBuf;

use ca::Serial;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Audit {
    /// Verify the log from its first leaf to its last, and compare it with the database, both ways.
    ///
    /// Names every certificate, revocation and event that is missing, extra or different, and every tile that is not
    /// what the leaves make it. Exit status 0: nothing is wrong; 6: something is, and is named.
    Verify {
        #[command(flatten)]
        log: WhichLog,
        /// An earlier checkpoint of this log, kept by you: prove that the log extends it.
        #[arg(long, value_name = "CHECKPOINT-FILE")]
        from: Option<PathBuf>,
        /// Verify the log alone; needs no database.
        #[arg(long)]
        log_only: bool,
    },
    /// Write the log and the audit trail for auditors: one JSON object a line, each leaf with its inclusion proof.
    Export {
        #[command(flatten)]
        log: WhichLog,
        /// Leave the proofs out: an auditor can make them from the leaves.
        #[arg(long)]
        no_proofs: bool,
        /// File to write; must not be there. By default standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prove that one certificate is in the log: prints a proof in the format c2sp.org/tlog-proof@v1.
    Inclusion {
        /// Its serial number, 32 hexadecimal digits.
        serial: Serial,
        #[command(flatten)]
        log: WhichLog,
    },
    /// Decide to go on with a database that is older than what was published, such as one from a backup.
    ///
    /// A server that finds one brings in what its log and its revocation list know, and signs nothing until you decide.
    /// Without --yes this says what was found. Exit status 0: it is signed (again); 6: nothing is signed.
    Accept {
        /// Go on: what was lost is lost.
        #[arg(long)]
        yes: bool,
    },
    /// List what `audit verify` can find.
    Findings,
}

/// Where the log is read, and under which key.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WhichLog {
    /// Read the log at this address, such as https://enroll.example:8443/log, instead of from its files.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) url: Option<String>,
    /// CA certificates in PEM that are believed for --url. By default the root CA of this server.
    #[arg(long, requires = "url", value_name = "FILE")]
    pub(in crate::cli) ca_file: Option<PathBuf>,
    /// The log's public key: a file such as log.vkey. By default the one beside the log's key.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) vkey: Option<PathBuf>,
}
