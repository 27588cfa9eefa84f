//! The tables `[issuing_key]` and `[[previous_ca]]`: where the keys of the issuing CAs are.

use std::path::{Path, PathBuf};

use ca::key::{Pkcs11Uri, TpmPlace};

use super::reader::{Reader, Section, number, text, texts};
use super::{IssuingKey, PreviousCa, TpmSettings};

const FIELDS: &str = "passphrase_file, pkcs11, tpm and command";
/// Where a key may be other than in a file.
const PLACES: [&str; 3] = ["pkcs11", "tpm", "command"];
/// The kernel's resource manager.
pub(super) const DEFAULT_TPM: &str = "/dev/tpmrm0";

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
            reader.missing(&section, "key_file", "a path, or pkcs11, tpm or command in its place");
        }
        if let Some(certificate) = certificate {
            list.push(PreviousCa { certificate, key_file: key_file.unwrap_or_default(), key });
        }
        reader.close(section, &format!("certificate, key_file, {FIELDS}"));
    }
    list
}

/// Reads where a key is from a text of its own: what would stand in a table `[[previous_ca]]` besides the certificate.
/// Gives the key's file, where it is in one, and the rest.
///
/// # Errors
/// All mistakes of the text.
pub(crate) fn key_place(text: &str, folder: &Path) -> Result<(PathBuf, IssuingKey), Vec<super::Mistake>> {
    let (mut reader, mut root) = Reader::open(text);
    let key_file = reader.field(&mut root, "key_file", |value| {
        super::reader::text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))
    });
    let place = key(&mut reader, &mut root, folder);
    if key_file.is_none() && matches!(place, IssuingKey::File { .. }) {
        reader.missing(&root, "key_file", "a path, or pkcs11, tpm or command in its place");
    }
    reader.close(root, &format!("key_file, {FIELDS}"));
    let mistakes = reader.finish();
    if mistakes.is_empty() { Ok((key_file.unwrap_or_default(), place)) } else { Err(mistakes) }
}

fn key<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, folder: &Path) -> IssuingKey {
    // Two places for one key would leave open which of them signs.
    let places = section.names();
    let places: Vec<&str> =
        PLACES.into_iter().filter(|place| places.iter().any(|name| name == place)).collect();
    if let [first, second, ..] = places.as_slice() {
        reader.mistake(
            section,
            second,
            format!("expected one place for the key, found {first} and {second}"),
        );
    }
    let passphrase_file = reader.field(section, "passphrase_file", |value| {
        let found = text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)))?;
        match places.first() {
            // It would be read by nobody, and the key be less guarded than the operator thinks.
            Some(place) => Err(format!("is for a key in a file, and the key is elsewhere: {place} is set")),
            None => Ok(found),
        }
    });
    let uri = reader.field(section, "pkcs11", |value| {
        let expected = "a PKCS#11 URI (RFC 7512)";
        let found = text(value, expected, |found| Some(found.to_owned()))?;
        found.parse::<Pkcs11Uri>().map_err(|error| format!("expected {expected}: {error}"))
    });
    let tpm = if places.contains(&"tpm") { tpm(reader, section, folder) } else { None };
    let command = reader.field(section, "command", |value| {
        let command = texts(value)?;
        if command.first().is_none_or(String::is_empty) {
            return Err("expected a program and its arguments, found an empty list".to_owned());
        }
        Ok(command)
    });
    match (uri, tpm, command) {
        (Some(uri), _, _) => IssuingKey::Pkcs11(uri),
        (None, Some(tpm), _) => IssuingKey::Tpm(tpm),
        (None, None, Some(command)) => IssuingKey::Command(command),
        (None, None, None) => IssuingKey::File { passphrase_file },
    }
}

/// Reads the table `tpm` of a key.
fn tpm<'t>(reader: &mut Reader<'t>, key: &mut Section<'t>, folder: &Path) -> Option<TpmSettings> {
    let mut section = reader.section(key, "tpm");
    let path = |found: &str| (!found.is_empty()).then(|| folder.join(found));
    let device = reader.field(&mut section, "device", |value| text(value, "a path", path));
    let file = reader.field(&mut section, "key", |value| text(value, "a path", path));
    // TPM 2.0 Library, part 2, section 7.2: TPM_HT_PERSISTENT.
    let handle = reader
        .field(&mut section, "handle", |value| number(value, 0x8100_0000, 0x81ff_ffff))
        .and_then(|n| u32::try_from(n).ok());
    let auth_file = reader.field(&mut section, "auth_file", |value| text(value, "a path", path));
    let place = match (file, handle) {
        (Some(file), None) => Some(TpmPlace::File(file)),
        (None, Some(handle)) => Some(TpmPlace::Handle(handle)),
        (Some(_), Some(_)) => {
            reader.mistake(&section, "handle", "expected one of key and handle, found both".to_owned());
            None
        }
        (None, None) => {
            let expected = "a file that `enroll-server ca tpm-create` wrote, or handle in its place";
            reader.missing(&section, "key", expected);
            None
        }
    };
    reader.close(section, "device, key, handle and auth_file");
    let device = device.unwrap_or_else(|| PathBuf::from(DEFAULT_TPM));
    Some(TpmSettings { device, place: place?, auth_file })
}
