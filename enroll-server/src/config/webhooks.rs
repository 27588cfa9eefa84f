//! The tables `[[webhook]]`.

use core::time::Duration;
use std::path::Path;

use super::reader::{Reader, Section, duration, text, texts};
use crate::audit::{EventKind, Severity};
use crate::outgoing::Target;
use crate::webhook::{Backoff, Filter, Webhook};

/// Most webhooks of one server: each is a task and a page of events in memory.
const MOST: usize = 16;
/// Longest name.
const MAX_NAME: usize = 40;

const SECOND: Duration = Duration::from_secs(1);
const NAME: &str = "1 to 40 small letters, digits and \"-\"";

pub(super) fn webhooks<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>, folder: &Path) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = Vec::new();
    for mut section in reader.sections(root, "webhook") {
        if webhooks.len() == MOST {
            reader.mistake(&section, "name", format!("is one too many; there can be {MOST} webhooks"));
        }
        if let Some(webhook) = one(reader, &mut section, folder) {
            if webhooks.iter().any(|other| other.name == webhook.name) {
                reader.mistake(
                    &section,
                    "name",
                    format!("{:?} is the name of another webhook", webhook.name),
                );
            }
            webhooks.push(webhook);
        }
        reader.close(section, "name, url, secret_file, kinds, severity, ca_file and timeout");
    }
    webhooks
}

fn one<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, folder: &Path) -> Option<Webhook> {
    let name = required(reader, section, "name", NAME, |found| is_name(found).then(|| found.to_owned()));
    let url = "an address such as https://hooks.example/path; http:// goes to this machine only";
    let target = required(reader, section, "url", url, |found| Target::parse(found).ok());
    let path = |found: &str| (!found.is_empty()).then(|| folder.join(found));
    let secret_file = required(reader, section, "secret_file", "a path", path);
    let kinds = reader.field(section, "kinds", |value| {
        let kind =
            |name: String| EventKind::from_name(&name).ok_or_else(|| format!("there is no kind {name:?}"));
        texts(value)?.into_iter().map(kind).collect::<Result<Vec<_>, _>>()
    });
    let severity = reader.field(section, "severity", |value| {
        text(value, "info, notice, warning or critical", Severity::from_name)
    });
    let ca_file = reader.field(section, "ca_file", |value| text(value, "a path", path));
    let timeout = reader.field(section, "timeout", |value| duration(value, SECOND, 60 * SECOND));
    Some(Webhook {
        name: name?,
        target: target?,
        secret_file: secret_file?,
        filter: Filter { kinds: kinds.unwrap_or_default(), severity },
        ca_file,
        timeout: timeout.unwrap_or(10 * SECOND),
        backoff: Backoff::default(),
    })
}

/// A field without a default.
fn required<'t, T>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    name: &str,
    expected: &str,
    check: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let mut seen = false;
    let found = reader.field(section, name, |value| {
        seen = true;
        text(value, expected, check)
    });
    if !seen {
        reader.missing(section, name, expected);
    }
    found
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain)
}
