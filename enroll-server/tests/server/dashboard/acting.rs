//! What operators and administrators do, and that the audit trail says who did it.

use enroll_server::audit::EventKind;
use enroll_server::dashboard::Role;
use enroll_server::store::{DeviceState, EventQuery, Page, Selection};

use super::{Browser, leads_to, site, waiting};
use crate::kit::Site;

/// Sends a form, and checks the event that it leaves.
async fn does(site: &Site, browser: &Browser, path: &str, fields: &str, kind: EventKind) {
    let newest = site.admin().events(1).await.unwrap()[0].number;
    let reply = browser.post(path, fields).await;
    assert!(matches!(reply.status, 200 | 303), "{path}: {}", reply.text());
    let events = site.admin().find_events(EventQuery::after(newest, 20)).await.unwrap();
    let found: Vec<_> = events.iter().filter(|event| event.kind == kind.name()).collect();
    let [event] = found.as_slice() else { panic!("{path}: {events:?}") };
    assert!(event.actor.starts_with("dashboard:admin@desk/"), "{path}: {event:?}");
    assert!(event.source.as_deref().unwrap().starts_with("127.0.0.1:"), "{path}: {event:?}");
    assert_eq!(event.action.as_deref(), Some(format!("POST {path}").as_str()));
}

async fn state_of(site: &Site, device: &str) -> DeviceState {
    site.admin().device(&device.parse().unwrap()).await.unwrap().state
}

#[tokio::test]
async fn every_action_is_done_and_has_its_author() {
    let site = site().await;
    for name in ["SN-1", "SN-2"] {
        waiting(&site, name).await;
    }
    for name in ["SN-3", "SN-4"] {
        let device = site.device(name).await;
        site.enroll(&device).await;
    }
    let browser = Browser::signed_in(&site, Role::Admin).await;
    let queue = browser.get("/approvals").await.text();
    assert!(queue.contains("SN-1") && queue.contains("SN-2"), "{queue}");

    does(&site, &browser, "/devices/SN-1/approve", "from=queue", EventKind::Approved).await;
    assert!(site.admin().device(&"SN-1".parse().unwrap()).await.unwrap().approved);
    does(&site, &browser, "/devices/SN-2/deny", "reason=not+ours", EventKind::Denied).await;
    let denied = site.admin().device(&"SN-2".parse().unwrap()).await.unwrap();
    assert_eq!(denied.denied.as_deref(), Some("not ours"));
    does(&site, &browser, "/devices/SN-3/suspend", "", EventKind::DeviceStateChanged).await;
    assert_eq!(state_of(&site, "SN-3").await, DeviceState::Suspended);
    does(&site, &browser, "/devices/SN-3/resume", "", EventKind::DeviceStateChanged).await;
    does(&site, &browser, "/devices/SN-3/renew", "", EventKind::RenewalWanted).await;
    let fields = "reason=key-compromise&confirm=SN-3";
    does(&site, &browser, "/devices/SN-3/revoke", fields, EventKind::Revoked).await;
    assert_eq!(state_of(&site, "SN-3").await, DeviceState::Revoked);
    does(&site, &browser, "/devices/SN-4/retire", "confirm=SN-4", EventKind::DeviceStateChanged).await;
    assert_eq!(state_of(&site, "SN-4").await, DeviceState::Retired);
}

#[tokio::test]
async fn what_cannot_be_taken_back_has_to_be_confirmed_and_what_is_illegal_is_said() {
    let site = site().await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    let browser = Browser::signed_in(&site, Role::Admin).await;
    for fields in ["reason=unspecified", "reason=unspecified&confirm=SN-2", "reason=because&confirm=SN-1"] {
        let reply = browser.post("/devices/SN-1/revoke", fields).await;
        assert_eq!(reply.status, 400, "{fields}: {reply:?}");
    }
    let hold = browser.post("/devices/SN-1/revoke", "reason=certificate-hold&confirm=SN-1").await;
    assert!(hold.status == 400 && hold.text().contains("suspend the device instead"), "{}", hold.text());
    assert_eq!(browser.post("/devices/SN-1/retire", "").await.status, 400);
    let resume = browser.post("/devices/SN-1/resume", "").await;
    assert!(resume.status == 409 && resume.text().contains("cannot be resumed"), "{}", resume.text());
    assert_eq!(browser.post("/devices/SN-9/suspend", "").await.status, 404);
    assert_eq!(state_of(&site, "SN-1").await, DeviceState::Enrolled);
}

#[tokio::test]
async fn a_decision_is_about_the_request_that_was_looked_at() {
    let site = site().await;
    waiting(&site, "SN-1").await;
    let browser = Browser::signed_in(&site, Role::Operator).await;
    let one = || Some(Selection::One("SN-1".parse().unwrap()));
    let seen = site.admin().held(one(), Page::first(1)).await.unwrap().requests[0].serial;
    // What was looked at is not what waits now.
    for action in ["approve", "deny"] {
        let why = if action == "deny" { "&reason=x" } else { "" };
        let fields = format!("request={}{why}", "6b".repeat(16));
        let reply = browser.post(&format!("/devices/SN-1/{action}"), &fields).await;
        assert!(
            reply.status == 409 && reply.text().contains("look at the queue again"),
            "{action}: {}",
            reply.text()
        );
    }
    let still = site.admin().held(one(), Page::first(1)).await.unwrap().requests.remove(0);
    assert!(!still.approved && still.serial == seen);
    let reply = browser.post("/devices/SN-1/approve", &format!("request={seen}&from=queue")).await;
    assert_eq!(leads_to(&reply), Some("/approvals?done=approved"));
    assert!(site.admin().held(one(), Page::first(1)).await.unwrap().requests[0].approved);
}

#[tokio::test]
async fn a_token_is_shown_once_and_can_be_withdrawn() {
    let site = site().await;
    let browser = Browser::signed_in(&site, Role::Admin).await;
    let fields = "device=SN-7&group=waiting&hours=2&short=yes";
    does(&site, &browser, "/tokens", "hours=1", EventKind::TokenCreated).await;
    let page = browser.post("/tokens", fields).await.text();
    let text = page.split_once("<pre class=\"secret\"").unwrap().1;
    let text = text.split_once("<code>").unwrap().1.split('<').next().unwrap();
    assert_eq!(text.len(), 19, "four times four and dashes: {text}");
    let token = site.tokens().await.into_iter().find(|token| token.device.is_some()).unwrap();
    assert_eq!(token.group.as_ref().unwrap().as_str(), "waiting");
    for path in ["/tokens", "/audit", "/"] {
        assert!(!browser.get(path).await.text().contains(text), "{path}");
    }
    let path = format!("/tokens/{}/withdraw", token.id);
    does(&site, &browser, &path, "", EventKind::TokenRevoked).await;
    assert!(browser.get("/tokens?done=withdrawn").await.text().contains("Nobody enrolls with it any more."));
    for wrong in ["", "hours=0", "hours=8761", "hours=1&device=a/b", "hours=1&group=../x", "hours=x"] {
        assert_eq!(browser.post("/tokens", wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(browser.post("/tokens/ffffffffffff/withdraw", "").await.status, 404);
}
