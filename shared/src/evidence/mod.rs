//! Evidence: what a device signs about itself (RFC 9334), as an EAT (RFC 9711).

mod binding;
mod claims;
mod confirmation;
mod measurement;
mod tpm;
mod ueid;

pub use binding::Binding;
pub use claims::{Claims, DebugStatus, Ueid};
pub use confirmation::{Thumbprint, key_thumbprint};
pub use measurement::{Digest, Measurement};
pub use tpm::{ACTIVATION_SECRET, ActivationProof, Introduction, PcrValues, TpmEvidence, activation_message};
pub use ueid::ueid_of_name;
