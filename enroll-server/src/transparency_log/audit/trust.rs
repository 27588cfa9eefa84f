//! Holds the makers and their keys for releases against the rows of the audit trail that say they were added: whoever puts
//! one into the database lets in whom and what they like.

use std::collections::HashSet;

use super::finding::{Finding, FindingKind};
use super::log::AuditError;
use crate::audit::EventKind;
use crate::issuance::sha256;
use crate::store::{Event, Maker, Sha256, Store, StoredKey};

/// What is in the database, and what the trail says.
#[derive(Debug)]
pub(super) struct Trust {
    makers: Vec<Maker>,
    keys: Vec<StoredKey>,
    makers_added: HashSet<Sha256>,
    keys_added: HashSet<Sha256>,
}

impl Trust {
    /// Reads them from `store`, before the trail: what is added meanwhile is looked at the next time.
    pub(super) async fn read(store: &dyn Store) -> Result<Self, AuditError> {
        let (makers, keys) = (store.makers().await?, store.release_keys().await?);
        Ok(Self { makers, keys, makers_added: HashSet::new(), keys_added: HashSet::new() })
    }

    /// A row of the trail, in their order.
    pub(super) fn event(&mut self, event: &Event) {
        let hash = || {
            let mut hash = [0; 32];
            let digits = event.detail.rsplit(' ').next().unwrap_or_default();
            hex::decode_to_slice(digits, &mut hash).ok().map(|()| hash)
        };
        match EventKind::from_name(&event.kind) {
            Some(EventKind::MakerAdded) => self.makers_added.extend(hash()),
            Some(EventKind::ReleaseKeyAdded) => self.keys_added.extend(hash()),
            Some(EventKind::ReleaseKeyRemoved) => {
                if let Some(hash) = hash() {
                    self.keys_added.remove(&hash);
                }
            }
            _ => {}
        }
    }

    /// What the trail does not say. It was read in the meantime.
    pub(super) async fn compare(self, store: &dyn Store) -> Result<Vec<Finding>, AuditError> {
        let mut findings = Vec::new();
        for maker in &self.makers {
            if maker.sha256 != sha256(&maker.der) || !self.makers_added.contains(&maker.sha256) {
                findings.push(finding(&maker.sha256, format!("the maker {:?}", maker.name)));
            }
        }
        let mut unknown = self.keys;
        unknown.retain(|key| key.sha256 != sha256(&key.spki) || !self.keys_added.contains(&key.sha256));
        if !unknown.is_empty() {
            // One that was removed while the trail was read is no finding.
            let keys: HashSet<Sha256> = store.release_keys().await?.iter().map(|key| key.sha256).collect();
            let there = unknown.iter().filter(|key| keys.contains(&key.sha256));
            findings.extend(there.map(|key| finding(&key.sha256, format!("a key of {:?}", key.maker))));
        }
        Ok(findings)
    }
}

fn finding(sha256: &Sha256, detail: String) -> Finding {
    Finding::new(FindingKind::TrustNotLogged, hex::encode(sha256), detail)
}
