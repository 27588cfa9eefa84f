//! The audit trail: what kinds of events there are, who causes them, and the counting of refusals.
//!
//! What changes the store writes its event in the same transaction; see [`crate::store`]. Nothing here keeps
//! the trail or sends it anywhere.

mod actor;
pub mod changes;
mod guesses;
mod kind;
mod lost_rows;
mod refusals;
mod repeated;

use core::time::Duration;

pub use actor::{ADMIN_TOKEN, Actor, Caller};
pub use guesses::{Door, Guesses};
pub use kind::{EventKind, Severity};
pub(crate) use lost_rows::LostRows;
pub use refusals::Refusals;
pub use repeated::{Limits as RefusalLimits, Repeated};

/// For how long a suspicion about one device is not repeated in the trail.
pub const QUIET: Duration = Duration::from_secs(3_600);
