//! Evidence by DICE as a device sent it, with real keys and certificates: `shared/vectors/dice.json`. Made by
//! `cargo run -p tests --example make-dice`.

use std::sync::LazyLock;

use serde_json::Value as Json;
use shared::UnixTime;

/// Where the file lies.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/dice.json");

/// When the evidence was made.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from_secs(FILE["now"].as_u64().expect("dice.json: now"))
}

/// A byte string of the file.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    decode(&FILE[name], name)
}

/// The chain, the alias first.
#[must_use]
pub fn chain() -> Vec<Vec<u8>> {
    FILE["chain"].as_array().expect("dice.json: chain").iter().map(|der| decode(der, "chain")).collect()
}

fn decode(value: &Json, name: &str) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("dice.json: there is no '{name}'"));
    hex::decode(text).unwrap_or_else(|error| panic!("dice.json: {name}: {error}"))
}

static FILE: LazyLock<Json> = LazyLock::new(|| {
    let text = std::fs::read_to_string(PATH)
        .unwrap_or_else(|e| panic!("{PATH}: {e}; to make it: cargo run -p tests --example make-dice"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{PATH}: {e}"))
});
