//! Files that hold secrets, and what a secret may look like where it should not be.

use std::fs;
use std::path::{Path, PathBuf};

use super::world::World;

/// All files of a server, a lot and a device that hold something secret.
#[must_use]
pub fn files(world: &World, device: &str) -> Vec<PathBuf> {
    let mut found = vec![world.path("server/admin.token"), world.path("lot/maker/maker-ca.key")];
    for folder in ["server", &format!("lot/devices/{device}"), &format!("agents/{device}-state")] {
        for (path, content) in contents(&world.path(folder)) {
            // The log's verifier key is public.
            let named =
                path.extension().is_none_or(|e| e != "vkey") && path.to_string_lossy().contains("key");
            if named || content.windows(11).any(|w| w == b"PRIVATE KEY") {
                found.push(path);
            }
        }
    }
    found.push(world.path(&format!("agents/{device}-export/current/key.pem")));
    found.sort();
    found.dedup();
    found
}

/// Whether `log` has a secret in it, in whatever form.
#[must_use]
pub fn tells(log: &str, secret: &[u8]) -> bool {
    forms(secret).iter().any(|form| log.contains(form))
}

/// Lines that a careless program might log: the file as it is, as Rust's Debug has bytes, in hexadecimal, and what is
/// in a PEM block as bytes.
#[must_use]
pub fn leaks(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    let mut leaks = vec![format!("{content:?}"), hex::encode(content)];
    leaks.extend((!text.contains('\u{fffd}')).then(|| text.clone().into_owned()));
    if let Ok(der) = ca::pem::read_private_key(&text) {
        leaks.extend([hex::encode(&der[..]), format!("{:?}", &der[36..68])]);
    }
    leaks
}

/// What a secret may look like in a log.
#[must_use]
pub fn forms(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content).into_owned();
    let mut forms: Vec<String> = text
        .lines()
        .map(str::trim)
        // Names of PEM blocks are no secret, and short lines are no evidence.
        .filter(|line| line.len() >= 16 && !line.contains("-----"))
        .map(str::to_owned)
        .collect();
    if content.len() >= 16 {
        forms.extend(as_bytes(&content[content.len() - 16..]));
        if let Ok(der) = ca::pem::read_private_key(&text) {
            // PKCS#8 of a P-256 key: the scalar stands at byte 36.
            forms.extend(as_bytes(&der[36..52]));
        }
    }
    forms
}

/// Bytes in hexadecimal, and as Rust's Debug prints them.
fn as_bytes(bytes: &[u8]) -> [String; 2] {
    [hex::encode(bytes), format!("{bytes:?}").trim_matches(['[', ']']).to_owned()]
}

/// All files below a folder, with what is in them.
#[must_use]
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of secrets") {
        let path = entry.expect("a folder of secrets").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(path).expect("a folder of secrets")));
        }
    }
    found.sort();
    found
}
