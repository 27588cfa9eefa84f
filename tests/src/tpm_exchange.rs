//! What one TPM (swtpm) said in one enrollment: `shared/vectors/tpm2.json`. Made by
//! `UPDATE_TPM_VECTORS=1 cargo test -p tests --test tpm_appraisal`.

use std::sync::LazyLock;

use serde_json::Value as Json;
use shared::UnixTime;

/// Where the file lies.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/tpm2.json");

/// When it was recorded.
///
/// # Panics
/// Where the file is not there.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from_secs(FILE["now"].as_u64().expect("tpm2.json: now"))
}

/// A byte string of the file.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    let text = FILE[name].as_str().unwrap_or_else(|| panic!("tpm2.json: there is no '{name}'"));
    hex::decode(text).unwrap_or_else(|error| panic!("tpm2.json: {name}: {error}"))
}

static FILE: LazyLock<Json> = LazyLock::new(|| {
    let text = std::fs::read_to_string(PATH).unwrap_or_else(|error| panic!("{PATH}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{PATH}: {error}"))
});
