//! Certificates that are no device's, revoked by showing them over the admin API.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ca::Serial;
use ca::crl::Reason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::UnixTime;

use super::Api;
use super::call::{Code, Maybe, Refusal, Sent};
use crate::written::Text;

/// A certificate to be revoked that is no device's: a broker's, a server's, or this server's own at brokers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RevokeCertificate")]
pub(super) struct Shown {
    /// The certificate: PEM, of several the first, or base64 of the DER.
    certificate: String,
    /// Why; `unspecified` where nothing is said.
    #[serde(default)]
    reason: Maybe<Text<Reason>>,
}

/// A certificate was revoked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RevokedCertificate")]
pub(super) struct Revoked {
    /// Its serial number.
    #[serde(with = "Text::<Serial>")]
    serial: Serial,
    /// Whose it is.
    subject: String,
    /// Its last second.
    #[serde(with = "Text::<UnixTime>")]
    until: UnixTime,
    /// Whether it was not revoked before; else the first time and its reason stay.
    revoked_now: bool,
}

/// Begins what is PEM.
const PEM: &str = "-----BEGIN";

pub(super) async fn revoke(api: Arc<Api>, Sent(shown): Sent<Shown>) -> Result<Revoked, Refusal> {
    let reason = shown.reason.value().unwrap_or(Reason::Unspecified);
    let text = shown.certificate.trim();
    let (peer, revoked_now) = if text.contains(PEM) {
        api.admin.revoke_peer(text.as_bytes(), reason).await?
    } else {
        let unreadable = |_| {
            let problem = "certificate: expected a certificate in PEM, or base64 of one in DER";
            Refusal::new(Code::BadRequest, problem)
        };
        let der = STANDARD.decode(text).map_err(unreadable)?;
        api.admin.revoke_peer_der(&der, reason).await?
    };
    Ok(Revoked { serial: peer.serial, subject: peer.subject, until: peer.not_after, revoked_now })
}
