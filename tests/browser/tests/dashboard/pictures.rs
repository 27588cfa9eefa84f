//! The pictures in docs/dashboard.

use std::fs;
use std::path::Path;

use browser_tests::{Browser, Scene, View};

use super::{DESKTOP, TELEPHONE};

/// Highest picture.
const MOST: u64 = 1_150;

pub(crate) async fn write(browser: &Browser, scene: &Scene) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dashboard");
    fs::create_dir_all(&folder).unwrap();
    let dark = View { dark: true, ..DESKTOP };
    let device = format!("/devices/{}", scene.world.devices[0]);
    for (name, path, view) in [
        ("overview", "/", DESKTOP),
        ("overview-dark", "/", dark),
        ("overview-narrow", "/", TELEPHONE),
        ("devices", "/devices?find=SN&group=field", DESKTOP),
        ("device", device.as_str(), DESKTOP),
        ("device-dark-narrow", device.as_str(), View { dark: true, ..TELEPHONE }),
        ("approvals", "/approvals", DESKTOP),
        ("tokens", "/tokens", DESKTOP),
        ("policies", "/policies", dark),
        ("audit", "/audit?severity=notice", DESKTOP),
    ] {
        browser.look(view).await;
        browser.open(path).await;
        let picture = browser.picture(view, MOST).await;
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}
