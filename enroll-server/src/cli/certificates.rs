//! `cert`.

use serde_json::{Value, json};

use super::args::Cert;
use super::evidence;
use super::failure::Failure;
use super::output::{Output, more};
use super::read_bounded;
use crate::admin::Admin;
use crate::store::Certificate;

pub(super) async fn run(admin: Admin, command: Cert, output: &Output) -> Result<(), Failure> {
    match command {
        Cert::List { device, part } => {
            let page = admin.certificate_page(device, part.page()).await?;
            output.table(
                &page,
                &page.certificates,
                "There are no certificates.",
                ["Serial number", "Device", "State", "From", "Until"],
                |certificate| {
                    [
                        certificate.serial.to_string(),
                        certificate.device.to_string(),
                        state(certificate),
                        certificate.not_before.to_string(),
                        certificate.not_after.to_string(),
                    ]
                },
                more(page.next.as_ref()),
            );
        }
        Cert::Show { serial } => show(&admin.certificate(serial).await?, output),
        Cert::Revoke { certificate, reason } => {
            let pem = read_bounded(&certificate, MAX_CHAIN_FILE)?;
            let (peer, is_new) = admin.revoke_peer(&pem, reason).await?;
            let value = json!({
                "serial": peer.serial.to_string(),
                "subject": peer.subject,
                "until": peer.not_after.to_string(),
                "reason": reason.name(),
                "revoked_now": is_new,
            });
            output.result(&value, || {
                let words = if is_new { "is revoked" } else { "was revoked before" };
                format!("{} ({}, until {}) {words}.", peer.serial, peer.subject, peer.not_after)
            });
        }
    }
    Ok(())
}

fn show(certificate: &Certificate, output: &Output) {
    let evidence = certificate.evidence.as_ref().map(evidence::readable);
    let pem = certificate.der.as_deref().map(ca::pem::certificate);
    let mut value = serde_json::to_value(certificate).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("evidence".to_owned(), evidence.clone().unwrap_or(Value::Null));
        fields.insert("certificate".to_owned(), json!(pem));
    }
    output.result(&value, || {
        let mut text = format!(
            "Serial number: {}\nDevice:        {}\nState:         {}\nFrom:          {}\nUntil:         {}\n\
             Profile:       {}\nKey (SHA-256): {}",
            certificate.serial,
            certificate.device,
            state(certificate),
            certificate.not_before,
            certificate.not_after,
            certificate.profile.as_deref().unwrap_or("-"),
            hex::encode(certificate.key_sha256),
        );
        if let Some(evidence) = &evidence {
            let shown = serde_json::to_string_pretty(evidence).unwrap_or_default();
            text += &format!("\nEvidence:\n{shown}");
        }
        if let Some(pem) = &pem {
            text += &format!("\n{}", pem.trim_end());
        }
        text
    });
}

/// Longest file with a certificate and its CAs.
const MAX_CHAIN_FILE: usize = 64 * 1024;

fn state(certificate: &Certificate) -> String {
    match certificate.revoked {
        Some(revocation) => format!("revoked {} ({})", revocation.at, revocation.reason.name()),
        None => certificate.state.name().to_owned(),
    }
}
