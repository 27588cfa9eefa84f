//! From the link that the command line prints to a device with its certificate, without a mouse.

use browser_tests::Browser;
use tests::harness::{Csr, HandDevice, Wishes, World, free_port};
use thirtyfour::Key;

/// Most stops of the focus that a page may have before the one that is looked for.
const STOPS: usize = 60;

/// Moves the focus on until it is on a control with this text.
async fn reach(browser: &Browser, wanted: &str) {
    let mut seen = Vec::new();
    for _ in 0..STOPS {
        browser.press(Key::Tab).await;
        let focus = "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()";
        let here = browser.ask(focus).await.as_str().unwrap_or_default().to_owned();
        // Where the focus is has to be seen.
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        let shown = browser.ask(outline).await;
        assert!(
            shown == "solid" || shown == "auto" || here.len() > 200,
            "no focus is seen on {here:?}: {shown}"
        );
        if here.starts_with(wanted) {
            return;
        }
        seen.push(here);
    }
    panic!("the focus never comes to {wanted:?}: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_device_is_approved_by_the_keyboard_alone() {
    let port = free_port();
    let (world, server) = tokio::task::block_in_place(|| {
        let world = World::new(Wishes::default());
        let waiting = "[enrollment]\nfirst = \"hold\"\n";
        std::fs::create_dir_all(world.path("server/policy.d")).unwrap();
        std::fs::write(world.path("server/policy.d/waiting.toml"), waiting).unwrap();
        let _grouped = world.server(&["device", "set-group", "waiting", &world.devices[0]]).success();
        world.configure(&[("dashboard", "listen", &format!("\"127.0.0.1:{port}\""))]);
        let server = world.serve();
        (world, server)
    });
    let name = world.devices[0].clone();
    let (device, csr) = (HandDevice::load(&world, &name), Csr::new());
    let request = tokio::task::block_in_place(|| {
        let request = device.good_request(&world, &csr);
        assert_eq!(device.enroll(&world, &request).status, 202);
        request
    });
    let link = world.server_json(&["dashboard", "link", "--role", "operator", "--name", "ada"]);
    let link = link["url"].as_str().unwrap();
    let (origin, path) = link.split_at(link.find("/sign-in").unwrap());

    let browser = Browser::start(&world.certificates("server/server.crt").remove(0), origin).await;
    browser.look(super::DESKTOP).await;
    browser.open(path).await;
    reach(&browser, "Sign in as ada").await;
    browser.press(Key::Enter).await;
    browser.sees("h1", "Overview").await;
    // The first stop leads past the navigation.
    browser.press(Key::Tab).await;
    assert_eq!(browser.ask("document.activeElement.textContent").await, "Skip to the content");
    browser.press(Key::Enter).await;
    assert_eq!(browser.ask("location.hash").await, "#main");
    browser.open("/").await;
    reach(&browser, "Approvals").await;
    browser.press(Key::Enter).await;
    browser.sees("h1", "Approvals").await;
    reach(&browser, "Approve").await;
    browser.press(Key::Enter).await;
    browser.sees("[role=status]", "Approved.").await;

    let reply = tokio::task::block_in_place(|| device.enroll(&world, &request));
    assert_eq!(reply.status, 200, "it asks again, and has its certificate: {reply:?}");
    browser.open("/audit?kind=approved").await;
    browser.sees("tbody .name", "dashboard:ada/").await;
    browser.open(&format!("/devices/{name}")).await;
    browser.sees(".head .badge", "enrolled").await;
    reach(&browser, "Suspend").await;
    browser.press(Key::Enter).await;
    browser.sees("[role=status]", "Suspended.").await;
    reach(&browser, "Sign out").await;
    browser.press(Key::Enter).await;
    browser.sees("h1", "Sign in").await;
    browser.open("/devices").await;
    browser.sees("h1", "Sign in").await;
    let problems = browser.problems().await;
    assert!(problems.is_empty(), "{problems:#?}");
    browser.quit().await;
    drop(server);
}
