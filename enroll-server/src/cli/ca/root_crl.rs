//! `ca root-crl`.

use serde_json::json;

use super::super::args::RootCrl;
use super::super::failure::Failure;
use super::super::output::Output;
use super::days;
use crate::ceremony::{ListOptions, list};
use crate::clock::{Clock as _, SystemClock};
use crate::startup::passphrase;

pub(super) fn run(options: RootCrl, output: &Output) -> Result<(), Failure> {
    let RootCrl { root, first, revoke, reason, days: valid, passphrase_file } = options;
    let options = ListOptions { root, first, revoke, reason, valid: days(valid) };
    let listed = list(&options, |key| passphrase(passphrase_file.as_deref(), key), SystemClock.now())?;
    let value = json!({
        "file": listed.file,
        "number": listed.number,
        "next_update": listed.next_update.to_string(),
        "revoked": listed.revoked,
    });
    output.result(&value, || {
        format!(
            "{file} is list {number} of the root, with {revoked} revoked, good until {next}.\n\
             Carry it to the server, into the place that files.root_crl names, or for a root that a rollover brought into \
             that rollover's folder below ca.d; it is published from there.",
            file = listed.file.display(),
            number = listed.number,
            revoked = listed.revoked,
            next = listed.next_update,
        )
    });
    Ok(())
}
