//! A form that was sent: read within limits, and checked to be one that this session was given.

use core::net::SocketAddr;
use core::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::fields::{Fields, MAX_FORM};
use super::session::SignedIn;
use super::{Dashboard, Refusal, origin};
use crate::api::PeerAddress;
use crate::audit::Caller;

/// The hidden field with the session's token.
pub(super) const TOKEN: &str = "form_token";
/// The media type of forms (WHATWG HTML, section 4.10.21.7).
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// A form that a page of this address sent, within this session. Nothing else makes one, and what changes something
/// asks for one.
#[derive(Debug)]
pub(super) struct Checked {
    fields: Fields,
    peer: Option<SocketAddr>,
    path: String,
}

impl Checked {
    /// Reads and checks.
    pub(super) async fn read(
        dashboard: &Dashboard,
        who: &SignedIn,
        request: Request,
        known: &[&str],
    ) -> Result<Self, Refusal> {
        origin::check(request.headers())?;
        let peer = peer(&request);
        let path = request.uri().path().to_owned();
        let body = body(request, dashboard.deadline).await?;
        let fields = Fields::parse(&body, &[known, &[TOKEN]].concat())?;
        if !fields.get(TOKEN).is_some_and(|given| who.form_token().is(given)) {
            return Err(Refusal::NotThisSession);
        }
        Ok(Self { fields, peer, path })
    }

    /// What was filled in.
    pub(super) const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Who sent it, for the audit trail.
    pub(super) fn caller(&self, who: &SignedIn) -> Caller {
        Caller::of_dashboard(who.label(), who.id(), self.peer, "POST", &self.path)
    }
}

/// Where a request came from.
pub(super) fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<PeerAddress>().map(|peer| peer.0)
}

/// The body of a form.
pub(super) async fn body(request: Request, deadline: Duration) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some(MEDIA_TYPE) {
        return Err(Refusal::Malformed("this is no form".to_owned()));
    }
    let body = Limited::new(request.into_body(), MAX_FORM);
    match tokio::time::timeout(deadline, body.collect()).await.map_err(|_| Refusal::TooSlow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::Malformed("the form broke off".to_owned())),
    }
}
