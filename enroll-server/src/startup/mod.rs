//! Sets a server up and runs it.

mod chores;
mod error;
mod init;
mod issuing_key;
mod load;
mod open;
mod restored;
mod server;
mod unknown_ca;

pub use error::StartError;
pub use init::{
    Guard, InitError, InitOptions, InitReport, OfflineRoot, TpmGuard, default_hosts, init, init_with,
};
pub(crate) use issuing_key::open as open_issuing_key;
pub use issuing_key::{PASSPHRASE, new_passphrase, passphrase};
pub use load::LoadError;
pub use open::{AtRest, open_admin, open_to_explain, start_at_rest};
pub use restored::RestoredError;
pub use server::{Bound, Options, Server};
pub use unknown_ca::UnknownCa;

/// The name of a log of which no address is known.
fn log_origin_of(tenant: &str) -> String {
    format!("{}.enroll-server.local/log", tenant.to_ascii_lowercase())
}

pub(crate) use issuing_key::open as open_key;
pub(crate) use load::{ca_certificate, certificates, ldevid_profile, read as read_file};
#[cfg(test)]
pub(crate) use open::open;
pub(crate) use open::open_store;
