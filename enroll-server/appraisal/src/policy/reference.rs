//! Reference values: the measurements that are known to be good (RFC 9334, section 8.3), and for whom.
//!
//! How they are found again stands in [`super::index`]; how manifests of makers are read, in the crate
//! `reference-values`.

use shared::UnixTime;
use shared::limits::MAX_CLAIM_TEXT;

use super::file::{self, FileError, Problems, Table};
use super::index::ReferenceValues;
use crate::claims::Measured;
use crate::key::{SpkiHash, digest_from_hex};
use crate::maker::Maker;

/// A component that is known to be good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KnownGood {
    /// The model it is for; any, where it is not said.
    pub model: Option<String>,
    /// The one device it is for, by the hash that identifies it (see
    /// [`KnownDevice::idevid_spki_sha256`](crate::KnownDevice::idevid_spki_sha256)); any, where it is not said.
    pub instance: Option<SpkiHash>,
    /// The make of root of trust it is for (RFC 9783, section 4.2.2); any, where it is not said.
    pub implementation_id: Option<[u8; 32]>,
    /// Name of the component, as the device measures it.
    pub component: String,
    /// Its version. Where it is not said, the digest alone decides, and a version that the device claims is not
    /// confirmed by this value.
    pub version: Option<String>,
    /// Digest of what runs: SHA-256, SHA-384 or SHA-512, told apart by their length.
    pub digest: Vec<u8>,
    /// Who has to have signed it, as the evidence has to say; anyone, where it is not said.
    pub signer: Option<Vec<u8>>,
}

/// Known-good components that came together, and for whom and when they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceSet {
    /// What operators call it.
    pub name: String,
    /// The name of the maker whose devices it is for; those of any maker, and devices without one, where it is
    /// not said.
    pub maker: Option<String>,
    /// The first second in which it counts.
    pub not_before: Option<UnixTime>,
    /// The last second in which it counts.
    pub not_after: Option<UnixTime>,
    /// Its values.
    pub known: Vec<KnownGood>,
}

/// Whose measurement is looked up, and when.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The maker that vouches for the device.
    pub maker: Option<&'a Maker>,
    /// Its model.
    pub model: Option<&'a str>,
    /// The hash of what identified it.
    pub identity: Option<&'a SpkiHash>,
    /// The make of its root of trust.
    pub implementation_id: Option<&'a [u8; 32]>,
    /// The time.
    pub now: UnixTime,
}

impl ReferenceSet {
    /// Why the set is not for `subject`; `None` where it is.
    pub(super) fn mismatch(&self, subject: &Subject<'_>) -> Option<Mismatch> {
        if self.maker.as_ref().is_some_and(|of| subject.maker.is_none_or(|maker| *of != maker.name)) {
            return Some(Mismatch::Maker);
        }
        if self.not_before.is_some_and(|first| subject.now < first) {
            return Some(Mismatch::NotYet);
        }
        self.not_after.is_some_and(|last| subject.now > last).then_some(Mismatch::Ended)
    }
}

impl KnownGood {
    /// Why the value is not for `subject` with a component that was `measured` and has its name and digest;
    /// `None` where it is.
    pub(super) fn mismatch(&self, subject: &Subject<'_>, measured: &Measured) -> Option<Mismatch> {
        if self.model.as_deref().is_some_and(|of| Some(of) != subject.model) {
            return Some(Mismatch::Model);
        }
        if self.instance.as_ref().is_some_and(|of| Some(of) != subject.identity) {
            return Some(Mismatch::Device);
        }
        if self.implementation_id.as_ref().is_some_and(|of| Some(of) != subject.implementation_id) {
            return Some(Mismatch::Implementation);
        }
        if self.signer.as_ref().is_some_and(|by| Some(by) != measured.signer.as_ref()) {
            return Some(Mismatch::Signer);
        }
        let differ =
            matches!((&self.version, &measured.version), (Some(known), Some(found)) if known != found);
        differ.then_some(Mismatch::Version)
    }
}

/// Why a value with the right digest does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Maker,
    NotYet,
    Ended,
    Model,
    Device,
    Implementation,
    Signer,
    Version,
    Component,
}

impl Mismatch {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Maker => "known for devices of another maker only",
            Self::NotYet => "among reference values that are not valid yet",
            Self::Ended => "among reference values that are not valid any more",
            Self::Model => "known for another model only",
            Self::Device => "known for another device only",
            Self::Implementation => "known for another make of root of trust only",
            Self::Signer => "known with another signer only",
            Self::Version => "known with another version only",
            Self::Component => "known as another component only",
        }
    }
}

impl ReferenceValues {
    /// Reads a reference-value file: `[[measurement]]` tables with `component`, `version`, `digest`
    /// (hexadecimal) and, if it is for one model only, `model`. `file` is its name in errors.
    ///
    /// # Errors
    /// Names everything that is wrong with it, with file, line and field.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        file::read(file, text, |top, problems| read(top, problems).unwrap_or_default()).map(Self::from)
    }
}

/// Reads the `[[measurement]]` tables out of any file; `None` where it has none.
pub(super) fn read<'t>(top: &mut Table<'t>, problems: &mut Problems<'t>) -> Option<Vec<KnownGood>> {
    top.tables("measurement", problems, |table, problems| {
        let text = file::text(MAX_CLAIM_TEXT);
        let model = table.take("model", problems, &text);
        let component = table.required("component", problems, &text);
        let version = table.required("version", problems, &text);
        let digest = table.required("digest", problems, |value| {
            let digest = value.as_str().and_then(digest_from_hex);
            digest.ok_or_else(|| {
                "a SHA-256, SHA-384 or SHA-512 digest, 64, 96 or 128 hexadecimal digits".into()
            })
        });
        Some(KnownGood {
            model,
            component: component?,
            version: Some(version?),
            digest: digest?,
            ..KnownGood::default()
        })
    })
}
