//! What an operator does with credentials.

use core::fmt;
use core::time::Duration;

use appraisal::{BatchCertificate, GroupName};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use shared::DeviceId;
use shared::keytext::{self, KeyText, Scope};
use zeroize::Zeroizing;

use super::WrappingKey;
use crate::admin::{Admin, AdminError};
use crate::store::{Credential, CredentialKind, CredentialPage, ListPlace, NewCredential, Page};

/// Whom a key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFor {
    /// One device.
    Device(DeviceId),
    /// A group of this name: its devices have keys that are derived from this one.
    Group(GroupName),
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// Whom it is for.
    pub key_for: KeyFor,
    /// The device group that its devices are put into, where it is not that of the key's own name.
    pub enroll_group: Option<GroupName>,
    /// How long it is good for; without an end where none is named.
    pub lifetime: Option<Duration>,
    /// How many devices it may bring in; any number where none is named.
    pub quota: Option<u32>,
}

/// A batch to be added. It waits for an operator with each device, or has a quota, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRequest {
    /// The device group that its devices are put into.
    pub group: GroupName,
    /// Whether every enrollment waits for an operator.
    pub hold: bool,
    /// How many devices it may bring in.
    pub quota: Option<u32>,
    /// How long it is good for; without an end where none is named.
    pub lifetime: Option<Duration>,
}

/// A new key. Good for nothing until it is [added](Admin::add_key).
pub struct NewKey {
    /// What a list shows of it.
    pub credential: Credential,
    /// Its text, as [`shared::keytext`] describes it: the secret, shown once.
    pub text: Zeroizing<String>,
    wrapped: Vec<u8>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes a symmetric key, to be kept under `wrapping`.
    ///
    /// # Errors
    /// Where the random generator fails.
    pub fn make_key(&self, request: KeyRequest, wrapping: &WrappingKey) -> Result<NewKey, AdminError> {
        let random = |bytes: &mut [u8]| SystemRandom::new().fill(bytes).map_err(|_| AdminError::Random);
        let (mut kid, mut key) = ([0; shared::cose::KID], Zeroizing::new([0; keytext::KEY]));
        random(&mut kid)?;
        random(key.as_mut_slice())?;
        let now = self.now();
        let (scope, kind, name, device, group) = match request.key_for {
            KeyFor::Device(device) => {
                let kind = CredentialKind::DeviceKey;
                (Scope::Device, kind, device.to_string(), Some(device), request.enroll_group)
            }
            KeyFor::Group(name) => {
                let group = request.enroll_group.unwrap_or_else(|| name.clone());
                (Scope::Group, CredentialKind::GroupKey, name.to_string(), None, Some(group))
            }
        };
        let credential = Credential {
            id: hex::encode(kid),
            kind,
            name,
            device,
            group,
            hold: false,
            created: now,
            expires: request.lifetime.map(|lifetime| now.after(lifetime)),
            revoked: None,
            quota: request.quota,
            used: 0,
        };
        let wrapped = wrapping.wrap(key.as_slice(), &credential.place()).ok_or(AdminError::Random)?;
        let mut text = Zeroizing::new(String::with_capacity(keytext::LENGTH));
        text.extend(KeyText::new(scope, kid, *key).characters());
        Ok(NewKey { credential, text, wrapped })
    }

    /// Adds a key, which is good from now on. Whoever is to have it should hold it before: a key for one device overrides
    /// that of its group, for good; the group's does not count for this device any more, even when its own is revoked.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn add_key(&self, key: &NewKey) -> Result<(), AdminError> {
        let (credential, secret) = (key.credential.clone(), Some(key.wrapped.clone()));
        self.store().add_credential(NewCredential { credential, secret, certificate: None }).await?;
        Ok(())
    }

    /// Adds a batch by the certificate in `pem`: that of the CA that issued its claim certificates, or the claim
    /// certificate that all its devices share.
    ///
    /// # Errors
    /// Where `pem` is no such certificate, or was added before.
    pub async fn add_batch(&self, pem: &str, request: BatchRequest) -> Result<Credential, AdminError> {
        if !request.hold && request.quota.is_none() {
            return Err(AdminError::NotABatch { problem: "it is neither held nor has a quota".into() });
        }
        let not_a_batch = |problem: String| AdminError::NotABatch { problem };
        let list =
            ca::pem::read_certificates(pem.as_bytes()).map_err(|error| not_a_batch(error.to_string()))?;
        let [der] = list.as_slice() else {
            return Err(not_a_batch(format!("expected one certificate, found {}", list.len())));
        };
        let _checked = BatchCertificate::new(request.group.as_str(), der)
            .map_err(|error| not_a_batch(error.to_string()))?;
        let now = self.now();
        let sha256 = digest(&SHA256, der);
        let credential = Credential {
            // Of the certificate, so that one that was revoked is not added again under another name.
            id: hex::encode(sha256.as_ref().get(..shared::cose::KID).unwrap_or_default()),
            kind: CredentialKind::Batch,
            name: request.group.to_string(),
            device: None,
            group: Some(request.group),
            hold: request.hold,
            created: now,
            expires: request.lifetime.map(|lifetime| now.after(lifetime)),
            revoked: None,
            quota: request.quota,
            used: 0,
        };
        let there = self.store().credential(credential.id.clone()).await?;
        if there.is_some_and(|there| there.kind == CredentialKind::Batch) {
            return Err(not_a_batch(format!("it was added before, as {}", credential.id)));
        }
        let certificate = Some(der.clone());
        let new = NewCredential { credential: credential.clone(), secret: None, certificate };
        self.store().add_credential(new).await?;
        Ok(credential)
    }

    /// One page of the credentials of these kinds, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn credentials(
        &self,
        kinds: &'static [CredentialKind],
        page: Page<ListPlace>,
    ) -> Result<CredentialPage, AdminError> {
        Ok(self.store().credentials(kinds, page).await?)
    }

    /// Revokes a credential of one of these kinds: nobody enrolls by it any more. What was enrolled by it stays.
    ///
    /// # Errors
    /// Where there is no such credential.
    pub async fn revoke_credential(&self, id: &str, kinds: &[CredentialKind]) -> Result<(), AdminError> {
        let what = if kinds.contains(&CredentialKind::Batch) { "batch" } else { "key" };
        let there = self.store().credential(id.to_owned()).await?;
        let there = there.is_some_and(|credential| kinds.contains(&credential.kind));
        if there && self.store().revoke_credential(id.to_owned(), self.now()).await? {
            return Ok(());
        }
        Err(AdminError::NotFound { what, name: id.to_owned() })
    }
}
