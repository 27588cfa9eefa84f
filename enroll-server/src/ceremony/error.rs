//! What can go wrong in a ceremony.

use std::io;
use std::path::PathBuf;

use appraisal::csr::CsrError;
use ca::crl::CrlError;
use ca::hierarchy::HierarchyError;
use ca::{CaCertificateError, IssueError, KeyError, RootListError, VouchedError};

use crate::new_folder::FolderError;

/// Why a step of a ceremony was not done. Nothing was changed then, and nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is there that would have to be overwritten.
    #[error("{}: is there already; nothing was overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not what was expected.
    #[error("{}: holds no {what} in PEM or DER", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// Not the certificate of a CA.
    #[error("{}: holds no CA certificate", path.display())]
    NotACa {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        source: CaCertificateError,
    },
    /// Not the certificate of a root.
    #[error("{}: is not the certificate of a root: {what}", path.display())]
    NotARoot {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// The organisation's name cannot stand in certificates.
    #[error("--tenant: expected 1 to 64 letters and digits, found {found:?}")]
    Tenant {
        /// What was given.
        found: String,
    },
    /// A name of the server is none.
    #[error("--host: expected a DNS name or an IP address, found {found:?}")]
    Host {
        /// What was given.
        found: String,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key behind a command does not say its public half.
    #[error("the key is behind a command, which does not tell its public half: give it by --public-key")]
    NoPublicKey,
    /// A public key that is none.
    #[error("{}: holds no public key on P-256 in PEM", path.display())]
    NotAPublicKey {
        /// The file.
        path: PathBuf,
    },
    /// The CA's certificate cannot be made.
    #[error("the certificate cannot be made")]
    Hierarchy(#[from] HierarchyError),
    /// Key and certificate of the root do not fit, or it does not sign.
    #[error("the CA cannot be used")]
    Issue(#[from] IssueError),
    /// A list cannot be made.
    #[error("the revocation list cannot be made")]
    Crl(#[from] CrlError),
    /// The list that was is not that of the root.
    #[error("{}: cannot be used", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootListError,
    },
    /// The list that was is not there.
    #[error(
        "{}: is missing; without it nobody knows what the root has revoked. Fetch it from the server, which serves it \
         at /crl/root.crl; where the root never had a list, make its first by `ca root-crl --first`", path.display()
    )]
    ListMissing {
        /// The file.
        path: PathBuf,
    },
    /// The list on the server is newer.
    #[error("{}: has number {found}; number {held} is held already", path.display())]
    OldList {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u64,
        /// The number that is held.
        held: u64,
    },
    /// Not a request.
    #[error("{}: is no request that can be signed", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CsrError,
    },
    /// The request is for another organisation.
    #[error("{}: asks for the organisation {found:?}; the root is that of {expected:?}", path.display())]
    Organization {
        /// The file.
        path: PathBuf,
        /// Whom it asks for.
        found: String,
        /// Whose the root is.
        expected: String,
    },
    /// The key has a certificate.
    #[error("the root has signed a certificate for this key already: {}", path.display())]
    SignedAlready {
        /// That certificate.
        path: PathBuf,
    },
    /// Not one of the root's certificates.
    #[error("{}: the root did not issue it", path.display())]
    NotOfTheRoot {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: VouchedError,
    },
    /// The certificate does not do.
    #[error("{}: cannot be the issuing CA's certificate", path.display())]
    Certificate {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: VouchedError,
    },
    /// The root has taken it back.
    #[error("{}: the root has revoked it", path.display())]
    Revoked {
        /// The certificate.
        path: PathBuf,
    },
    /// Devices do not trust the root.
    #[error("{}: does not hold the root CA {}; devices would not trust what is issued", bundle.display(), root.display())]
    BundleWithoutRoot {
        /// The trust bundle.
        bundle: PathBuf,
        /// The root CA's certificate.
        root: PathBuf,
    },
}
