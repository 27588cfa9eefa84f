//! `key`.

use core::time::Duration;
use std::path::Path;

use appraisal::derive;
use serde_json::json;
use shared::keytext::{KeyText, LENGTH, Scope};
use shared::{DeviceId, UnixTime};
use zeroize::Zeroizing;

use super::args::{Global, Key};
use super::failure::Failure;
use super::output::{Output, more, or_dash};
use super::{with_admin, with_config};
use crate::admin::Admin;
use crate::clock::{Clock as _, SystemClock};
use crate::credential::{KeyFor, KeyRequest, WrappingKey};
use crate::files;
use crate::store::{Credential, CredentialKind, CredentialPage};

const KINDS: &[CredentialKind] = &[CredentialKind::DeviceKey, CredentialKind::GroupKey];

pub(super) fn run(global: &Global, command: Key, output: &Output) -> Result<(), Failure> {
    match command {
        Key::Derive { group_key, device, out } => make_derived(&group_key, &device, out.as_deref(), output),
        Key::Create { device, group, enroll_group, expires_days, quota, out } => {
            // One of the two is there: clap has seen to it.
            let Some(key_for) = device.map(KeyFor::Device).or_else(|| group.map(KeyFor::Group)) else {
                return Ok(());
            };
            let lifetime = expires_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let request = KeyRequest { key_for, enroll_group, lifetime, quota };
            with_config(global, async |admin, config| {
                let wrapping = admin.wrapping_key(&config.files.credential_key).await?;
                create(&admin, request, &wrapping, out.as_deref(), output).await
            })
        }
        Key::List(part) => with_admin(global, async |admin| {
            list(&admin.credentials(KINDS, part.page()).await?, output);
            Ok(())
        }),
        Key::Revoke { id } => with_admin(global, async |admin| {
            admin.revoke_credential(&id, KINDS).await?;
            output.result(&json!({ "revoked": id }), || format!("Key {id} is revoked."));
            Ok(())
        }),
    }
}

async fn create(
    admin: &Admin,
    request: KeyRequest,
    wrapping: &WrappingKey,
    out: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let made = admin.make_key(request, wrapping)?;
    let credential = &made.credential;
    let of = match credential.kind {
        CredentialKind::GroupKey => format!("the key {} of group {}", credential.id, credential.name),
        _ => format!("the key {} of device {}", credential.id, credential.name),
    };
    // Whoever is to have it holds it first: a key that nobody could write down would override the group's for nothing.
    if let Some(path) = out {
        write(&made.text, path)?;
    }
    // Where the store fails it may have kept the key all the same: the file stays.
    admin.add_key(&made).await?;
    show(&made.text, out, serde_json::to_value(credential).unwrap_or_default(), &of, output);
    Ok(())
}

fn make_derived(file: &Path, device: &DeviceId, out: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let text = files::read_secret(file)?;
    let group = KeyText::parse(&text).ok().filter(|key| key.scope() == Scope::Group);
    let group = group.ok_or_else(|| Failure::NotAKey { path: file.to_owned(), what: "key of a group" })?;
    let key = KeyText::new(Scope::Device, *group.kid(), *derive(group.key(), device));
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    text.extend(key.characters());
    if let Some(path) = out {
        write(&text, path)?;
    }
    let what = format!("the key of {device}, derived from its group's");
    show(&text, out, json!({ "device": device.as_str() }), &what, output);
    Ok(())
}

fn write(text: &str, path: &Path) -> Result<(), Failure> {
    let line = Zeroizing::new(format!("{text}\n"));
    let unwritable = |source| Failure::Unwritable { path: path.to_owned(), source };
    files::create_whole(path, line.as_bytes(), 0o600).map_err(unwritable)
}

/// Shows a key, or the file that holds it.
fn show(text: &str, out: Option<&Path>, mut value: serde_json::Value, what: &str, output: &Output) {
    if let Some(fields) = value.as_object_mut() {
        match out {
            Some(path) => fields.insert("file".to_owned(), json!(path)),
            None => fields.insert("key".to_owned(), json!(text)),
        };
    }
    output.result(&value, || match out {
        Some(path) => format!("{} holds {what}.", path.display()),
        None => format!("{text}\nThis is {what}. It is not shown again."),
    });
}

fn list(page: &CredentialPage, output: &Output) {
    let now = SystemClock.now();
    output.table(
        &json!({ "keys": page.credentials, "next": page.next.as_ref().map(ToString::to_string) }),
        &page.credentials,
        "There are no keys.",
        ["Key", "For", "Group", "State", "Devices", "Created", "Expires"],
        |key| {
            let of = match key.kind {
                CredentialKind::GroupKey => format!("group {}", key.name),
                _ => format!("device {}", key.name),
            };
            [
                key.id.clone(),
                of,
                or_dash(key.group.as_ref()),
                state(key, now).to_owned(),
                used(key),
                key.created.to_string(),
                or_dash(key.expires),
            ]
        },
        more(page.next.as_ref()),
    );
}

/// How a credential stands, in a word.
pub(super) fn state(credential: &Credential, now: UnixTime) -> &'static str {
    match credential {
        Credential { revoked: Some(_), .. } => "revoked",
        Credential { expires: Some(end), .. } if now > *end => "expired",
        Credential { quota: Some(quota), used, .. } if used >= quota => "used up",
        _ => "good",
    }
}

/// How many devices it has brought in, and how many it may.
pub(super) fn used(credential: &Credential) -> String {
    match credential.quota {
        Some(quota) => format!("{} of {quota}", credential.used),
        None => credential.used.to_string(),
    }
}
