//! The proof that the broker accepted an identity.

use crate::platform::Slot;

/// The broker accepted login and subscription of the identity in a slot. Made only where the broker's driver
/// calls [`Session::accepted`](crate::platform::Session::accepted); without it no identity takes the place of
/// another, and so no key in use is ever erased.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokerAccepted {
    slot: Slot,
}

impl BrokerAccepted {
    /// For the session alone.
    pub(super) const fn by_session(slot: Slot) -> Self {
        Self { slot }
    }

    /// For tests of what follows from it.
    #[cfg(test)]
    pub(crate) const fn for_test(slot: Slot) -> Self {
        Self { slot }
    }

    /// The identity's slot.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }
}
