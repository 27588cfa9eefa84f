//! Where the vectors lie, and how they are written anew.

use std::fs;
use std::path::PathBuf;

use serde_json::Value as Json;

/// Files with vectors of messages, by their names without `.json`.
pub(crate) const MESSAGES: [&str; 8] = [
    "challenge-request",
    "challenge",
    "enroll-request",
    "renew-request",
    "answer",
    "trust-bundle",
    "trust-report",
    "claims",
];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name).with_extension("json")
}

pub(crate) fn load(name: &str) -> Json {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}.json: {error}"))
}

pub(crate) fn text(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The vectors of a file, each with a name to show when it fails.
pub(crate) fn vectors(name: &str) -> Vec<(String, Json)> {
    let file = load(name);
    let list = file["vectors"].as_array().unwrap();
    assert!(!list.is_empty(), "{name}.json has no vectors");
    list.iter().map(|v| (format!("{name}: {}", v["name"].as_str().unwrap()), v.clone())).collect()
}

pub(crate) fn bytes(hex_text: &Json) -> Vec<u8> {
    hex::decode(hex_text.as_str().unwrap()).unwrap()
}

/// Whether the vectors are to be written anew.
pub(crate) fn updating() -> bool {
    std::env::var_os("UPDATE_VECTORS").is_some()
}

/// Puts `values` in place of the texts behind `"key": `, in their order; leaves the rest of the file alone.
pub(crate) fn replace_texts(name: &str, key: &str, values: &[String]) {
    let mark = format!("\"{key}\": \"");
    let old = text(name);
    let mut pieces = old.split(&mark);
    let mut new = pieces.next().unwrap().to_owned();
    let mut values = values.iter();
    for piece in pieces {
        let (_, rest) = piece.split_once('"').unwrap();
        new += &format!("{mark}{}\"{rest}", values.next().unwrap());
    }
    assert!(values.next().is_none(), "{name}.json has fewer '{key}' than values");
    fs::write(path(name), new).unwrap();
}
