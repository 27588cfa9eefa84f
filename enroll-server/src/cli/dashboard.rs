//! `dashboard`.

use core::net::IpAddr;
use core::time::Duration;

use serde_json::json;

use super::args::Dashboard;
use super::failure::Failure;
use super::output::{Output, or_dash};
use crate::admin::{Admin, not_found};
use crate::audit::Actor;
use crate::config::{self, Config};
use crate::dashboard::{Role, Secret};
use crate::store::Link;

pub(super) async fn run(
    admin: Admin,
    command: Dashboard,
    config: Config,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        Dashboard::Link { role, lifetime, name } => {
            // A link that nobody answers would be a riddle.
            let settings = config.dashboard.ok_or(Failure::DashboardIsOff)?;
            link(&admin, (role, lifetime, name), &settings, output).await
        }
        Dashboard::Sessions => sessions(&admin, output).await,
        Dashboard::SignOut { id, all: _ } => sign_out(&admin, id, output).await,
    }
}

async fn link(
    admin: &Admin,
    (role, lifetime, name): (Role, Duration, Option<String>),
    settings: &config::Dashboard,
    output: &Output,
) -> Result<(), Failure> {
    let (secret, now) = (Secret::new()?, admin.now());
    let label = name.unwrap_or_else(myself);
    let (sha256, expires) = (secret.sha256(), now.after(lifetime));
    let link = Link { sha256, label: label.clone(), role, created: now, expires, used: false };
    admin.store().add_link(link, now).await?;
    let url = format!("{}/sign-in?link={}", origin(settings), secret.expose());
    let value = json!({ "url": url, "label": label, "role": role.name(), "expires": expires.to_string() });
    output.result(&value, || {
        format!("{url}\nThis link signs {label} in as {role}, once, until {expires}. It is not shown again.")
    });
    Ok(())
}

/// Who runs this, as the trail names them.
fn myself() -> String {
    match Actor::this_operator() {
        Actor::Operator(name) => name.chars().take(64).collect(),
        other => other.to_string(),
    }
}

/// Where browsers find the dashboard, as far as the settings tell.
fn origin(settings: &config::Dashboard) -> String {
    if let Some(url) = &settings.url {
        return url.clone();
    }
    let (address, port) = (settings.listen.ip(), settings.listen.port());
    let host = match address {
        address if address.is_unspecified() => {
            rustix::system::uname().nodename().to_string_lossy().to_lowercase()
        }
        // The certificate of the server has this name.
        address if address.is_loopback() => "localhost".to_owned(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    format!("https://{host}:{port}")
}

async fn sessions(admin: &Admin, output: &Output) -> Result<(), Failure> {
    output.list(
        &admin.store().sessions(admin.now()).await?,
        "Nobody is signed in.",
        ["Session", "Who", "Role", "Certificate", "Since", "Last seen", "Ends"],
        |session| {
            [
                session.id.clone(),
                session.label.clone(),
                session.role.to_string(),
                or_dash(
                    session.certificate.map(|hash| hex::encode(hash).chars().take(16).collect::<String>()),
                ),
                session.created.to_string(),
                session.seen.to_string(),
                session.expires.to_string(),
            ]
        },
    );
    Ok(())
}

async fn sign_out(admin: &Admin, id: Option<String>, output: &Output) -> Result<(), Failure> {
    let ended = admin.store().end_sessions(id.clone(), admin.now()).await?;
    if let (Some(id), 0) = (id, ended) {
        return Err(not_found("session", id).into());
    }
    output.result(&json!({ "ended": ended }), || format!("Ended: {ended} sessions and unused links."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{config, origin};
    use core::time::Duration;

    #[test]
    fn a_link_leads_where_browsers_find_it() {
        let settings = |listen: &str, url: Option<&str>| config::Dashboard {
            listen: listen.parse().unwrap(),
            url: url.map(str::to_owned),
            idle: Duration::from_secs(1),
            longest: Duration::from_secs(1),
            administrators: vec![],
        };
        let of = |listen: &str, url: Option<&str>| origin(&settings(listen, url));
        assert_eq!(of("127.0.0.1:8445", None), "https://localhost:8445");
        assert_eq!(of("[::1]:8445", None), "https://localhost:8445");
        assert_eq!(of("192.0.2.1:8445", None), "https://192.0.2.1:8445");
        assert_eq!(of("[2001:db8::1]:8445", None), "https://[2001:db8::1]:8445");
        assert_eq!(of("0.0.0.0:8445", Some("https://a.example")), "https://a.example");
        assert!(of("0.0.0.0:8445", None).ends_with(":8445"));
    }
}
