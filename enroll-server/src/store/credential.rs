//! Credentials as the store keeps them; no SQL here.

use super::ListPlace;
use crate::written::{OptionalText, Text};
use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A symmetric key of one device.
    DeviceKey,
    /// A symmetric key from which those of a group's devices are derived.
    GroupKey,
    /// A batch of devices that share a claim certificate.
    Batch,
}

impl CredentialKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::DeviceKey, Self::GroupKey, Self::Batch];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceKey => "device-key",
            Self::GroupKey => "group-key",
            Self::Batch => "batch",
        }
    }
}

/// A credential, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Credential {
    /// Its public name: for a key, what evidence names it by.
    pub id: String,
    /// What it is.
    pub kind: CredentialKind,
    /// What the operator calls it.
    pub name: String,
    /// The one device it is for, if it is for one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub device: Option<DeviceId>,
    /// The device group that its devices are put into.
    #[serde(with = "OptionalText::<GroupName>")]
    pub group: Option<GroupName>,
    /// Whether every enrollment by it waits for an operator.
    pub hold: bool,
    /// When it was made.
    #[serde(with = "Text::<UnixTime>")]
    pub created: UnixTime,
    /// Until when it is good.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub expires: Option<UnixTime>,
    /// When it was revoked.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub revoked: Option<UnixTime>,
    /// How many devices it may bring in.
    pub quota: Option<u32>,
    /// How many it has brought in.
    pub used: u32,
}

impl Credential {
    /// Where its secret belongs: it is wrapped for this row and opens in no other.
    #[must_use]
    pub(crate) fn place(&self) -> String {
        let device = self.device.as_ref().map_or("", DeviceId::as_str);
        format!("{} {} {device}", self.kind.name(), self.id)
    }
}

/// One page of credentials, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialPage {
    /// The credentials.
    pub credentials: Vec<Credential>,
    /// The `after` of the next page, if there is one.
    pub next: Option<ListPlace>,
}

/// A credential to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// All but its secret.
    pub credential: Credential,
    /// Its key, wrapped; a batch has none.
    pub secret: Option<Vec<u8>>,
    /// The certificate of a batch, in DER.
    pub certificate: Option<Vec<u8>>,
}

/// A credential as an appraisal needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCredential {
    /// All but its secret.
    pub credential: Credential,
    /// Its key, wrapped.
    pub secret: Option<Vec<u8>>,
    /// The certificate of a batch, in DER.
    pub certificate: Option<Vec<u8>>,
    /// Whether the device has a key of its own, which counts instead of its group's.
    pub overridden: bool,
    /// Whether the device is one of those that it brought in.
    pub brought_in: bool,
}
