//! One enrollment and one renewal as they went over the wire, with real keys and certificates:
//! `shared/vectors/exchange.json`. Made by `cargo run -p tests --example make-exchange`.

use std::sync::LazyLock;

use serde_json::Value as Json;
use shared::UnixTime;

/// Where the file lies.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/exchange.json");

/// When the recorded enrollment took place.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from_secs(FILE["now"].as_u64().expect("exchange.json: now"))
}

/// A text of the file.
#[must_use]
pub fn text(name: &str) -> &'static str {
    FILE[name].as_str().unwrap_or_else(|| panic!("exchange.json: there is no '{name}'"))
}

/// A byte string of the file.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    hex::decode(text(name)).unwrap_or_else(|error| panic!("exchange.json: {name}: {error}"))
}

static FILE: LazyLock<Json> = LazyLock::new(|| {
    let text = std::fs::read_to_string(PATH)
        .unwrap_or_else(|e| panic!("{PATH}: {e}; to make it: cargo run -p tests --example make-exchange"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{PATH}: {e}"))
});
