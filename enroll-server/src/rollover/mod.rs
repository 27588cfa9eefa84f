//! Replaces the issuing CA, and the root above it, while devices go on.
//!
//! What a rollover is stands in the store: the certificates of its [`Plan`] and the [`Step`] it has come to. A step is
//! one transaction, with its conditions and its trust bundle in it; the files that brokers and operators read are written
//! after it, by whichever server looks at the store next, so that a crash leaves the old state or the new one. Keys are
//! in files, tokens or elsewhere, and never in the store. The steps stand in docs/rollover.md.

mod broker;
mod folder;
mod follow;
mod lineup;
mod make;
mod order;
mod owed;
mod plan;
mod publish;
mod room;
mod root_list;
mod status;
mod step;
mod trust;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod follow_tests;
#[cfg(test)]
mod hook_tests;
#[cfg(test)]
mod room_tests;

pub use broker::{BrokerCertificate, broker_certificate};
pub(crate) use follow::{Follower, put_certificates_in_trail, tls_settings};
pub(crate) use lineup::{Lineup, Root};
pub use make::{NewCa, StartError, StartOptions, Started, start};
pub use order::{OrderError, OrderOptions, publish_bundles, take};
pub use plan::{Plan, PlanError};
pub use root_list::NewRootListError;
pub use status::{BundleRow, CaRow, Status, status};
pub use step::{Decided, NotYet, Order, Standing, Step, decide};
pub use trust::{SignerError, SignerOptions, TrustFileError, open_signer};
pub(crate) use trust::{load as load_trust, read as read_trust};
