//! Why a command failed, and the exit status that says so.

use std::io;
use std::path::PathBuf;

use ca::KeyError;

use crate::admin::AdminError;
use crate::ceremony::CeremonyError;
use crate::config::ConfigError;
use crate::credential::WrappingKeyError;
use crate::files::SecretError;
use crate::inventory::ImportError;
use crate::issuance::Denied;
use crate::outgoing::{SendError, TargetError};
use crate::peers::FactsError;
use crate::policies::PolicyFilesError;
use crate::startup::{InitError, LoadError, StartError};
use crate::store::{BackupError, StoreError, TransferError};
use crate::telemetry::TracesError;
use crate::transparency_log::audit::{AuditError, ExportError, InclusionError};
use crate::webhook::{WebhookError, WebhookSecretError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("the token does not fit a QR code")]
    Qr(#[source] qrcode::types::QrError),
    #[error(transparent)]
    Wrapping(#[from] WrappingKeyError),
    #[error("{}: is no {what} as `enroll-server key create` writes it", path.display())]
    NotAKey { path: PathBuf, what: &'static str },
    #[error("{}: cannot be written", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("nobody has the tokens that were made, and they are revoked again")]
    Withdrawn(#[source] Box<Self>),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("the database is PostgreSQL's (store.postgres): back it up by pg_dump or pg_basebackup")]
    NotSqlite,
    #[error("store.postgres: missing; the settings have to name the database to move to")]
    NoTarget,
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error(transparent)]
    WebhookSecret(#[from] WebhookSecretError),
    #[error("webhook {name}: there was no answer")]
    NoAnswer { name: String, source: SendError },
    #[error("webhook {name}: the receiver did not take the event: status {status}")]
    NotTaken { name: String, status: u16 },
    #[error("{}: cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: this is no public key on P-256, P-384 or P-521, in PEM (PUBLIC KEY) or DER", path.display())]
    NotAPublicKey { path: PathBuf },
    #[error("the asynchronous runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error("no signals can be received")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Traces(#[from] TracesError),
    #[error(transparent)]
    Policy(#[from] PolicyFilesError),
    #[error("the request cannot be explained")]
    Explain(#[from] Denied),
    #[error("{}: holds no public key of a log", path.display())]
    LogKey { path: PathBuf, source: transparency::KeyError },
    #[error("{address}: is no address of a log")]
    Address { address: String, source: TargetError },
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    #[error("the dashboard is off: set dashboard.listen in the settings, and start the server again")]
    DashboardIsOff,
    #[error(transparent)]
    Random(#[from] crate::dashboard::NoRandom),
    #[error("there is no {what}")]
    Nothing { what: String },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("no rollover was begun")]
    RolloverStart(#[from] crate::rollover::StartError),
    #[error("the order was not carried out")]
    RolloverOrder(#[from] crate::rollover::OrderError),
    #[error("no trust bundle was signed")]
    TrustSigner(#[from] crate::rollover::SignerError),
    #[error("no trust bundle was signed")]
    TrustBundle(#[from] ca::bundle::BundleError),
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error(transparent)]
    Peer(#[from] crate::peers::PeerError),
    #[error(transparent)]
    Write(#[from] crate::peers::WriteError),
    #[error("{what}, and nobody confirmed it: nothing was changed; say --yes to do it without being asked")]
    Unconfirmed { what: &'static str },
    #[error("{done} devices were done, the others are as they were; say it again to go on")]
    HalfWay {
        done: u64,
        #[source]
        error: Box<AdminError>,
    },
    #[error("the result says it")]
    Told(u8),
}

impl Failure {
    /// The exit status, as the help tells it.
    pub(super) fn code(&self) -> u8 {
        match self {
            // Not a mistake: the service is started again after it.
            Self::Config(error) | Self::Start(StartError::Config(error)) if may_pass(error) => 1,
            Self::Config(_)
            | Self::Start(
                StartError::Config(_) | StartError::Load(LoadError::Policy(PolicyFilesError::Mistakes(_))),
            ) => 3,
            Self::Policy(PolicyFilesError::Mistakes(_))
            | Self::Facts(FactsError::Policies(PolicyFilesError::Mistakes(_))) => 3,
            Self::Admin(AdminError::NotFound { .. }) | Self::Nothing { .. } => 4,
            Self::Inclusion(InclusionError::Unknown { .. }) => 4,
            // As clap's own for wrong arguments.
            Self::Unconfirmed { .. } => 2,
            Self::Told(code) => *code,
            Self::Init(_)
            | Self::Start(_)
            | Self::Admin(_)
            | Self::HalfWay { .. }
            | Self::Qr(_)
            | Self::Wrapping(_)
            | Self::NotAKey { .. }
            | Self::Unwritable { .. }
            | Self::Withdrawn(_)
            | Self::Secret(_)
            | Self::Key(_)
            | Self::Ceremony(_)
            | Self::Store(_)
            | Self::Import(_)
            | Self::Transfer(_)
            | Self::NoTarget
            | Self::Backup(_)
            | Self::NotSqlite
            | Self::Webhook(_)
            | Self::WebhookSecret(_)
            | Self::NoAnswer { .. }
            | Self::NotTaken { .. }
            | Self::Unreadable { .. }
            | Self::NotAPublicKey { .. }
            | Self::Policy(PolicyFilesError::Unreadable { .. })
            | Self::Explain(_)
            | Self::LogKey { .. }
            | Self::Address { .. }
            | Self::Audit(_)
            | Self::Export(_)
            | Self::Inclusion(_)
            | Self::Load(_)
            | Self::RolloverStart(_)
            | Self::RolloverOrder(_)
            | Self::TrustSigner(_)
            | Self::TrustBundle(_)
            | Self::Facts(_)
            | Self::Peer(_)
            | Self::Write(_)
            | Self::DashboardIsOff
            | Self::Random(_)
            | Self::Runtime(_)
            | Self::Traces(_)
            | Self::Signals(_) => 1,
        }
    }
}

/// Whether the settings could not be read by no fault of theirs, as where the disk fails or there are too many open files.
fn may_pass(error: &ConfigError) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match error {
        ConfigError::Unreadable { source, .. } => {
            !matches!(source.kind(), NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidData)
        }
        ConfigError::Mistakes { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::config::ConfigError;
    use crate::startup::StartError;
    use std::io;

    /// The service is not started again after 3.
    #[test]
    fn settings_that_could_not_be_read_once_are_no_mistake() {
        let code = |source: io::Error| {
            let unread = |source| ConfigError::Unreadable { path: "enroll-server.toml".into(), source };
            let again = io::Error::from(source.kind());
            let codes = (
                Failure::Config(unread(source)).code(),
                Failure::Start(StartError::Config(unread(again))).code(),
            );
            assert_eq!(codes.0, codes.1);
            codes.0
        };
        // EIO, EMFILE, ENOMEM
        for errno in [5, 24, 12] {
            assert_eq!(code(io::Error::from_raw_os_error(errno)), 1, "{errno}");
        }
        // ENOENT, EACCES, EISDIR
        for errno in [2, 13, 21] {
            assert_eq!(code(io::Error::from_raw_os_error(errno)), 3, "{errno}");
        }
        assert_eq!(code(io::ErrorKind::InvalidData.into()), 3, "no text");
        assert_eq!(Failure::Config(ConfigError::Mistakes { path: "x".into(), mistakes: vec![] }).code(), 3);
    }
}
