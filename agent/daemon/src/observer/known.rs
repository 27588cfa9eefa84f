//! The identity and the trust in force, as far as the exported files need them.

use agent_core::platform::{Record, Slot, Storage as _};
use agent_core::slots::{Identity, identity_record, read_state};
use agent_core::trust::TrustAnchors;

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
        let mut buffer = vec![0; Record::MAX];
        let mut known = Self::NOTHING;
        let mut trust = Box::new(TrustAnchors::none());
        if let Ok(Ok(())) = trust.load(storage, provisioned_trust, &mut buffer).await
            && let Ok(bundle) = trust.bundle()
        {
            known.anchors = owned(&bundle.anchors);
        }
        if let Ok(Some(state)) = read_state(storage).await
            && let Some(current) = state.current()
            && let Ok(Some(length)) = storage.load(identity_record(current.slot), &mut buffer).await
            && let Some(Ok(identity)) = buffer.get(..length).map(|bytes| Identity::read(current.slot, bytes))
        {
            known.identity = Some((current.slot, owned(&identity.chain)));
        }
        known
    }
}

/// Certificates of one's own.
pub(super) fn owned(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|der| der.to_vec()).collect()
}
