//! The dashboard from outside, by a browser that can misbehave.

mod access;
mod acting;
mod certificates;
mod limits;
mod pages;
mod sign_in;

use core::net::SocketAddr;
use core::time::Duration;

use enroll_server::config::{Administrator, Config, Dashboard};
use enroll_server::dashboard::{Role, Secret};
use enroll_server::store::{Label, Link, Page, Selection};

use crate::kit::Site;
use crate::kit::client::{Identity, Reply, Tls, exchange};

/// A site with a dashboard, and the name under which browsers reach it.
async fn site_with(administrators: Vec<Administrator>) -> Site {
    Site::with(|config| {
        config.dashboard = Some(settings(administrators));
        hold(config);
    })
    .await
}

async fn site() -> Site {
    site_with(vec![]).await
}

pub(crate) fn settings(administrators: Vec<Administrator>) -> Dashboard {
    Dashboard {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        url: None,
        idle: Duration::from_secs(1_800),
        longest: Duration::from_secs(43_200),
        administrators,
    }
}

/// The group `waiting`, whose first enrollments are held.
fn hold(config: &Config) {
    let waiting = "[enrollment]\nfirst = \"hold\"\n";
    std::fs::write(config.files.policy_groups.join("waiting.toml"), waiting).unwrap();
}

/// Makes a link as the command line does, and gives its secret.
async fn link(site: &Site, role: Role, lifetime: Duration) -> String {
    let (secret, now) = (Secret::new().unwrap(), site.admin().now());
    let link = Link {
        sha256: secret.sha256(),
        label: format!("{role}@desk"),
        role,
        created: now,
        expires: now.after(lifetime),
        used: false,
    };
    site.admin().store().add_link(link, now).await.unwrap();
    secret.expose().to_owned()
}

/// A device whose request waits.
async fn waiting(site: &Site, name: &str) {
    let device = site.device(name).await;
    let group = Label::Group("waiting".parse().unwrap());
    site.admin().label(Selection::One(device.id.clone()), group, Page::first(1)).await.unwrap();
    let (reply, _) = site.try_enroll(&device).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

/// One browser: what it is signed in with, and the token of its forms.
pub(crate) struct Browser {
    tls: Tls,
    host: String,
    pub(crate) cookie: Option<String>,
    pub(crate) token: String,
}

impl Browser {
    pub(crate) fn new(site: &Site) -> Self {
        let address = site.server().bound().dashboard.unwrap();
        let host = format!("localhost:{}", address.port());
        Self { tls: Tls::new(address, &site.root()), host, cookie: None, token: String::new() }
    }

    pub(crate) fn with_identity(self, identity: &Identity) -> Self {
        Self { tls: self.tls.identity(identity), ..self }
    }

    /// With the cookie of another one, and the token of its forms.
    pub(crate) fn with_session_of(self, other: &Self) -> Self {
        Self { cookie: other.cookie.clone(), token: other.token.clone(), ..self }
    }

    /// Signed in by a link of this role.
    pub(crate) async fn signed_in(site: &Site, role: Role) -> Self {
        let mut browser = Self::new(site);
        let link = link(site, role, Duration::from_secs(900)).await;
        let reply = browser.enter(&format!("link={link}")).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        browser.learn_token().await;
        browser
    }

    /// Sends the form of the sign-in page, and keeps the cookie.
    async fn enter(&mut self, body: &str) -> Reply {
        let reply = self.post_as("/sign-in", body, &self.same_origin()).await;
        if let Some(cookie) = reply.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(|pair| pair.replacen("__host", "__Host", 1));
        }
        reply
    }

    /// Takes the token out of a form of this session.
    async fn learn_token(&mut self) {
        let page = self.get("/").await;
        assert_eq!(page.status, 200, "{page:?}");
        let text = page.text();
        let (_, rest) = text.split_once("name=\"form_token\" value=\"").unwrap();
        self.token = rest.split('"').next().unwrap().to_owned();
    }

    pub(crate) fn same_origin(&self) -> String {
        format!("Origin: https://{}\r\nSec-Fetch-Site: same-origin\r\n", self.host)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "").await
    }

    /// As a page of the dashboard sends it, with the session's token.
    async fn post(&self, path: &str, fields: &str) -> Reply {
        let body = format!("form_token={}&{fields}", self.token);
        self.post_as(path, body.trim_end_matches('&'), &self.same_origin()).await
    }

    async fn post_as(&self, path: &str, body: &str, headers: &str) -> Reply {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.send("POST", path, &headers, body).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let cookie = self.cookie.as_ref().map_or_else(String::new, |pair| format!("Cookie: {pair}\r\n"));
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{cookie}{length}{headers}\r\n",
            self.host
        );
        exchange(self.tls.connect().await.unwrap(), &[head.as_bytes(), body.as_bytes()].concat())
            .await
            .unwrap()
    }
}

/// Where a reply leads.
pub(crate) fn leads_to(reply: &Reply) -> Option<&str> {
    reply.header("location").filter(|_| reply.status == 303)
}
