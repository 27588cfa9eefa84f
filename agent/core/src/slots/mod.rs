//! Two places for an operational identity, so that a new one can be made and tried while the old one works.
//!
//! What protects against a power cut: each record is replaced whole or not at all, the [`State`] record alone
//! says which slot counts, and it changes only after what it points to is durable. [`boot`] puts every
//! combination of records in order that a cut, bit rot or a lost record can leave behind.
//!
//! The order of the steps is held by types. [`Stored`] is a state known to be durable; a [`Persisted`] key, out
//! of which alone a CSR is made, comes from a `Stored` state that names its slot; only slots that a `Stored`
//! state does not name are overwritten or erased, and a state moves from one identity to another only with a
//! [`BrokerAccepted`](crate::flow::BrokerAccepted).
//!
//! Nothing here talks to the network or decides when to do something.

mod boot;
mod identity;
mod keys;
pub(crate) mod record;
mod state;
mod store;

pub use boot::{Inspection, boot, inspect};
pub use identity::{Dates, Identity, IdentityError};
pub use keys::{Persisted, erase_unreferenced, make_key, open_identity_key, persisted};
pub use state::{Asked, Current, Next, Purpose, Refusal, Stage, State};
pub use store::{Stored, read_state, reset, save, store_identity};

use crate::platform::{Record, Slot};

/// The record of a slot's certificate chain.
#[must_use]
pub const fn identity_record(slot: Slot) -> Record {
    match slot {
        Slot::A => Record::IdentityA,
        Slot::B => Record::IdentityB,
    }
}
