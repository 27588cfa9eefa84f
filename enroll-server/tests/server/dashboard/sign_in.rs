//! Signing in by a one-time link, and the ends of a session.

use core::time::Duration;

use enroll_server::audit::EventKind;
use enroll_server::dashboard::Role;
use enroll_server::store::{Event, EventQuery};

use super::{Browser, leads_to, link, site};
use crate::kit::Site;
use crate::kit::client::http;

async fn kinds(site: &Site) -> Vec<String> {
    let events = site.admin().find_events(EventQuery::after(0, 1_000)).await.unwrap();
    let ours = events.into_iter().filter(|event| event.kind.starts_with("dashboard-"));
    ours.map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_link_signs_in_once_and_whoever_comes_again_is_noted() {
    let site = site().await;
    let secret = link(&site, Role::Operator, Duration::from_secs(900)).await;
    let mut browser = Browser::new(&site);
    assert_eq!(leads_to(&browser.get("/").await), Some("/sign-in"));
    // Programs that look at links before people do use nothing up.
    for _ in 0..3 {
        let page = browser.get(&format!("/sign-in?link={secret}")).await;
        assert!(page.status == 200 && page.text().contains("Sign in as operator@desk"), "{page:?}");
    }
    let entered = browser.enter(&format!("link={secret}")).await;
    assert_eq!(leads_to(&entered), Some("/"));
    let cookie = entered.header("set-cookie").unwrap();
    for attribute in
        ["__host-session=", "; path=/", "; secure", "; httponly", "; samesite=strict", "; max-age="]
    {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("domain"), "{cookie}");
    let page = browser.get("/").await;
    assert!(page.status == 200 && page.text().contains("operator@desk"), "{page:?}");

    let mut thief = Browser::new(&site);
    for _ in 0..2 {
        let reply = thief.enter(&format!("link={secret}")).await;
        assert!(reply.status == 403 && thief.cookie.is_none(), "{reply:?}");
    }
    assert!(thief.get(&format!("/sign-in?link={secret}")).await.text().contains("not good any more"));
    assert_eq!(kinds(&site).await, ["dashboard-link", "dashboard-sign-in", "dashboard-link-reused"]);
    // Neither the link nor the cookie is anywhere in the database.
    let session = browser.cookie.clone().unwrap();
    let session = session.split_once('=').unwrap().1;
    for file in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = std::fs::read(site.folder.path().join("server").join(file)).unwrap();
        for text in [secret.as_str(), session] {
            let raw = hex::decode(text).unwrap();
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{file}");
            assert!(!bytes.windows(raw.len()).any(|window| window == raw), "{file}");
        }
    }
}

#[tokio::test]
async fn a_link_ends_and_what_is_none_opens_nothing() {
    let site = site().await;
    let secret = link(&site, Role::Viewer, Duration::from_secs(60)).await;
    site.later(Duration::from_secs(60));
    let mut browser = Browser::new(&site);
    for wrong in [secret.clone(), "0".repeat(64), "x".to_owned(), String::new()] {
        let reply = browser.enter(&format!("link={wrong}")).await;
        assert!(browser.cookie.is_none() && matches!(reply.status, 303 | 403), "{wrong}: {reply:?}");
        assert_ne!(leads_to(&reply), Some("/"), "{wrong}");
    }
    // Cookies that nobody gave out open nothing either.
    for cookie in ["__Host-session=", &format!("__Host-session={}", "0".repeat(64)), "session=1"] {
        browser.cookie = Some(cookie.to_owned());
        assert_eq!(leads_to(&browser.get("/devices").await), Some("/sign-in"), "{cookie}");
    }
}

#[tokio::test]
async fn whoever_comes_with_a_credential_that_is_none_is_noted_without_it() {
    let mut site = site().await;
    let (mut browser, guess) = (Browser::new(&site), "5".repeat(64));
    for _ in 0..3 {
        let headers = format!("Authorization: Bearer {guess}\r\n");
        let reply = site.tls().try_request("GET", "/admin/v1/devices", &headers, &[]).await.unwrap();
        assert_eq!(reply.status, 401);
    }
    // Who shows nothing has not tried.
    assert_eq!(site.tls().try_request("GET", "/admin/v1/devices", "", &[]).await.unwrap().status, 401);
    assert_eq!(leads_to(&browser.enter("").await), Some("/sign-in"));
    assert_eq!(browser.enter(&format!("link={guess}")).await.status, 403);
    let page = http(site.http(), "/metrics").await.text();
    assert!(page.contains("{endpoint=\"dashboard\",outcome=\"sign-in-refused\",reason=\"\"} 2\n"), "{page}");
    assert!(!page.contains("outcome=\"signed-in\""), "{page}");
    assert!(browser.get(&format!("/sign-in?link={guess}")).await.text().contains("not good any more"));
    // A server that ends writes what it has counted.
    site.stop().await;
    let kinds = vec![EventKind::AdministratorRefused];
    let query = EventQuery { kinds, ..EventQuery::after(0, 10) };
    let events = site.other_admin().find_events(query).await.unwrap();
    let [api, dashboard] = events.as_slice() else { panic!("{events:?}") };
    let says = |event: &Event, reason: &str, begin: &str| {
        event.reason.as_deref() == Some(reason)
            && event.detail.starts_with(begin)
            && event.detail.contains("; the last from 127.0.0.1:")
            && event.actor == "system"
    };
    assert!(says(api, "admin-api", "3 calls"), "{api:?}");
    assert!(says(dashboard, "dashboard", "2 attempts"), "{dashboard:?}");
    assert!(!format!("{events:?}").contains(&guess));
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_after_its_time_and_by_hand() {
    let site = site().await;
    let is_open = async |browser: &Browser| browser.get("/").await.status == 200;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);

    let idle = Browser::signed_in(&site, Role::Viewer).await;
    site.later(minutes(29));
    assert!(is_open(&idle).await);
    site.later(minutes(29));
    assert!(is_open(&idle).await, "it was used in between");
    site.later(minutes(30));
    assert!(!is_open(&idle).await, "half an hour without a request");

    let long = Browser::signed_in(&site, Role::Viewer).await;
    for _ in 0..28 {
        site.later(minutes(25));
        assert!(is_open(&long).await);
    }
    site.later(minutes(25));
    assert!(!is_open(&long).await, "twelve hours");

    let by_hand = Browser::signed_in(&site, Role::Viewer).await;
    let other = Browser::signed_in(&site, Role::Viewer).await;
    let left = by_hand.post("/sign-out", "").await;
    assert_eq!(leads_to(&left), Some("/sign-in"));
    assert!(left.header("set-cookie").unwrap().contains("max-age=0"), "{left:?}");
    assert!(!is_open(&by_hand).await && is_open(&other).await, "this one and no other");

    // As `enroll-server dashboard sign-out --all` does in another process.
    let admin = site.other_admin();
    assert_eq!(admin.store().end_sessions(None, admin.now()).await.unwrap(), 1);
    assert!(!is_open(&other).await);
    admin.close().await.unwrap();
}

#[tokio::test]
async fn sessions_outlive_a_restart() {
    let mut site = site().await;
    let browser = Browser::signed_in(&site, Role::Operator).await;
    site.start().await;
    let again = Browser { cookie: browser.cookie, token: browser.token, ..Browser::new(&site) };
    assert_eq!(again.get("/").await.status, 200);
    site.device("SN-1").await;
    assert_eq!(leads_to(&again.post("/devices/SN-1/approve", "").await), Some("/devices/sn-1?done=approved"));
}
