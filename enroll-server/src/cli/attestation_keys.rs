//! `attestation-key`.

use serde_json::json;

use super::args::AttestationKey;
use super::failure::Failure;
use super::output::{Output, or_dash};
use super::read;
use crate::admin::Admin;
use crate::attestation_keys::Entry;
use crate::store::KeysAdded;

pub(super) async fn run(admin: Admin, command: AttestationKey, output: &Output) -> Result<(), Failure> {
    match command {
        AttestationKey::Add { instance_id, device, key, maker, model } => {
            let unreadable = |source| Failure::Unreadable { path: key.clone(), source };
            let bytes = std::fs::read(&key).map_err(unreadable)?;
            let spki = ca::pem::read_public_key(&bytes).unwrap_or_default();
            let found = appraisal::psa::AttestationKey::from_spki_der(&spki)
                .ok_or_else(|| Failure::NotAPublicKey { path: key.clone() })?;
            let entry = Entry { instance: instance_id, device, key: found, maker, model };
            report(&admin.add_attestation_keys(vec![entry]).await?, output);
        }
        AttestationKey::Import { file } => {
            report(&admin.import_attestation_keys(&read(&file)?).await?, output);
        }
        AttestationKey::List => output.list(
            &admin.attestation_keys().await?,
            "There are no attestation keys: add one with `enroll-server attestation-key add`.",
            ["Device", "Instance", "Maker", "Model", "Added"],
            |key| {
                [
                    key.device.to_string(),
                    hex::encode(key.instance),
                    or_dash(key.maker.as_ref()),
                    or_dash(key.model.as_ref()),
                    key.added.to_string(),
                ]
            },
        ),
        AttestationKey::Remove { instance_id } => {
            admin.remove_attestation_key(instance_id).await?;
            let instance = hex::encode(instance_id);
            output.result(&json!({ "removed": instance }), || {
                format!("The attestation key of instance {instance} is removed.")
            });
        }
    }
    Ok(())
}

fn report(report: &KeysAdded, output: &Output) {
    output.result(report, || {
        let mut text = format!("{} added, {} unchanged.", report.added, report.unchanged);
        if !report.conflicting.is_empty() {
            text += &format!(
                "\nNot changed, because the device, the instance or the key is known in another combination: {}",
                report.conflicting.join(", ")
            );
        }
        text
    });
}
