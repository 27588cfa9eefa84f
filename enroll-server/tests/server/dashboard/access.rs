//! Who may do what: every route with no session, with each role, and with requests that other sites cause.

use enroll_server::dashboard::Role;
use enroll_server::dashboard::routes::ROUTES;

use super::{Browser, leads_to, site, waiting};
use crate::kit::Site;

const DEVICE: &str = "SN-1";

/// Everything that a request could have changed, but the sessions themselves.
async fn state(site: &Site) -> String {
    let device = site.admin().device(&DEVICE.parse().unwrap()).await.unwrap();
    let tokens = site.tokens().await;
    let held = site.admin().held(None, enroll_server::store::Page::first(9)).await.unwrap();
    format!("{device:?} {tokens:?} {held:?}")
}

fn filled(path: &str) -> String {
    path.replace("{device}", DEVICE).replace("{token}", "000000000000")
}

#[tokio::test]
async fn without_a_session_there_is_nothing_but_the_sign_in_page() {
    let site = site().await;
    waiting(&site, DEVICE).await;
    let browser = Browser::new(&site);
    let before = state(&site).await;
    for route in ROUTES.iter().filter(|route| route.role.is_some()) {
        let path = filled(route.path);
        let reply = match route.method {
            "GET" => browser.get(&path).await,
            _ => browser.post(&path, "hours=1").await,
        };
        assert_eq!(leads_to(&reply), Some("/sign-in"), "{} {path}: {reply:?}", route.method);
        assert!(reply.body.is_empty(), "{path}");
    }
    assert_eq!(state(&site).await, before);
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_no_more() {
    let site = site().await;
    waiting(&site, DEVICE).await;
    let before = state(&site).await;
    for role in Role::ALL {
        let browser = Browser::signed_in(&site, role).await;
        for route in ROUTES.iter().filter(|route| route.role.is_some()) {
            let (path, needed) = (filled(route.path), route.role.unwrap());
            if route.path == "/sign-out" || (route.method == "POST" && role >= needed) {
                // What it may change is in the tests of acting.
                continue;
            }
            if route.method == "GET" {
                assert_eq!(browser.get(&path).await.status, 200, "{role} {path}");
                continue;
            }
            let fields = match path.rsplit('/').next().unwrap() {
                "deny" => "reason=x",
                "revoke" => "reason=unspecified&confirm=SN-1",
                "retire" => "confirm=SN-1",
                "tokens" => "hours=1",
                _ => "",
            };
            let reply = browser.post(&path, fields).await;
            assert_eq!(reply.status, 403, "{role} {path}: {reply:?}");
            assert!(
                reply.text().contains(&format!("It takes the role {needed}")),
                "{role} {path}: {}",
                reply.text()
            );
        }
    }
    assert_eq!(state(&site).await, before);
}

#[tokio::test]
async fn a_form_of_another_session_or_of_another_site_changes_nothing() {
    let site = site().await;
    waiting(&site, DEVICE).await;
    let before = state(&site).await;
    let browser = Browser::signed_in(&site, Role::Admin).await;
    let other = Browser::signed_in(&site, Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.method == "POST" && route.role.is_some()) {
        let path = filled(route.path);
        let same = browser.same_origin();
        for body in [String::new(), "form_token=".to_owned(), format!("form_token={}", other.token)] {
            let reply = browser.post_as(&path, &body, &same).await;
            assert_eq!(reply.status, 403, "{path} {body}: {reply:?}");
        }
        let good = format!("form_token={}&hours=1", browser.token);
        for headers in [
            String::new(),
            "Origin: https://evil.example\r\n".to_owned(),
            "Origin: null\r\n".to_owned(),
            format!("Origin: https://{}\r\nSec-Fetch-Site: cross-site\r\n", browser.host),
            format!("Origin: https://{}\r\nSec-Fetch-Site: same-site\r\n", browser.host),
        ] {
            let reply = browser.post_as(&path, &good, &headers).await;
            assert_eq!(reply.status, 403, "{path} {headers}: {reply:?}");
        }
    }
    // Nor does a link of somebody else's that another site has a browser open.
    let link = super::link(&site, Role::Viewer, core::time::Duration::from_secs(60)).await;
    let mut victim = Browser::new(&site);
    let reply = victim.post_as("/sign-in", &format!("link={link}"), "Origin: https://evil.example\r\n").await;
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(leads_to(&victim.enter(&format!("link={link}")).await), Some("/"), "it was not used up");
    assert_eq!(state(&site).await, before);
}
