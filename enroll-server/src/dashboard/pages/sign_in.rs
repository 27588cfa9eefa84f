//! Signing in, by a one-time link or by client certificate, and signing out.
//!
//! To open a link only shows a button: programs that look at links before people do use nothing up.

use core::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::{Answer, query};
use crate::admission::Source;
use crate::audit::Caller;
use crate::dashboard::access::{self, Anyone};
use crate::dashboard::fields::Fields;
use crate::dashboard::form::{self, Checked};
use crate::dashboard::secret::public_name;
use crate::dashboard::session::{NO_COOKIE, SignedIn};
use crate::dashboard::{Client, Dashboard, Refusal, Secret, Shared, layout, origin};
use crate::store::{Link, NewSession, Redeemed};

/// The field with the secret of a link.
const LINK: &str = "link";
const TITLE: &str = "Sign in";

/// The page that a link leads to, and whoever is not signed in.
pub(in crate::dashboard) async fn show(
    State(dashboard): Shared,
    Extension(client): Extension<Client>,
    address: Uri,
    peer: Option<Extension<crate::api::PeerAddress>>,
) -> Answer {
    let fields = query(&address, &[LINK])?;
    let content = match fields.get(LINK) {
        Some(text) => {
            let peer = peer.map(|peer| peer.0.0);
            dashboard.attempt(peer)?;
            match dashboard.link(text, peer).await? {
                Some((secret, link)) if !link.used => offer(&link, &secret),
                _ => dead_link(),
            }
        }
        None => {
            let now = dashboard.clock.now();
            let known = client.certificate(now).and_then(|shown| dashboard.administrator(shown));
            html! {
                h1 { (TITLE) }
                @if let Some(known) = known {
                    p { "Your browser shows the certificate of " b { (known.name) } ", who has the role " b { (known.role) } "." }
                    form method="post" action="/sign-in" { button { "Sign in as " (known.name) } }
                }
                (how(known.is_none()))
            }
        }
    };
    Ok(layout::outside(TITLE, &content))
}

fn offer(link: &Link, secret: &Secret) -> Markup {
    html! {
        h1 { (TITLE) }
        p { "This link is for " b { (link.label) } ", with the role " b { (link.role) } ". It works once." }
        form method="post" action="/sign-in" {
            input type="hidden" name=(LINK) value=(secret.expose());
            button { "Sign in as " (link.label) }
        }
    }
}

fn dead_link() -> Markup {
    html! {
        h1 { "This link is not good any more" }
        p { "It was used, it has ended, or it never was. If you did not use it yourself, tell whoever made it." }
        (how(true))
    }
}

fn how(alone: bool) -> Markup {
    html! {
        @if alone { p { "To sign in you need a one-time link. Whoever runs the server makes it:" } }
        @else { p { "Or by a one-time link, which whoever runs the server makes:" } }
        pre { code { "enroll-server dashboard link --role viewer --for 15m" } }
        p.far { "Roles are viewer, operator and admin. Client certificates are named in the settings." }
    }
}

/// Opens a session, by the link in the form or else by the client certificate.
pub(in crate::dashboard) async fn enter(
    State(dashboard): Shared,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Refusal> {
    let peer = form::peer(&request);
    let entered = entered(&dashboard, client, peer, request).await;
    dashboard.access.count(if matches!(entered, Ok(Some(_))) { "signed-in" } else { "sign-in-refused" });
    let Some(secret) = entered? else {
        let page = layout::outside("This link is not good any more", &dead_link());
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    };
    let cookie = dashboard.cookie_of(&secret).ok_or(Refusal::Random)?;
    let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("/")), (SET_COOKIE, cookie)]);
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// The secret of the new session; `None` where the link is not good.
async fn entered(
    dashboard: &Arc<Dashboard>,
    client: Client,
    peer: Option<SocketAddr>,
    request: Request,
) -> Result<Option<Secret>, Refusal> {
    dashboard.attempt(peer)?;
    origin::check(request.headers())?;
    let fields = Fields::parse(&form::body(request, dashboard.deadline).await?, &[LINK])?;
    let (secret, id) = (Secret::new()?, public_name()?);
    let now = dashboard.clock.now();
    let new = NewSession { sha256: secret.sha256(), id: id.clone(), lifetime: dashboard.settings.longest };
    let caller = |label: &str| Caller::of_dashboard(label, &id, peer, "POST", "/sign-in");
    let Some(text) = fields.get(LINK) else {
        let shown = client.certificate(now).ok_or(Refusal::NotSignedIn)?;
        let known = dashboard.administrator(shown).ok_or_else(|| {
            dashboard.access.guessed(peer);
            Refusal::NotSignedIn
        })?;
        let store = dashboard.access.sessions_as(caller(&known.name));
        store.open_session(access::session_of(known, new, now), now).await?;
        return Ok(Some(secret));
    };
    let Some((_, link)) = dashboard.link(text, peer).await? else { return Ok(None) };
    let store = dashboard.access.sessions_as(caller(&link.label));
    match store.redeem_link(link.sha256, new, now).await? {
        Redeemed::Opened(_) => Ok(Some(secret)),
        Redeemed::UsedBefore | Redeemed::Unknown => Ok(None),
    }
}

/// Ends the session.
pub(in crate::dashboard) async fn leave(
    State(dashboard): Shared,
    who: SignedIn,
    request: Request,
) -> Result<Response, Refusal> {
    let form = Checked::read(&dashboard, &who, request, &[]).await?;
    dashboard.access.acting::<Anyone>(&who, &form)?.sign_out().await?;
    let headers = [(LOCATION, HeaderValue::from_static("/sign-in")), (SET_COOKIE, NO_COOKIE)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

impl Dashboard {
    /// Counts an attempt to sign in.
    fn attempt(&self, peer: Option<SocketAddr>) -> Result<(), Refusal> {
        let Some(peer) = peer else { return Ok(()) };
        self.sign_ins.attempt(Source::from(peer.ip()), self.begun.elapsed()).map_err(Refusal::TooMany)
    }

    /// The link with this secret. One that there is not is counted as a guess.
    async fn link(&self, text: &str, peer: Option<SocketAddr>) -> Result<Option<(Secret, Link)>, Refusal> {
        let found = match Secret::read(text) {
            Some(secret) => {
                let link = self.access.sessions().link(secret.sha256(), self.clock.now()).await?;
                link.map(|link| (secret, link))
            }
            None => None,
        };
        if found.is_none() {
            self.access.guessed(peer);
        }
        Ok(found)
    }
}
