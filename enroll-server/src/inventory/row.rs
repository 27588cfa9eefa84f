//! What the fields of a row mean.

use serde_json::{Map, Value};
use shared::DeviceId;
use shared::limits::MAX_CLAIM_TEXT;

use crate::store::{InventoryEntry, MAX_TAGS, Sha256, Tag};

/// A column. The names of identities all mean one thing: the hash by which the device is known beyond its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Device,
    Model,
    /// With the name it has in the file.
    Identity(&'static str),
    Group,
    Tags,
    /// What an export says besides, and an import does not change.
    Ignored,
}

/// All names of columns.
const NAMES: [(&str, Column); 12] = [
    ("device", Column::Device),
    ("model", Column::Model),
    ("idevid_sha256", Column::Identity("idevid_sha256")),
    ("identity_sha256", Column::Identity("identity_sha256")),
    ("ek_sha256", Column::Identity("ek_sha256")),
    ("dice_sha256", Column::Identity("dice_sha256")),
    ("instance_id", Column::Identity("instance_id")),
    ("ueid", Column::Identity("ueid")),
    ("group", Column::Group),
    ("tags", Column::Tags),
    ("state", Column::Ignored),
    ("added", Column::Ignored),
];

/// What is wrong with a field: its column and the reason.
pub(super) type Wrong = (&'static str, String);

impl Column {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, column)| *column).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("there is no column \"{}\"; there are {}", name.escape_debug(), known.join(", "))
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Model => "model",
            Self::Identity(name) => name,
            Self::Group => "group",
            Self::Tags => "tags",
            Self::Ignored => "",
        }
    }
}

/// A row that is being read.
#[derive(Debug, Default)]
pub(super) struct Row {
    device: Option<DeviceId>,
    model: Option<String>,
    identity: Option<(&'static str, Sha256)>,
    group: Option<appraisal::GroupName>,
    tags: Vec<Tag>,
}

impl Row {
    /// Takes one field; an empty one says nothing.
    pub(super) fn field(&mut self, column: Column, text: &str) -> Result<(), Wrong> {
        let text = text.trim();
        if text.is_empty() || column == Column::Ignored {
            return Ok(());
        }
        let wrong = |reason: String| (column.name(), reason);
        match column {
            Column::Device => {
                self.device = Some(DeviceId::new(text).map_err(|error| wrong(error.to_string()))?);
            }
            Column::Model => {
                if text.len() > MAX_CLAIM_TEXT || text.contains(char::is_control) {
                    return Err(wrong(format!(
                        "expected a model of at most {MAX_CLAIM_TEXT} bytes without control characters"
                    )));
                }
                self.model = Some(text.to_owned());
            }
            Column::Identity(name) => self.identity(name, text)?,
            Column::Group => {
                self.group = Some(text.parse().map_err(|error| wrong(format!("{error}")))?);
            }
            Column::Tags => {
                let list = text.split([' ', ';', ',']).filter(|tag| !tag.is_empty());
                for tag in list {
                    self.tag(tag)?;
                }
            }
            Column::Ignored => {}
        }
        Ok(())
    }

    fn tag(&mut self, tag: &str) -> Result<(), Wrong> {
        self.tags.push(tag.parse().map_err(|error| ("tags", format!("{error}; found {tag:?}")))?);
        if self.tags.len() > MAX_TAGS {
            return Err(("tags", format!("expected at most {MAX_TAGS} tags")));
        }
        Ok(())
    }

    fn identity(&mut self, name: &'static str, text: &str) -> Result<(), Wrong> {
        // RFC 9783, section 4.2.1, and RFC 9711, section 4.2.1: the type byte of a random UEID stands before the
        // 32 bytes.
        let digits = match (name, text.len()) {
            ("instance_id" | "ueid", 66) => text.strip_prefix("01").unwrap_or(text),
            _ => text,
        };
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash)
            .map_err(|_| (name, "expected 64 hexadecimal digits, or nothing".to_owned()))?;
        match self.identity {
            Some((other, there)) if there != hash => {
                Err((name, format!("{other} says something else, and a device has one identity")))
            }
            _ => {
                self.identity = Some((name, hash));
                Ok(())
            }
        }
    }

    /// Takes a JSON object.
    pub(super) fn object(&mut self, object: &Map<String, Value>) -> Result<(), Wrong> {
        for (name, value) in object {
            let column = Column::named(name).map_err(|reason| ("", reason))?;
            match (column, value) {
                (_, Value::Null) | (Column::Ignored, _) => {}
                (_, Value::String(text)) => self.field(column, text)?,
                (Column::Tags, Value::Array(tags)) => {
                    for tag in tags {
                        self.tag(tag.as_str().ok_or_else(|| ("tags", "expected texts".to_owned()))?)?;
                    }
                }
                _ => return Err((column.name(), "expected a text".to_owned())),
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<InventoryEntry, Wrong> {
        let device = self.device.ok_or_else(|| ("device", "is missing".to_owned()))?;
        let idevid_sha256 = self.identity.map(|(_, hash)| hash);
        Ok(InventoryEntry { device, model: self.model, idevid_sha256, group: self.group, tags: self.tags })
    }
}
