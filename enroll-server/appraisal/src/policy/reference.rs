//! Reference values: the measurements that are known to be good (RFC 9334, section 8.3).

use shared::limits::MAX_CLAIM_TEXT;

use super::file::{self, FileError, Problems, Table};
use crate::claims::Measured;
use crate::key::digest_from_hex;

/// A component that is known to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGood {
    /// The model it is for; any, where it is not said.
    pub model: Option<String>,
    /// Name of the component, as the device measures it.
    pub component: String,
    /// Its version.
    pub version: String,
    /// Digest of what runs: SHA-256, SHA-384 or SHA-512, told apart by their length.
    pub digest: Vec<u8>,
}

/// All that is known to be good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    known: Vec<KnownGood>,
}

impl ReferenceValues {
    /// Reads a reference-value file: `[[measurement]]` tables with `component`, `version`, `digest`
    /// (hexadecimal) and, if it is for one model only, `model`. `file` is its name in errors.
    ///
    /// # Errors
    /// Names everything that is wrong with it, with file, line and field.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        file::read(file, text, read).map(Self::from)
    }

    /// Adds those of `other`.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.known.extend(other.known);
        self
    }

    /// All entries, in the order of the files.
    #[must_use]
    pub fn known(&self) -> &[KnownGood] {
        &self.known
    }

    /// The entry that says that `measured`, on a device of `model`, is good: same component and digest, and the
    /// same version where the measurement has one.
    #[must_use]
    pub fn find(&self, model: Option<&str>, measured: &Measured) -> Option<&KnownGood> {
        self.known.iter().find(|known| {
            known.model.as_deref().is_none_or(|of| Some(of) == model)
                && known.component == measured.component
                && measured.version.as_ref().is_none_or(|version| known.version == *version)
                && known.digest == measured.digest
        })
    }
}

impl From<Vec<KnownGood>> for ReferenceValues {
    fn from(known: Vec<KnownGood>) -> Self {
        Self { known }
    }
}

/// Reads the `[[measurement]]` tables out of any file.
pub(super) fn read<'t>(top: &mut Table<'t>, problems: &mut Problems<'t>) -> Vec<KnownGood> {
    let tables = top.tables("measurement", problems, |table, problems| {
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
        Some(KnownGood { model, component: component?, version: version?, digest: digest? })
    });
    tables.unwrap_or_default()
}
