//! The table `[issuing_key]`: where the issuing CA's key is.

use std::path::Path;

use ca::key::Pkcs11Uri;

use super::IssuingKey;
use super::reader::{Reader, Section, text, texts};

/// Reads the table.
pub(super) fn read<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> IssuingKey {
    let mut section = reader.section(root, "issuing_key");
    let passphrase_file = reader.field(&mut section, "passphrase_file", |value| {
        text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
    });
    let uri = reader.field(&mut section, "pkcs11", |value| {
        let expected = "a PKCS#11 URI (RFC 7512)";
        let found = text(value, expected, |found| Some(found.to_owned()))?;
        found.parse::<Pkcs11Uri>().map_err(|error| format!("expected {expected}: {error}"))
    });
    let command = reader.field(&mut section, "command", |value| {
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
    reader.close(section, "passphrase_file, pkcs11 and command");
    match (uri, command) {
        (Some(uri), _) => IssuingKey::Pkcs11(uri),
        (None, Some(command)) => IssuingKey::Command(command),
        (None, None) => IssuingKey::File { passphrase_file },
    }
}
