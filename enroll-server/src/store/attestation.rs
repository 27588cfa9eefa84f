//! Registered attestation keys, as domain types; no SQL here.

use appraisal::Maker;
use appraisal::psa::{InstanceId, RegisteredKey};
use shared::{DeviceId, UnixTime};

use super::{Sha256, StoreError};
use crate::written::{Hex, OptionalHex, Text};

/// An attestation key to be registered: a PSA token's instance identifier, and the key that signs its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttestationKey {
    /// The 32 bytes after the type byte of the UEID.
    pub instance: InstanceId,
    /// The device that it is in.
    pub device: DeviceId,
    /// The SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    /// SHA-256 of the CA certificate of the maker who vouches for it.
    pub maker: Option<Sha256>,
    /// The device's model.
    pub model: Option<String>,
}

/// A registered attestation key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AttestationKey {
    /// The 32 bytes after the type byte of the UEID.
    #[serde(rename = "instance_id", with = "Hex")]
    pub instance: InstanceId,
    /// The device that it is in.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// The SubjectPublicKeyInfo in DER.
    #[serde(rename = "key", with = "Hex")]
    pub spki: Vec<u8>,
    /// Name of the maker who vouches for it.
    pub maker: Option<String>,
    /// SHA-256 of that maker's CA certificate.
    #[serde(with = "OptionalHex")]
    pub maker_sha256: Option<Sha256>,
    /// The device's model.
    pub model: Option<String>,
    /// When it was registered.
    #[serde(with = "Text::<UnixTime>")]
    pub added: UnixTime,
}

impl AttestationKey {
    /// The key as the appraisal wants to see it.
    ///
    /// # Errors
    /// Where the stored key cannot be read; every key was checked when it was added.
    pub fn registered(self) -> Result<RegisteredKey, StoreError> {
        let key = appraisal::psa::AttestationKey::from_spki_der(&self.spki);
        let maker = self.maker.zip(self.maker_sha256);
        Ok(RegisteredKey {
            instance: self.instance,
            device: self.device,
            key: key.ok_or(StoreError::Damaged { field: "spki" })?,
            maker: maker.map(|(name, fingerprint)| Maker { name, fingerprint }),
            model: self.model,
        })
    }
}

/// What became of keys that were to be registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct KeysAdded {
    /// Keys that are new.
    pub added: usize,
    /// Keys that were there, with the same content.
    pub unchanged: usize,
    /// Devices whose key, instance identifier or other content is there in another combination; nothing was changed
    /// for them.
    pub conflicting: Vec<String>,
}
