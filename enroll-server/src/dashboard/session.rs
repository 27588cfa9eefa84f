//! Who is signed in: the cookie, the session behind it, and its end.
//!
//! Sessions are in the database, so that any server on it knows them. The cookie is the browser's only proof; a session
//! that a client certificate opened needs that certificate too, and has the role that the settings say today.

use core::time::Duration;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use shared::UnixTime;

use super::secret::FormToken;
use super::{Client, Dashboard, Refusal, Role, Secret};
use crate::config::Administrator;
use crate::store::{Session, Sha256};

/// `__Host-`: over TLS, for this host alone and all of its paths (RFC 6265bis, section 4.1.3.2).
const COOKIE_NAME: &str = "__Host-session";
/// How exactly it is written down when a session was used last.
const TOUCH: Duration = Duration::from_secs(60);

/// Someone who is signed in. Made for a request with a session that is open, and by nothing else.
#[derive(Debug)]
pub(super) struct SignedIn {
    id: String,
    label: String,
    role: Role,
    form_token: FormToken,
}

impl SignedIn {
    /// The session's public name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Who it is.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// What they may do.
    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// What the forms of this session carry.
    pub(super) const fn form_token(&self) -> &FormToken {
        &self.form_token
    }
}

impl FromRequestParts<Arc<Dashboard>> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, Refusal> {
        let secret = cookie(&parts.headers).ok_or(Refusal::NotSignedIn)?;
        let client = parts.extensions.get::<Client>().copied().unwrap_or_default();
        let (now, sha256) = (dashboard.clock.now(), secret.sha256());
        let store = dashboard.access.sessions();
        let session = store.session(sha256, now).await?.ok_or(Refusal::NotSignedIn)?;
        let (label, role) =
            whose(&session, dashboard, client.certificate(now), now).ok_or(Refusal::NotSignedIn)?;
        if now.since(session.seen) >= TOUCH {
            store.touch_session(sha256, now).await?;
        }
        Ok(Self { id: session.id, label, role, form_token: secret.form_token() })
    }
}

/// Whose session it is; `None` where it is not open any more.
fn whose(
    session: &Session,
    dashboard: &Dashboard,
    shown: Option<Sha256>,
    now: UnixTime,
) -> Option<(String, Role)> {
    if now >= session.expires || now >= session.seen.after(dashboard.settings.idle) {
        return None;
    }
    let Some(certificate) = session.certificate else { return Some((session.label.clone(), session.role)) };
    // The certificate has to be there still: in the connection, in force, and in the settings.
    let of_settings = dashboard.administrator(shown.filter(|shown| *shown == certificate)?)?;
    Some((of_settings.name.clone(), of_settings.role))
}

impl Dashboard {
    /// Who has the certificate with this hash, by the settings.
    pub(super) fn administrator(&self, sha256: Sha256) -> Option<&Administrator> {
        self.settings.administrators.iter().find(|administrator| administrator.sha256 == sha256)
    }

    /// The `Set-Cookie` of a new session.
    pub(super) fn cookie_of(&self, secret: &Secret) -> Option<HeaderValue> {
        let longest = self.settings.longest.as_secs();
        let text = format!(
            "{COOKIE_NAME}={}; Path=/; Max-Age={longest}; Secure; HttpOnly; SameSite=Strict",
            secret.expose()
        );
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The `Set-Cookie` that ends one.
pub(super) const NO_COOKIE: HeaderValue =
    HeaderValue::from_static("__Host-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");

/// The session's secret in the cookies of a request. Where there are several, somebody tries something: none counts.
fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    let only = found.next()?;
    if found.next().is_some() { None } else { Secret::read(only) }
}

#[cfg(test)]
mod tests {
    use super::{COOKIE, HeaderMap, HeaderValue, cookie};

    #[test]
    fn one_cookie_of_the_right_form_counts() {
        let of = |lines: &[String]| {
            let value = |line: &String| (COOKIE, HeaderValue::from_str(line).unwrap());
            let headers: HeaderMap = lines.iter().map(value).collect();
            cookie(&headers).map(|secret| secret.expose().to_owned())
        };
        let good = format!("__Host-session={}", "a1".repeat(32));
        assert_eq!(of(&[format!("x=1; {good}; y=2")]), Some("a1".repeat(32)));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[format!("{good}; {good}")]), None);
        assert_eq!(of(&[good.clone(), good.clone()]), None);
        assert_eq!(of(&["__Host-session=short".to_owned()]), None);
        assert_eq!(of(&[good.replace("__Host-", "")]), None);
        assert_eq!(of(&[good.replace("__Host-session=", "__Host-session2=")]), None);
    }
}
