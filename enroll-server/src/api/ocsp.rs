//! OCSP over HTTP (RFC 6960, appendix A; RFC 5019, sections 5 and 6).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Response, StatusCode};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ca::ocsp::{MAX_REQUEST, Produced};
use serde_json::json;
use shared::Reject;

use super::lists::{Cached, cacheable};
use super::openapi::{Operation, Schemas, binary};
use super::public::{is_of_type, typed};
use super::{Api, Shared, read_body_of};
use crate::issuance::sha256;
use crate::ocsp::Answered;

/// The path under which GET requests begin.
const PREFIX: &str = "/ocsp/";
/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request in the body.
pub(super) async fn post(State(api): Shared, request: Request) -> Response<Body> {
    let is_request = is_of_type(request.headers(), REQUEST);
    // What is no request is answered as such: a client of OCSP understands nothing else.
    let body = match read_body_of(&api, None, request.into_body(), MAX_REQUEST).await {
        Ok(body) if is_request => body,
        _ => bytes::Bytes::new(),
    };
    respond(answer(&api, &body).await)
}

/// A request in the path: base64, with what is special in a path as %XX or not.
pub(super) async fn get(State(api): Shared, request: Request) -> Response<Body> {
    let path = request.uri().path();
    let text = path.strip_prefix(PREFIX).unwrap_or_default().trim_start_matches('/');
    let der = unescape(text).and_then(|text| BASE64.decode(text).ok()).unwrap_or_default();
    let answered = answer(&api, &der).await;
    let (keep, tag) = (answered.keep, sha256(&answered.der));
    let response = respond(answered);
    let Some(Produced { at, next_update }) = keep else { return response };
    let rule = format!(
        "max-age={}, public, no-transform, must-revalidate",
        next_update.since(api.issuance.now()).as_secs()
    );
    // RFC 5019, section 6.2: Last-Modified and Expires are thisUpdate and nextUpdate, the tag a hash of the answer.
    let tag = hex::encode(tag.get(..16).unwrap_or_default());
    cacheable(response, request.headers(), Cached { tag: &tag, rule: &rule, made: at, ends: next_update })
}

async fn answer(api: &Arc<Api>, der: &[u8]) -> Answered {
    let timer = api.metrics.time("ocsp");
    let answered = api.ocsp.answer(der).await;
    api.metrics.served("ocsp", answered.outcome);
    timer.done();
    answered
}

fn respond(answered: Answered) -> Response<Body> {
    let mut response = typed(StatusCode::OK, RESPONSE, answered.der);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn responds() -> Operation {
    let answer = "An OCSP answer; what is no request is answered as such (RFC 6960, section 2.3).";
    Operation::default().answers(StatusCode::OK, answer, RESPONSE, binary()).rejecting_as(&[Reject::TooSlow])
}

pub(super) fn about_get(_: &mut Schemas) -> Operation {
    let request = json!({ "type": "string", "examples": ["MA=="] });
    responds()
        .with_path("request", "The request: base64 of its DER; it may have slashes.", request)
        .answers_empty(StatusCode::NOT_MODIFIED, "It is the one that If-None-Match names.")
}

pub(super) fn about_post(_: &mut Schemas) -> Operation {
    let mut operation = responds();
    operation.takes(REQUEST, binary(), false);
    operation
}

const REQUEST: &str = "application/ocsp-request";
const RESPONSE: &str = "application/ocsp-response";

/// Undoes percent-encoding (RFC 3986, section 2.1); `None` where a percent sign begins nothing.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit =
                    || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit()?, digit()?);
                high << 4 | low
            }
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn percent_encoding_is_undone() {
        for (text, plain) in [
            ("MEQ+w/0=", Some(&b"MEQ+w/0="[..])),
            ("MEQ%2Bw%2f0%3D", Some(b"MEQ+w/0=")),
            ("", Some(b"")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
        ] {
            assert_eq!(unescape(text).as_deref(), plain, "{text}");
        }
    }
}
