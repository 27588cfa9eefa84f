//! Revocation lists over HTTP (RFC 5280, section 4.2.1.13; RFC 2585).
//!
//! Caches may keep them, and have to ask whether there is a newer one: most answers are then a few bytes.

use core::time::Duration;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG, EXPIRES, IF_NONE_MATCH, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;
use shared::{Reject, UnixTime};

use super::Shared;
use super::error::Problem;
use super::openapi::{Operation, Schemas, binary};
use super::public::typed;
use crate::issuance::sha256;
use crate::revocation::List;

/// RFC 2585, section 4.2.
const PKIX_CRL: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";
/// A list may change at any moment.
const ASK: &str = "public, no-cache";

/// The complete list of the CA that issues, in DER.
pub(super) async fn der(State(api): Shared, headers: HeaderMap) -> Response<Body> {
    let out = Arc::clone(&api.revocations.borrow());
    if out.number == 0 {
        return api.refuse("crl", None, &Problem::NoCrl);
    }
    let response = typed(StatusCode::OK, PKIX_CRL, out.der.clone());
    let (tag, made, ends) = (format!("{}-{}", out.issuer, out.number), out.this_update, out.next_update);
    cacheable(response, &headers, Cached { tag: &tag, rule: ASK, made, ends })
}

/// The complete lists of all CAs, in PEM.
pub(super) async fn pem(State(api): Shared) -> Response<Body> {
    let out = Arc::clone(&api.revocations.borrow());
    if out.number == 0 {
        return api.refuse("crl", None, &Problem::NoCrl);
    }
    typed(StatusCode::OK, PEM, out.pem.clone())
}

/// The list of the root above the CA that issues, in DER.
pub(super) async fn root(State(api): Shared, headers: HeaderMap) -> Response<Body> {
    let out = Arc::clone(&api.revocations.borrow());
    let Some(root) = &out.roots.first else { return api.refuse("crl", None, &Problem::NoSuchEndpoint) };
    let response = typed(StatusCode::OK, PKIX_CRL, root.der.clone());
    // Another root's list has the same number, perhaps, and is as short.
    let tag = hex::encode(sha256(&root.der));
    let (made, ends) = (root.list.this_update(), root.list.next_update());
    cacheable(response, &headers, Cached { tag: &tag, rule: ASK, made, ends })
}

/// One list by its CA and its number, as in `7.crl`; 0 is the complete one.
pub(super) async fn one(
    State(api): Shared,
    Path((issuer, list)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    let out = Arc::clone(&api.revocations.borrow());
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| number.to_string() == text);
    let named = number(&issuer).zip(list.strip_suffix(".crl").and_then(number));
    let Some(list) = named.and_then(|(issuer, partition)| out.list(issuer, partition)) else {
        // A list that is about to be made: it is there in a moment, and no verifier may take it for empty.
        let problem = if out.missing > 0 { Problem::NoCrl } else { Problem::NoSuchEndpoint };
        return api.refuse("crl", None, &problem);
    };
    let List { number, this_update, next_update, der, .. } = &**list;
    let response = typed(StatusCode::OK, PKIX_CRL, der.clone());
    let (tag, made, ends) = (number.to_string(), *this_update, *next_update);
    cacheable(response, &headers, Cached { tag: &tag, rule: ASK, made, ends })
}

/// Refusals of what is public.
pub(super) const PUBLIC: &[Reject] = &[Reject::TooSlow, Reject::TooManyRequests];

fn list(media_type: &str, refusals: &[Reject]) -> Operation {
    Operation::default()
        .answers(StatusCode::OK, "The list.", media_type, binary())
        .rejecting_as(PUBLIC)
        .rejecting_as(refusals)
}

/// Of lists whose answers caches keep.
fn cached(refusals: &[Reject]) -> Operation {
    list(PKIX_CRL, refusals)
        .answers_empty(StatusCode::NOT_MODIFIED, "It is the one that If-None-Match names.")
}

pub(super) fn about_root(_: &mut Schemas) -> Operation {
    cached(&[Reject::NoSuchEndpoint])
}

pub(super) fn about_der(_: &mut Schemas) -> Operation {
    cached(&[Reject::Unavailable])
}

pub(super) fn about_pem(_: &mut Schemas) -> Operation {
    list(PEM, &[Reject::Unavailable])
}

pub(super) fn about_one(_: &mut Schemas) -> Operation {
    let number = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "examples": [1] });
    let name = json!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,9})\\.crl$", "examples": ["0.crl"] });
    cached(&[Reject::NoSuchEndpoint, Reject::Unavailable])
        .with_path("issuer", "Number of the issuing CA.", number)
        .with_path("list", "Number of the list; 0 is the complete one.", name)
}

/// What caches are told.
pub(super) struct Cached<'a> {
    /// Names this very content, of all that was ever under the address.
    pub(super) tag: &'a str,
    /// Value of Cache-Control.
    pub(super) rule: &'a str,
    /// When it was made.
    pub(super) made: UnixTime,
    /// When it runs out.
    pub(super) ends: UnixTime,
}

/// Adds what caches want to know; nothing but that where the client has this very thing.
pub(super) fn cacheable(
    mut response: Response<Body>,
    request: &HeaderMap,
    cached: Cached<'_>,
) -> Response<Body> {
    let Cached { rule, made, ends, .. } = cached;
    let tag = format!("\"{}\"", cached.tag);
    let has = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default();
        tags.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    };
    if request.get_all(IF_NONE_MATCH).iter().any(has) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
    }
    let headers = response.headers_mut();
    let dates = [(LAST_MODIFIED, http_date(made)), (EXPIRES, http_date(ends))];
    for (name, value) in [(ETAG, tag), (CACHE_CONTROL, rule.to_owned())].into_iter().chain(dates) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// A date as HTTP writes it; no later than the year 9999, after which there is no form.
fn http_date(at: UnixTime) -> String {
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at.as_secs().min(LAST)))
}
