//! Evidence: how a device proves what it is, as implementations of [`crate::platform::Attester`].

mod idevid;
mod token;

pub use idevid::{Firmware, IdevidAttester, IdevidError};
pub use token::{TokenAttester, TokenError};
