//! Whether the file of the wrapping key is that of the database: all servers have the same, and a second one that was made in its
//! place would wrap keys that none of the others can open.

use std::path::Path;

use shared::DeviceId;

use super::{WrappingKey, WrappingKeyError};
use crate::admin::Admin;
use crate::store::{Credential, Store, StoreError};

impl Admin {
    /// The key to wrap another one under: that in the file at `path`, which is made where the database has nothing that was
    /// wrapped before.
    ///
    /// # Errors
    /// Where there is such a thing and the file is missing, or does not open it; and as [`WrappingKey::load_or_create`].
    pub async fn wrapping_key(&self, path: &Path) -> Result<WrappingKey, WrappingKeyError> {
        let store = self.store().as_ref();
        // What was wrapped under another file's key came later; whoever has lost the file revokes what was wrapped under it.
        let Some(kept) = store.oldest_key().await? else { return WrappingKey::load_or_create(path) };
        let key = match WrappingKey::load(path) {
            Err(missing) if missing.is_missing() => {
                return Err(WrappingKeyError::Lost { path: path.to_owned(), id: kept.id });
            }
            loaded => loaded?,
        };
        match secret(store, &kept).await? {
            Some(secret) if key.unwrap(&secret, &kept.place()).is_err() => {
                Err(WrappingKeyError::Another { path: path.to_owned(), id: kept.id })
            }
            _ => Ok(key),
        }
    }
}

/// Says where a server lacks the file at `path`, and devices with keys would be refused for it.
///
/// # Errors
/// [`WrappingKeyError::Lost`], and where the store fails.
pub(crate) async fn look_for_key(store: &dyn Store, path: &Path) -> Result<(), WrappingKeyError> {
    // Whatever else is wrong with the file is told where it is read.
    if !WrappingKey::load(path).is_err_and(|error| error.is_missing()) {
        return Ok(());
    }
    match store.oldest_key().await? {
        Some(kept) => Err(WrappingKeyError::Lost { path: path.to_owned(), id: kept.id }),
        None => Ok(()),
    }
}

async fn secret(store: &dyn Store, kept: &Credential) -> Result<Option<Vec<u8>>, StoreError> {
    // It matters to how a group's key stands to a device alone, and that is not asked here.
    let device = kept.device.clone().or_else(|| DeviceId::new("any").ok());
    let Some(device) = device else { return Ok(None) };
    Ok(store.find_credential(kept.id.clone(), &device).await?.and_then(|found| found.secret))
}

#[cfg(test)]
mod tests {
    use super::look_for_key;
    use crate::credential::{KeyFor, KeyRequest, WrappingKey, WrappingKeyError};
    use crate::issuance::tests::Bench;
    use crate::store::CredentialKind;
    use std::fs;

    #[tokio::test]
    async fn no_second_wrapping_key_is_made_where_the_database_has_keys_under_the_first() {
        for (key_for, kind) in [
            (KeyFor::Device("SN-1".parse().unwrap()), CredentialKind::DeviceKey),
            (KeyFor::Group("lot-7".parse().unwrap()), CredentialKind::GroupKey),
        ] {
            let bench = Bench::new("").await;
            let (store, path) = (bench.admin.store().as_ref(), &bench.config.files.credential_key);
            fs::remove_file(path).unwrap();
            look_for_key(store, path).await.expect("an older server has none, and needs none");
            let first = bench.admin.wrapping_key(path).await.unwrap();
            let request = KeyRequest { key_for, enroll_group: None, lifetime: None, quota: None };
            let made = bench.admin.make_key(request, &first).unwrap();
            bench.admin.add_key(&made).await.unwrap();
            let right = fs::read(path).unwrap();

            // On a second server, or where the database alone was brought back.
            fs::remove_file(path).unwrap();
            let told = look_for_key(store, path).await.unwrap_err();
            assert!(matches!(told, WrappingKeyError::Lost { .. }), "{told}");
            let refused = bench.admin.wrapping_key(path).await.unwrap_err().to_string();
            assert!(refused.contains(&made.credential.id) && refused.contains("is missing"), "{refused}");
            assert!(!path.exists(), "nothing is made");
            let _another = WrappingKey::load_or_create(path).unwrap();
            let refused = bench.admin.wrapping_key(path).await.unwrap_err();
            assert!(matches!(refused, WrappingKeyError::Another { .. }), "{refused}");
            fs::write(path, right).unwrap();
            bench.admin.wrapping_key(path).await.unwrap();

            // Lost for good.
            fs::remove_file(path).unwrap();
            bench.admin.revoke_credential(&made.credential.id, &[kind]).await.unwrap();
            look_for_key(store, path).await.unwrap();
            bench.admin.wrapping_key(path).await.unwrap();
        }
    }
}
