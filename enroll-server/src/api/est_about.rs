//! What the description of the API says of EST (RFC 7030).

use axum::http::StatusCode;
use serde_json::json;

use super::est::{CA_CERTIFICATES, CERTIFICATE, CSR_ATTRIBUTES, NONCE, PKCS10, PLAIN};
use super::openapi::{Operation, Schemas};
use crate::written::Text;

fn about(schemas: &mut Schemas, description: &str, media_type: &str) -> Operation {
    let label = schemas.of_request::<Text<appraisal::GroupName>>();
    Operation::default()
        .with_path("label", "The group that the request is for.", label)
        .answers(
            StatusCode::OK,
            description,
            media_type,
            json!({ "type": "string", "contentEncoding": "base64" }),
        )
        .rejecting_over_est()
}

pub(super) fn about_cacerts(schemas: &mut Schemas) -> Operation {
    about(schemas, "The CA certificates, in base64 (RFC 7030, section 4.1.3).", CA_CERTIFICATES)
}

pub(super) fn about_csrattrs(schemas: &mut Schemas) -> Operation {
    about(schemas, "What a CSR is to have, in base64 (RFC 7030, section 4.5.2).", CSR_ATTRIBUTES)
}

pub(super) fn about_nonce(schemas: &mut Schemas) -> Operation {
    let body = json!({
        "type": "object",
        "required": ["nonce", "expiry"],
        "properties": {
            "nonce": { "type": "string", "description": "In base64url without padding." },
            "expiry": { "type": "integer", "minimum": 0, "description": "Seconds for which it is good." },
        },
    });
    about(schemas, "", NONCE).answers(StatusCode::OK, "A nonce for evidence in a CSR.", NONCE, body)
}

/// Of `simpleenroll` and `simplereenroll` alike.
pub(super) fn about_enroll(schemas: &mut Schemas) -> Operation {
    let text = json!({ "type": "string" });
    about(schemas, "The certificate, in base64 (RFC 7030, section 4.2.3).", CERTIFICATE)
        .taking(PKCS10, json!({ "type": "string", "contentEncoding": "base64" }))
        .answers(StatusCode::ACCEPTED, "An operator has to approve the device; ask again later.", PLAIN, text)
        .with_header(StatusCode::ACCEPTED, "Retry-After", "Seconds.")
}
