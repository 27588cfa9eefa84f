//! The pages, one a file. Each reads, and writes HTML; what changes something is in [`super::access`].

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod device;
pub(super) mod devices;
pub(super) mod explained;
pub(super) mod overview;
pub(super) mod policies;
pub(super) mod sign_in;
pub(super) mod tokens;

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use maud::Markup;

use super::Refusal;
use super::fields::Fields;

/// What a page answers with.
type Answer = Result<Markup, Refusal>;

/// The field by which a page says what the form before it did: a name from a fixed set, never a text.
const DONE: &str = "done";

/// Leads to a page, after a form that did something.
fn to(path: &str, done: &str) -> Response {
    let address = super::parts::address(path, &[(DONE, Some(done))]);
    let Ok(location) = HeaderValue::from_str(&address) else { return Refusal::NoSuchPage.into_response() };
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// The query of a page's address.
fn query(address: &Uri, known: &[&str]) -> Result<Fields, Refusal> {
    Fields::of_query(address.query(), known)
}

/// The sentence for what was done, of those that a page has.
fn told(fields: &Fields, sentences: &[(&str, &'static str)]) -> Option<&'static str> {
    let done = fields.get(DONE)?;
    sentences.iter().find(|(name, _)| *name == done).map(|(_, sentence)| *sentence)
}
