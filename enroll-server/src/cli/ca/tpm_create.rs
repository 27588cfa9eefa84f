//! `ca tpm-create`.

use ca::key::make_tpm_key;
use serde_json::json;

use super::super::args::TpmCreate;
use super::super::failure::Failure;
use super::super::output::Output;

pub(super) fn run(options: &TpmCreate, output: &Output) -> Result<(), Failure> {
    let auth_file = options.auth_file.as_deref();
    let point = make_tpm_key(&options.device, auth_file, &options.out)?;
    let value = json!({ "file": options.out, "device": options.device, "public_point": hex::encode(point) });
    output.result(&value, || {
        let auth = auth_file.map(|path| format!(", auth_file = {path:?}")).unwrap_or_default();
        format!(
            "{file} holds a key that only the TPM at {device} can use.\n\
             To issue with it, put into the table [issuing_key] of the settings:\n  \
             tpm = {{ device = {device:?}, key = {file:?}{auth} }}\n\
             and get it a certificate: enroll-server ca csr",
            file = options.out.display(),
            device = options.device.display(),
        )
    });
    Ok(())
}
