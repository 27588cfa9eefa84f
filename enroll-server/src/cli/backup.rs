//! `backup`: the database, copied while servers use it.

use serde_json::json;

use super::args::{Backup, Global};
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::store::copy_database;

pub(super) fn run(global: &Global, options: &Backup, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    if config.postgres.is_some() {
        return Err(Failure::NotSqlite);
    }
    let copied = copy_database(&config.files.store, &options.out)?;
    let sha256 = hex::encode(copied.sha256);
    let value = json!({ "file": options.out, "bytes": copied.bytes, "sha256": sha256 });
    output.result(&value, || {
        format!("{}: {} bytes, whole.\nSHA-256: {sha256}", options.out.display(), copied.bytes)
    });
    Ok(())
}
