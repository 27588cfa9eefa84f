//! The dashboard in Chromium: every page by the eyes of a machine, and one path by the keyboard alone.
//!
//! `UPDATE_SCREENSHOTS=1 cargo test -p browser-tests` writes the pictures in docs/dashboard anew.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod checks;
mod keyboard;
mod pictures;

use browser_tests::{Browser, Scene, View};
use enroll_server::dashboard::Role;

/// As a desktop shows it, and as the smallest telephone.
const DESKTOP: View = View { width: 1200, dark: false };
const TELEPHONE: View = View { width: 360, dark: false };

/// The pages that the navigation leads to.
const PAGES: [&str; 6] = ["/", "/devices", "/approvals", "/tokens", "/policies", "/audit"];

/// A browser that is signed in to a scene.
async fn signed_in(scene: &Scene, role: Role) -> Browser {
    let browser = Browser::start(&scene.certificate(), &scene.origin).await;
    browser.look(DESKTOP).await;
    browser.open(&scene.link(role).await).await;
    click(&browser, "main button").await;
    browser.sees("h1", "Overview").await;
    browser
}

async fn click(browser: &Browser, selector: &str) {
    browser.page.find(thirtyfour::By::Css(selector)).await.unwrap().click().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_by_everyone() {
    let scene = Scene::new().await;
    let browser = signed_in(&scene, Role::Admin).await;
    let device = format!("/devices/{}", scene.world.devices[0]);
    for path in PAGES.into_iter().chain([device.as_str(), "/nowhere", "/devices?state=held&find=SN"]) {
        for view in [DESKTOP, View { dark: true, ..DESKTOP }, TELEPHONE, View { dark: true, ..TELEPHONE }] {
            browser.look(view).await;
            browser.open(path).await;
            checks::page(&browser, path, view).await;
        }
    }
    browser.open("/").await;
    let bars = browser.ask("document.querySelectorAll('svg rect').length").await.as_u64().unwrap();
    assert!(bars > 20, "a day of enrollments, and ends on many days: {bars} bars");
    let told = browser.problems().await;
    // The page that is not there says so with its status, which the console repeats.
    let problems: Vec<_> = told.iter().filter(|problem| !problem.contains("/nowhere")).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
        pictures::write(&browser, &scene).await;
    }
    checks::find_their_plants(&browser).await;
    browser.quit().await;
    scene.stop().await;
}
