//! The identity and the trust in force, as far as the exported files need them.

use agent_core::platform::Slot;

use crate::in_use;
use crate::storage::FileStorage;

/// What was last heard of, or read from the records.
#[derive(Debug)]
pub(super) struct Known {
    /// Slot and chain, in DER and leaf first, of the identity in use.
    pub(super) identity: Option<(Slot, Vec<Vec<u8>>)>,
    /// Trust anchors in force, in DER.
    pub(super) anchors: Vec<Vec<u8>>,
}

impl Known {
    /// Nothing yet.
    pub(super) const NOTHING: Self = Self { identity: None, anchors: Vec::new() };

    /// Reads the records; what cannot be read is not known. The core tells of damage when it starts.
    pub(super) async fn read(storage: &mut FileStorage, provisioned_trust: &[u8]) -> Self {
        let anchors = in_use::anchors(storage, provisioned_trust).await.unwrap_or_default();
        let issued = in_use::certificate(storage).await.ok();
        Self { identity: issued.map(|issued| (issued.slot, issued.chain)), anchors }
    }
}
