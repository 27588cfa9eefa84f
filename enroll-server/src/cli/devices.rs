//! `device`.

use serde_json::json;

use super::args::Device;
use super::failure::Failure;
use super::output::{Output, or_dash};
use super::read;
use crate::admin::Admin;
use crate::store::{Certificate, Device as Row};

pub(super) async fn run(admin: Admin, command: Device, output: &Output) -> Result<(), Failure> {
    match command {
        Device::Import { file } => import(&admin, &read(&file)?, output).await?,
        Device::List { state } => output.list(
            &admin.devices(state).await?,
            "There are no devices: import some with `enroll-server device import`.",
            ["Device", "State", "Model", "Added"],
            |device| {
                [
                    device.device.to_string(),
                    device.state.name().to_owned(),
                    or_dash(device.model.as_ref()),
                    device.added.to_string(),
                ]
            },
        ),
        Device::Show { device } => {
            let row = admin.device(&device).await?;
            let certificates = admin.certificates(Some(&device)).await?;
            show(&row, &certificates, output);
        }
        Device::Approve { device } => {
            admin.approve(&device).await?;
            output.result(&json!({ "approved": device.as_str() }), || format!("{device} is approved."));
        }
        Device::Revoke { device, reason } => {
            let certificates = admin.revoke(&device, reason).await?;
            let value = json!({ "revoked": device.as_str(), "certificates": certificates });
            output.result(&value, || format!("{device} is revoked, with {certificates} certificates."));
        }
    }
    Ok(())
}

async fn import(admin: &Admin, csv: &str, output: &Output) -> Result<(), Failure> {
    let report = admin.import_devices(csv).await?;
    output.result(&report, || {
        let mut text = format!(
            "{} added, {} completed, {} unchanged.",
            report.added, report.completed, report.unchanged
        );
        if !report.conflicting.is_empty() {
            text += &format!(
                "\nNot changed, because they are known with another key or model: {}",
                report.conflicting.join(", ")
            );
        }
        text
    });
    Ok(())
}

fn show(row: &Row, certificates: &[Certificate], output: &Output) {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("certificates".to_owned(), json!(certificates));
    }
    output.result(&value, || {
        let key = row.idevid_sha256.map(hex::encode);
        let mut text = format!(
            "Device:     {}\nState:      {}\nModel:      {}\nIDevID key: {}\nApproved:   {}\nAdded:      {}",
            row.device,
            row.state.name(),
            or_dash(row.model.as_ref()),
            or_dash(key),
            if row.approved { "yes" } else { "no" },
            row.added
        );
        for certificate in certificates {
            text += &format!(
                "\nCertificate {} {} until {}",
                certificate.serial,
                certificate.state.name(),
                certificate.not_after
            );
        }
        text
    });
}
