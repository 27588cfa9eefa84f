//! What an operator hands out so that devices can enroll with it: one-time tokens, and symmetric keys for one device
//! or for a group.
//!
//! The rules for their use are in `appraisal`; that they are kept in the recording transaction is the store's to see
//! to.

mod admin;
mod kept;
mod tokens;
mod wrapping;

pub use admin::{BatchRequest, KeyFor, KeyRequest, NewKey};
pub(crate) use kept::look_for_key;
pub use tokens::{MAX_TOKENS, TokenRequest};
pub use wrapping::{NotOpened, WrappingFile, WrappingKey, WrappingKeyError};
