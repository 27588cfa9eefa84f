//! The audit trail as operators see it: over the admin API, at the command line, as it happens.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use enroll_server::store::EventQuery;
use serde_json::Value;
use shared::{Reject, endpoint};

use crate::kit::client::Reply;
use crate::kit::device::Operational;
use crate::kit::{Site, assert_refused};

async fn ask(site: &Site, method: &str, path: &str) -> Reply {
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    site.tls().try_request(method, path, &headers, &[]).await.unwrap()
}

async fn page(site: &Site, query: &str) -> Value {
    let reply = ask(site, "GET", &format!("/admin/v1/events{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    serde_json::from_slice(&reply.body).unwrap()
}

fn program(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
    command.arg("--config").arg(site.folder.path().join("server/enroll-server.toml")).args(arguments);
    command.env_remove("RUST_LOG").env_remove("ENROLL_SERVER_CONFIG").stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_trail_is_read_page_by_page_and_nothing_is_missed_or_seen_twice() {
    let site = Site::new().await;
    for n in 0..7 {
        site.device(&format!("SN-{n}")).await;
    }
    assert_eq!(ask(&site, "POST", "/admin/v1/devices/SN-3/approve").await.status, 200);
    let all = site.admin().find_events(EventQuery::after(0, 100)).await.unwrap();
    let (mut numbers, mut next) = (Vec::new(), 0);
    loop {
        let page = page(&site, &format!("?after={next}&limit=3")).await;
        let events = page["events"].as_array().unwrap().clone();
        numbers.extend(events.iter().map(|event| event["number"].as_u64().unwrap()));
        next = page["next"].as_u64().unwrap();
        if events.is_empty() {
            break;
        }
    }
    assert_eq!(numbers, all.iter().map(|event| event.number).collect::<Vec<_>>());
    let approved = page(&site, "?kind=approved,held&device=SN-3&severity=notice").await;
    assert_eq!(approved["events"].as_array().unwrap().len(), 1);
    assert_eq!(approved["events"][0]["actor"], "admin-api:admin-token");
    assert_eq!(page(&site, "?device=SN-4&kind=approved").await["events"], Value::Array(vec![]));
    for bad in ["?limit=0", "?limit=1001", "?kind=x", "?device=S/1", "?severity=9", "?sort=up", "?after=-1"] {
        let reply = ask(&site, "GET", &format!("/admin/v1/events{bad}")).await;
        assert_eq!(reply.status, 400, "{bad}: {reply:?}");
    }
}

#[tokio::test]
async fn the_command_line_names_the_operator_and_follows_what_happens() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let mut follow = program(&site, &["event", "follow", "--device", "SN-1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    // It follows from now on: what comes before its first look is not shown, so something comes until it is seen.
    let first = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    let line = loop {
        assert!(program(&site, &["device", "approve", "SN-1"]).status().unwrap().success());
        if first.is_finished() {
            break first.await.unwrap();
        }
        tokio::time::sleep(core::time::Duration::from_millis(100)).await;
    };
    follow.kill().unwrap();
    follow.wait().unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["kind"], &event["device"]), (&"approved".into(), &"SN-1".into()));
    let actor = event["actor"].as_str().unwrap();
    assert!(actor.starts_with("operator:") && actor.contains('@'), "{actor}");

    site.enroll(&device).await;
    let list = program(&site, &["event", "list", "--kind", "issued", "--since", "1h"]).output().unwrap();
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(text.contains("issued") && text.contains("device") && !text.contains("approved"), "{text}");
    let kinds = program(&site, &["event", "kinds", "--json"]).output().unwrap();
    let kinds: Value = serde_json::from_slice(&kinds.stdout).unwrap();
    assert!(kinds.as_array().unwrap().iter().any(|kind| kind["kind"] == "clone-suspected"));
}

#[tokio::test]
async fn a_device_that_is_refused_again_and_again_is_an_event_and_a_stranger_is_none() {
    let mut site = Site::new().await;
    let mut device = site.device("SN-1").await;
    device.digest = [0xcc; 32];
    let stranger = site.maker.device("STRANGER");
    for _ in 0..7 {
        assert_refused(&site.try_enroll(&device).await.0, Reject::FirmwareUnknown);
        assert_refused(&site.try_enroll(&stranger).await.0, Reject::NotInInventory);
        let body = device.enroll([7; 32], &Operational::new().csr);
        assert_refused(&site.tls().post(endpoint::ENROLL, &body).await, Reject::UnknownNonce);
    }
    site.stop().await;
    let events = site.other_admin().events(100).await.unwrap();
    let repeated: Vec<_> = events.iter().filter(|event| event.kind == "repeated-refusals").collect();
    let [event] = repeated.as_slice() else { panic!("{repeated:?}") };
    assert_eq!((event.device.as_deref(), event.severity.as_str()), (Some("SN-1"), "warning"));
    assert_eq!(event.reason.as_deref(), Some("firmware-unknown"));
    assert_eq!(event.detail, "5 requests in its name within 3600 s; the last: firmware-unknown");
}
