//! `ca csr`.

use serde_json::json;

use super::super::args::{Csr, Global};
use super::super::failure::Failure;
use super::super::output::Output;
use super::read_out;
use crate::ceremony::{RequestOptions, fingerprint, request};
use crate::config::{Config, IssuingKey};
use crate::startup::{new_passphrase, passphrase};

pub(super) fn run(global: &Global, options: Csr, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let file = match &config.issuing_key {
        IssuingKey::File { passphrase_file } => passphrase_file.clone(),
        _ => None,
    };
    let options =
        RequestOptions { out: options.out, public_key: options.public_key, encrypt: options.encrypt_key };
    let made = request(
        &config,
        &options,
        |key| passphrase(file.as_deref(), key),
        |key| new_passphrase(file.as_deref(), key),
    )?;
    let print = fingerprint(&made.key);
    let value = json!({ "request": made.file, "key_sha256_fingerprint": print, "key_made": made.made });
    output.result(&value, || {
        format!(
            "{file} is the request of the issuing CA; its key {key}.\n\
             The key's fingerprint (SHA-256 of its SubjectPublicKeyInfo), to be compared there:\n{print}\
             Carry the request to the machine of the root, and there:\n  \
             enroll-server ca sign --root FOLDER {name}",
            file = made.file.display(),
            key = if made.made { "was made now" } else { "was there" },
            print = read_out(&print),
            name = made.file.file_name().unwrap_or_default().display(),
        )
    });
    Ok(())
}
