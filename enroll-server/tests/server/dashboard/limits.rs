//! Headers of every answer, and the limits of what is taken.

use core::time::Duration;

use enroll_server::dashboard::Role;
use enroll_server::dashboard::routes::ROUTES;

use super::{Browser, site};

#[tokio::test]
async fn every_answer_tells_browsers_to_allow_nothing_from_elsewhere() {
    let site = site().await;
    site.device("SN-1").await;
    let (out, signed_in) = (Browser::new(&site), Browser::signed_in(&site, Role::Viewer).await);
    for browser in [&out, &signed_in] {
        let known = ROUTES.iter().map(|route| (route.method, route.path.replace("{device}", "SN-1")));
        let wrong = [
            ("GET", "/nowhere"),
            ("PUT", "/"),
            ("GET", "/devices/a%2fb"),
            ("POST", "/devices"),
            ("GET", "/devices?x=1"),
        ];
        let wrong = wrong.map(|(method, path)| (method, path.to_owned()));
        for (method, path) in known.chain(wrong) {
            let reply = browser.send(method, &path, "", "").await;
            let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
            let csp = header("content-security-policy");
            for part in [
                "default-src 'none'",
                "style-src 'self'",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ] {
                assert!(csp.contains(part), "{method} {path}: {csp}");
            }
            assert!(!csp.contains("script-src") && !csp.contains("unsafe"), "{csp}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{method} {path}");
            assert_eq!(header("referrer-policy"), "same-origin", "{method} {path}");
            let kept = path == "/style.css" || path == "/icon.svg";
            let cache = header("cache-control");
            assert_eq!(
                cache,
                if kept && method == "GET" { "public, max-age=31536000, immutable" } else { "no-store" },
                "{path}"
            );
            assert_eq!(reply.header("access-control-allow-origin"), None);
            let text = reply.text();
            assert!(!text.contains("<script") && !text.contains("style=\""), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_too_long_or_unknown_is_refused() {
    let site = site().await;
    let browser = Browser::signed_in(&site, Role::Admin).await;
    let long = "a".repeat(5_000);
    assert_eq!(browser.get(&format!("/devices?find={long}")).await.status, 413);
    assert_eq!(browser.post("/tokens", &format!("hours=1&device={long}")).await.status, 413);
    for path in [
        "/devices?finb=a",
        "/devices?find=a&find=b",
        "/devices?state=none",
        "/devices?after=a%2fb",
        "/devices?find=%0a%01",
        "/audit?kind=none",
        "/audit?before=-1",
        "/audit?device=%3Cb%3E",
        "/approvals?after=..",
        "/tokens?after=x",
        "/tokens?after=01-a",
    ] {
        assert_eq!(browser.get(path).await.status, 400, "{path}");
    }
    assert_eq!(browser.get(&format!("/devices?find={}", "a".repeat(65))).await.status, 400);
    let body = format!("form_token={}&hours=1", browser.token);
    let headers = format!("Content-Type: text/plain\r\n{}", browser.same_origin());
    assert_eq!(browser.send("POST", "/tokens", &headers, &body).await.status, 400, "no form");
    assert!(site.tokens().await.is_empty());
}

#[tokio::test]
async fn too_many_attempts_to_sign_in_have_to_wait() {
    let site = site().await;
    let mut browser = Browser::new(&site);
    let guess = format!("link={}", "0".repeat(64));
    let mut refused = 0;
    for _ in 0..30 {
        let reply = browser.enter(&guess).await;
        if reply.status == 429 {
            refused += 1;
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        } else {
            assert_eq!(reply.status, 403);
        }
    }
    assert!((5..=10).contains(&refused), "20 a minute are let in: {refused} of 30 were not");
    // To look at links counts too; a good one waits with the others, and is not lost.
    let good = super::link(&site, Role::Viewer, Duration::from_secs(900)).await;
    for _ in 0..10 {
        browser.get(&format!("/sign-in?link={}", "1".repeat(64))).await;
    }
    assert_eq!(browser.enter(&format!("link={good}")).await.status, 429);
    assert_eq!(browser.get("/sign-in").await.status, 200, "the page itself is free");
}
