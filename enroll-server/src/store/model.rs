//! What the store keeps, as domain types; no SQL here.

use appraisal::GroupName;
use ca::Serial;
use ca::crl::Reason;
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, UnixTime};

use super::issuer::IssuerNumber;
use super::list_place::ListPlace;
use super::state::DeviceState;
use super::tag::Tag;
use crate::written::{Hex, OptionalHex, OptionalText, Text};

/// SHA-256 of something.
pub type Sha256 = [u8; 32];

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Device {
    /// Its identifier.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// Its model, where it is known.
    pub model: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo of its IDevID: from the inventory, or from its first enrollment.
    #[serde(with = "OptionalHex")]
    pub idevid_sha256: Option<Sha256>,
    /// How it stands.
    pub state: DeviceState,
    /// Since when.
    #[serde(with = "Text::<UnixTime>")]
    pub changed: UnixTime,
    /// The group it was put into.
    #[serde(with = "Text::<GroupName>")]
    pub group: GroupName,
    /// Its tags, sorted.
    #[schemars(with = "Vec<Text<Tag>>")]
    pub tags: Vec<Tag>,
    /// Why an operator denied its enrollment, where one did.
    pub denied: Option<String>,
    /// Whether an operator approved the held request, or its next enrollment.
    pub approved: bool,
    /// When it became known.
    #[serde(with = "Text::<UnixTime>")]
    pub added: UnixTime,
}

/// One line of the inventory file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryEntry {
    /// The device.
    pub device: DeviceId,
    /// Its model.
    pub model: Option<String>,
    /// SHA-256 of what identifies it beyond its name, where the maker gave it: see
    /// [`KnownDevice::idevid_spki_sha256`](appraisal::KnownDevice::idevid_spki_sha256).
    pub idevid_sha256: Option<Sha256>,
    /// The group to put it into.
    pub group: Option<GroupName>,
    /// Tags to put on it.
    pub tags: Vec<Tag>,
}

/// What became of an inventory file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ImportReport {
    /// Devices that are new.
    pub added: usize,
    /// Devices that were there and now have a model or key hash they lacked.
    pub completed: usize,
    /// Devices that were there already, with the same content.
    pub unchanged: usize,
    /// Devices that are there with another key or model; nothing was changed for them.
    pub conflicting: Vec<String>,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// Waits for an operator's approval; nothing is signed.
    Held,
    /// Recorded, about to be signed.
    Intent,
    /// Signed, stored, perhaps answered.
    Issued,
    /// Revoked after it was issued.
    Revoked,
    /// Given up before it was signed, or before it was answered: this serial number never counts.
    Voided,
}

impl CertificateState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Held, Self::Intent, Self::Issued, Self::Revoked, Self::Voided];

    /// The stable name, as in the database, in metrics and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Intent => "intent",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Voided => "voided",
        }
    }
}

/// One certificate, or the record that one was about to be made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Certificate {
    /// Its serial number.
    #[serde(with = "Text::<Serial>")]
    pub serial: Serial,
    /// Whose it is.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// How it stands.
    pub state: CertificateState,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "Hex")]
    pub key_sha256: Sha256,
    /// Start of its life.
    #[serde(with = "Text::<UnixTime>")]
    pub not_before: UnixTime,
    /// End of its life.
    #[serde(with = "Text::<UnixTime>")]
    pub not_after: UnixTime,
    /// When it was revoked and why, or since when it is on hold because its device is suspended.
    pub revoked: Option<Revocation>,
    /// How the request for it came.
    pub via: Via,
    /// The evidence it was issued on, as it came.
    #[serde(skip)]
    pub evidence: Option<StoredEvidence>,
    /// The certificate in DER, once it is signed.
    #[serde(skip)]
    pub der: Option<Vec<u8>>,
    /// The issuing CA that signed it, or is to.
    pub issuer: IssuerNumber,
    /// Name of the profile that it was recorded with; none where that was before there were profiles.
    pub profile: Option<String>,
}

/// One page of certificates, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CertificatePage {
    /// The certificates.
    pub certificates: Vec<Certificate>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<ListPlace>")]
    pub next: Option<ListPlace>,
}

/// A revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Revocation {
    /// When.
    #[serde(with = "Text::<UnixTime>")]
    pub at: UnixTime,
    /// Why.
    #[serde(serialize_with = "as_reason")]
    pub reason: Reason,
}

/// Evidence as it came, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// What it is.
    pub kind: EvidenceKind,
    /// COSE_Sign1, or empty for a token: its text is a secret.
    pub body: Vec<u8>,
}

/// What a request is bound to, so that the same request is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// The nonce of its evidence.
    Nonce(Nonce),
    /// The certificate it was sent with, where there was no evidence.
    Certificate(Serial),
    /// The key in its CSR alone, where the protocol has no nonce: a key stands for one request.
    Key,
}

/// By which protocol, and by what authentication there, a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The native protocol.
    Native,
    /// EST (RFC 7030), TLS client authentication with the IDevID.
    EstIdevid,
    /// EST, HTTP Basic authentication with a one-time token.
    EstToken,
    /// EST, TLS client authentication with the LDevID.
    EstLdevid,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::EstIdevid, Self::EstToken, Self::EstLdevid];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::EstIdevid => "est-idevid",
            Self::EstToken => "est-token",
            Self::EstLdevid => "est-ldevid",
        }
    }

    /// The way of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }

    /// In words, as in the audit trail.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Native => "by the native protocol",
            Self::EstIdevid => "by EST, TLS client authentication with the IDevID",
            Self::EstToken => "by EST, HTTP Basic authentication with a one-time token",
            Self::EstLdevid => "by EST, TLS client authentication with the LDevID",
        }
    }
}

/// A maker whose IDevIDs are believed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Maker {
    /// Name in the CA certificate's subject.
    pub name: String,
    /// SHA-256 of the certificate.
    #[serde(with = "Hex")]
    pub sha256: Sha256,
    /// When it was added.
    #[serde(with = "Text::<UnixTime>")]
    pub added: UnixTime,
    /// The CA certificate.
    #[serde(skip)]
    pub der: Vec<u8>,
}

/// A maker's revocation list as it came; genuine when it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCrl {
    /// Whose it is: `appraisal::maker_crl::IssuerId`.
    pub issuer: Sha256,
    /// The maker's CA that it leads to, by the SHA-256 of its certificate.
    pub maker: Sha256,
    /// The CRL number, big-endian.
    pub number: [u8; 20],
    /// When it was stored.
    pub added: UnixTime,
    /// Certificates in PEM between the maker's CA and the issuer; empty where the maker's CA issued it.
    pub chain: String,
    /// The list in DER.
    pub der: Vec<u8>,
}

/// Serial numbers that must not be believed any more, with what a CRL says of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedList {
    /// Rises with every change of the list.
    pub generation: u64,
    /// The entries; certificates that ended long ago are left out.
    pub entries: Vec<RevokedEntry>,
}

/// One entry of a [`RevokedList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// The certificate.
    pub serial: Serial,
    /// When and why.
    pub revocation: Revocation,
}

fn as_reason<S: serde::Serializer>(value: &Reason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.name())
}
