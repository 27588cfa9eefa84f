//! What the pages show, and that what devices and people write stays text.

use core::time::Duration;

use enroll_server::credential::TokenRequest;
use enroll_server::dashboard::Role;
use enroll_server::store::{Action, Page, Selection};
use shared::DeviceId;

use super::{Browser, site, waiting};
use crate::kit::Site;

const PAGES: [&str; 7] = ["/", "/devices", "/devices/SN-1", "/approvals", "/tokens", "/policies", "/audit"];

#[tokio::test]
async fn each_page_shows_what_the_store_has() {
    let site = site().await;
    for n in 1..=3 {
        let device = site.device(&format!("SN-{n}")).await;
        site.enroll(&device).await;
    }
    waiting(&site, "SN-9").await;
    site.admin().create_token(None, Duration::from_secs(60)).await.unwrap();
    let browser = Browser::signed_in(&site, Role::Viewer).await;
    let page = async |path: &str| {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let text = reply.text();
        for landmark in [
            "<html lang=\"en\"",
            "<header",
            "<nav aria-label=",
            "<main id=\"main\"",
            "class=\"skip\" href=\"#main\"",
            "<h1",
        ] {
            assert_eq!(text.matches(landmark).count(), 1, "{path}: {landmark}");
        }
        assert_eq!(
            text.matches("<table").count(),
            text.matches("<caption").count(),
            "{path}: each has a caption"
        );
        text
    };
    for path in PAGES {
        page(path).await;
    }
    let overview = page("/").await;
    assert!(overview.contains("<span class=\"count\">3</span>"), "{overview}");
    assert!(overview.contains("Certificates issued in the last 24 hours: 3"), "{overview}");
    assert!(overview.contains("3</b> later"), "they live for months: {overview}");
    let list = page("/devices?state=enrolled").await;
    assert!(list.contains("SN-3") && !list.contains("SN-9"), "{list}");
    let serial =
        site.admin().certificates(Some(&"SN-2".parse().unwrap())).await.unwrap()[0].serial.to_string();
    let beginning: String = serial.chars().take(12).collect();
    let found = page(&format!("/devices?find={beginning}")).await;
    assert!(found.contains("SN-2") && !found.contains("SN-1"), "{found}");
    let device = page("/devices/SN-1").await;
    for text in [
        "idevid-eat",
        "Rules that were looked at",
        "What the evidence says",
        serial_of(&site, "SN-1").await.as_str(),
    ] {
        assert!(device.contains(text), "{text}: {device}");
    }
    assert!(!device.contains("<form method=\"post\" action=\"/devices"), "a viewer has no forms");
    let queue = page("/approvals").await;
    assert!(queue.contains("SN-9") && queue.contains("Example Maker"), "{queue}");
    assert!(page("/policies").await.contains("There is no candidate."));
    assert!(page("/audit?severity=warning").await.contains("held"));
}

#[tokio::test]
async fn tokens_are_shown_page_by_page() {
    let site = site().await;
    let lifetime = Duration::from_secs(60);
    let wanted = TokenRequest { device: None, group: None, lifetime, short: false };
    site.admin().create_tokens(&wanted, 250).await.unwrap();
    let browser = Browser::signed_in(&site, Role::Viewer).await;
    let (mut path, mut shown) = ("/tokens".to_owned(), Vec::new());
    for rows in [100, 100, 50] {
        let text = browser.get(&path).await.text();
        let names = text.split("<th scope=\"row\"><code>").skip(1);
        let names: Vec<String> = names.map(|row| row.split('<').next().unwrap().to_owned()).collect();
        assert_eq!(names.len(), rows, "{path}: {text}");
        assert_eq!(text.contains("From the beginning"), path != "/tokens", "{path}");
        shown.extend(names);
        let next = text.split_once("\" rel=\"next\"").map(|(before, _)| before.rsplit('"').next().unwrap());
        assert_eq!(next.is_some(), shown.len() < 250, "{path}");
        path = next.unwrap_or_default().to_owned();
    }
    let all: Vec<String> = site.tokens().await.into_iter().map(|token| token.id).collect();
    assert_eq!(shown, all);
}

async fn serial_of(site: &Site, device: &str) -> String {
    let device = DeviceId::new(device).unwrap();
    site.admin().certificates(Some(&device)).await.unwrap()[0].serial.to_string()
}

#[tokio::test]
async fn long_lists_are_read_page_by_page() {
    let site = site().await;
    let lines: String = (0..120).map(|n| format!("SN-{n:04},m,\n")).collect();
    site.admin().import_devices(&format!("device,model,idevid_sha256\n{lines}")).await.unwrap();
    let browser = Browser::signed_in(&site, Role::Viewer).await;
    let (mut path, mut seen, mut pages) = ("/devices?find=SN-".to_owned(), 0, 0);
    loop {
        let text = browser.get(&path).await.text();
        seen += text.matches("class=\"device\"").count();
        pages += 1;
        let Some((before, _)) = text.split_once("\" rel=\"next\"") else { break };
        path = before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&");
    }
    assert_eq!((seen, pages), (120, 3));
    // The trail, too: each row once.
    for n in 0..60 {
        site.admin().create_token(None, Duration::from_secs(60 + n)).await.unwrap();
    }
    let (mut path, mut rows) = ("/audit?kind=token-created".to_owned(), 0);
    loop {
        let text = browser.get(&path).await.text();
        rows += text.matches(" scope=\"row\"").count();
        let Some((before, _)) = text.split_once("\" rel=\"next\"") else { break };
        path = before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&");
    }
    assert_eq!(rows, 60);
}

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;";

#[tokio::test]
async fn what_others_write_stays_text() {
    let site = site().await;
    // A model that says markup, in the way that it comes in.
    let quoted = HOSTILE.replace('"', "\"\"");
    let csv = format!("device,model,idevid_sha256\nSN-1,\"{quoted}\",\n");
    site.admin().import_devices(&csv).await.unwrap();
    waiting(&site, "SN-2").await;
    let one = || Selection::One("SN-2".parse().unwrap());
    site.admin().act(one(), Action::Deny(HOSTILE.to_owned()), Page::first(1)).await.unwrap();
    let browser = Browser::signed_in(&site, Role::Admin).await;
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let short: String =
        HOSTILE.chars().take(25).collect::<String>().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut shown = 0;
    for path in PAGES.map(str::to_owned).into_iter().chain([
        "/devices/SN-2".to_owned(),
        format!("/devices?find={short}"),
        format!("/audit?device={short}"),
        format!("/tokens?done={short}"),
        format!("/{encoded}"),
        format!("/devices/{encoded}"),
        format!("/sign-in?link={encoded}"),
        format!("/devices?{encoded}=1"),
    ]) {
        let text = browser.get(&path).await.text();
        assert!(!text.contains("<script") && !text.contains("<img"), "{path}: {text}");
        shown += text.matches("&lt;script&gt;").count();
    }
    assert!(shown >= 4, "it is shown as text: {shown}");
    let reply = browser.post("/devices/SN-2/approve", &format!("request={short}")).await;
    assert!(!reply.text().contains("<script"), "{}", reply.text());
}
