//! Credentials that evidence names, as the appraisal wants them.

use appraisal::{
    Batch, BatchCertificate, CredentialGrant, CredentialScope, DeviceKey, Standing, SymmetricCredential,
    find_batch, named_key,
};
use shared::DeviceId;

use super::{Denied, Issuance};
use crate::store::{CredentialKind, FoundCredential, StoreError};

impl Issuance {
    /// The key that the evidence names, ready to verify with; `None` where there is none of this name, which the
    /// appraisal refuses.
    pub(super) async fn symmetric_credential(
        &self,
        device: &DeviceId,
        eat: &[u8],
    ) -> Result<Option<SymmetricCredential>, Denied> {
        let Some(kid) = named_key(eat) else { return Ok(None) };
        let found = self.parts.store.find_credential(hex::encode(kid), device).await?;
        let Some(found) = found.filter(|found| found.credential.kind != CredentialKind::Batch) else {
            return Ok(None);
        };
        let secret = found.secret.as_deref().ok_or(StoreError::Damaged { field: "secret" })?;
        let key = self.parts.wrapping.get()?.unwrap(secret, &found.credential.place())?;
        let key = match found.credential.kind {
            CredentialKind::GroupKey => DeviceKey::derived(&key, device),
            CredentialKind::DeviceKey | CredentialKind::Batch => DeviceKey::own(&key),
        };
        Ok(Some(SymmetricCredential { grant: grant(found), key }))
    }
}

impl Issuance {
    /// The batch that the claim certificate is of; `None` where there is none, which the appraisal refuses.
    pub(super) async fn batch(&self, device: &DeviceId, chain: &[&[u8]]) -> Result<Option<Batch>, Denied> {
        let mut batches = Vec::new();
        for found in self.parts.store.batches(device).await? {
            let damaged = StoreError::Damaged { field: "certificate" };
            let der = found.certificate.as_deref().ok_or_else(|| damaged.clone())?;
            // It was checked when it was added.
            let certificate = BatchCertificate::new(&found.credential.name, der).map_err(|_| damaged)?;
            batches.push(Batch { hold: found.credential.hold, grant: grant(found), certificate });
        }
        Ok(find_batch(chain, batches, self.now()))
    }
}

/// What a credential grants, by what the store has of it.
fn grant(found: FoundCredential) -> CredentialGrant {
    let credential = found.credential;
    CredentialGrant {
        id: credential.id,
        scope: credential.device.map_or(CredentialScope::Many, CredentialScope::Device),
        group: credential.group,
        expires: credential.expires,
        standing: match (credential.revoked, found.overridden) {
            (Some(_), _) => Standing::Revoked,
            (None, true) => Standing::Overridden,
            (None, false) => Standing::Good,
        },
        quota: credential.quota,
        used: credential.used,
        brought_in: found.brought_in,
    }
}
