//! The certificate authority: what certificates contain, the lint before signing, the signature, revocation
//! lists and trust bundles.
//!
//! No HTTP and no SQL. It does not decide who gets a certificate: it signs what a [`RecordedIntent`] names,
//! after [`lint()`], and gives out nothing that differs from it.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod crl;
pub mod cross;
pub mod hierarchy;
pub mod key;
pub mod ocsp;
pub mod pem;
pub mod request;
pub mod secret;
pub mod trust_chain;

mod certificate;
mod der;
mod distribution;
mod issuer;
mod lint;
mod parse_back;
mod profile;
mod rehearsal;
mod root_list;
mod serial;
mod template;
mod to_be_signed;
mod vouched;

pub use certificate::{CaCertificate, CaCertificateError};
pub use distribution::{CrlAddress, DistributionPoint};
pub use issuer::{IssueError, Issued, Issuer};
pub use key::{FileKey, IssuerKey, KeyError};
pub use lint::{Finding, Findings, LintError, Linted, RecordedIntent, lint, rules};
pub use parse_back::Mismatch;
pub use profile::{
    BACKDATE, BindError, Bound, DEFAULT_PROFILE, Facts, LdevidProfile, MAX_LIFETIME, Profile, ProfileError,
    SAMPLE_PROFILE, Validity, is_profile_name,
};
pub use rehearsal::{RehearsalError, Sample, longest_certificate, rehearse, sample};
pub use root_list::{MAX_ROOT_LIST, RootList, RootListError};
pub use serial::{Serial, SerialError};
pub use vouched::{Vouched, VouchedError, vouched};
