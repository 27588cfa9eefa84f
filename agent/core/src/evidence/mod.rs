//! Evidence: how a device proves what it is, as implementations of [`crate::platform::Attester`].

mod claim;
mod device_name;
mod dice;
mod eat;
mod idevid;
mod psa;
mod symmetric;
mod token;

pub use claim::ClaimAttester;
pub use dice::{DiceAttester, DiceError};
pub use eat::Firmware;
pub use idevid::{IdevidAttester, IdevidError};
pub use psa::{AttestationService, PsaAttester, PsaChallenge, PsaError};
pub use symmetric::{SymmetricAttester, SymmetricKeyError};
pub use token::{TokenAttester, TokenError};
