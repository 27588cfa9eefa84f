//! The tables `[issuing_key]` and `[[previous_ca]]`: where the keys of the issuing CAs are.

use std::path::{Path, PathBuf};

use ca::key::Pkcs11Uri;

use super::reader::{Reader, Section, text, texts};
use super::{IssuingKey, PreviousCa};

const FIELDS: &str = "passphrase_file, pkcs11 and command";

/// Reads the table `[issuing_key]`.
pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> IssuingKey {
    let mut section = reader.section(root, "issuing_key");
    let key = key(reader, &mut section, folder);
    reader.close(section, FIELDS);
    key
}

/// Reads the tables `[[previous_ca]]`.
pub(super) fn previous<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    folder: &Path,
) -> Vec<PreviousCa> {
    let mut list = Vec::new();
    for mut section in reader.sections(root, "previous_ca") {
        let path = |found: &str| (!found.is_empty()).then(|| folder.join(found));
        let certificate =
            reader.required(&mut section, "certificate", "a path", |value| text(value, "a path", path));
        let key_file = reader.field(&mut section, "key_file", |value| text(value, "a path", path));
        let key = key(reader, &mut section, folder);
        if key_file.is_none() && matches!(key, IssuingKey::File { .. }) {
            reader.missing(&section, "key_file", "a path, or pkcs11 or command in its place");
        }
        if let Some(certificate) = certificate {
            list.push(PreviousCa { certificate, key_file: key_file.unwrap_or_default(), key });
        }
        reader.close(section, &format!("certificate, key_file, {FIELDS}"));
    }
    list
}

fn key<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, folder: &Path) -> IssuingKey {
    let passphrase_file: Option<PathBuf> = reader.field(section, "passphrase_file", |value| {
        text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
    });
    let uri = reader.field(section, "pkcs11", |value| {
        let expected = "a PKCS#11 URI (RFC 7512)";
        let found = text(value, expected, |found| Some(found.to_owned()))?;
        found.parse::<Pkcs11Uri>().map_err(|error| format!("expected {expected}: {error}"))
    });
    let command = reader.field(section, "command", |value| {
        let command = texts(value)?;
        if command.first().is_none_or(String::is_empty) {
            return Err("expected a program and its arguments, found an empty list".to_owned());
        }
        // Two places for one key would leave open which of them signs.
        if uri.is_some() {
            return Err("expected one of pkcs11 and command, found both".to_owned());
        }
        Ok(command)
    });
    match (uri, command) {
        (Some(uri), _) => IssuingKey::Pkcs11(uri),
        (None, Some(command)) => IssuingKey::Command(command),
        (None, None) => IssuingKey::File { passphrase_file },
    }
}
