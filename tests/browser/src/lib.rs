//! Chromium without a screen, driven through chromedriver, that trusts one server and speaks with nobody else.
//!
//! What it loads and what it complains about is kept, so that a test can ask for it ([`Browser::problems`]). A crate of
//! its own: what the driver's library depends on adds operators to `String`, which the other tests do without.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scene;

use core::time::Duration;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tests::harness::{LIMIT, Process, free_port, peer, until};
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::{ChromiumLikeCapabilities as _, DesiredCapabilities, Key, WebDriver};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use scene::{Scene, Secret};

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    /// Its page.
    pub page: WebDriver,
    origin: String,
    _driver: Process,
    _profile: TempDir,
}

/// Between two looks at the browser.
const STEP: Duration = Duration::from_millis(50);

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Width in CSS pixels.
    pub width: u32,
    /// Whether the person prefers dark pages.
    pub dark: bool,
}

impl Browser {
    /// Starts one that trusts the certificate `server` (DER), and is to load pages of `origin` only.
    ///
    /// # Panics
    /// Where Chromium or its driver is missing, with the command that installs it, or does not start.
    pub async fn start(server: &[u8], origin: &str) -> Self {
        let (chromium, driver) = (peer("chromium", "chromium"), peer("chromedriver", "chromium-driver"));
        let profile = TempDir::with_prefix("chromium-").expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}")).arg("--silent");
        let driver = Process::start(&mut command);
        until("chromedriver", || std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
        let capabilities = capabilities(&chromium, &profile, server);
        let page = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await;
        let page = page.expect("a session with Chromium");
        Self { page, origin: origin.to_owned(), _driver: driver, _profile: profile }
    }

    /// Opens a page of the origin.
    ///
    /// # Panics
    /// Where it does not load.
    pub async fn open(&self, path: &str) {
        self.page.goto(format!("{}{path}", self.origin)).await.expect("a page that loads");
    }

    /// From now on the page is looked at so.
    ///
    /// # Panics
    /// Where Chromium refuses.
    pub async fn look(&self, view: View) {
        self.metrics(view.width, 900).await;
        let scheme = if view.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let _set = self.page.cdp().send_raw("Emulation.setEmulatedMedia", media).await.expect("the colours");
    }

    async fn metrics(&self, width: u32, height: u64) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let set = self.page.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await;
        let _set = set.expect("the size of the page");
    }

    /// A picture of the page in PNG, from its top, `most` pixels high at most.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn picture(&self, view: View, most: u64) -> Vec<u8> {
        self.look(view).await;
        let height = self.ask("document.documentElement.scrollHeight").await.as_u64().expect("a height");
        self.metrics(view.width, height.min(most)).await;
        let picture = self.page.screenshot_as_png().await.expect("a picture");
        self.look(view).await;
        picture
    }

    /// The value of an expression on the page.
    ///
    /// # Panics
    /// Where it has none.
    pub async fn ask(&self, expression: &str) -> Json {
        let script = format!("return {expression};");
        let answer = self.page.execute(script, Vec::<Json>::new()).await;
        answer.unwrap_or_else(|error| panic!("{expression}: {error}")).json().clone()
    }

    /// Waits until the element `selector` has a text that begins so: a page that a form or a link leads to comes a moment
    /// later.
    ///
    /// # Panics
    /// After [`LIMIT`], with what was there instead.
    pub async fn sees(&self, selector: &str, wanted: &str) {
        let script = format!("return document.querySelector({selector:?})?.textContent ?? '';");
        let mut seen = String::new();
        for _ in 0..LIMIT.as_millis() / STEP.as_millis() {
            // Between two pages there is none to ask.
            if let Ok(answer) = self.page.execute(script.clone(), Vec::<Json>::new()).await {
                seen = answer.json().as_str().unwrap_or_default().to_owned();
                if seen.starts_with(wanted) {
                    return;
                }
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("{selector}: expected {wanted:?}, found {seen:?}");
    }

    /// Presses a key, wherever the focus is.
    ///
    /// # Panics
    /// Where Chromium refuses.
    pub async fn press(&self, key: Key) {
        self.page.action_chain().send_keys(key).perform().await.expect("a key");
    }

    /// Types a text, wherever the focus is.
    ///
    /// # Panics
    /// As [`press`](Self::press).
    pub async fn write(&self, text: &str) {
        self.page.action_chain().send_keys(text).perform().await.expect("keys");
    }

    /// What went wrong since this was asked last: what the console says, and requests to other places.
    ///
    /// # Panics
    /// Where Chromium does not tell.
    pub async fn problems(&self) -> Vec<String> {
        let console = self.page.get_log("browser").await.expect("the console");
        let mut problems: Vec<String> =
            console.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect();
        for entry in self.page.get_log("performance").await.expect("what was loaded") {
            let told: Json = serde_json::from_str(&entry.message).expect("JSON");
            let method = told.pointer("/message/method").and_then(Json::as_str).unwrap_or_default();
            let url = told.pointer("/message/params/request/url").and_then(Json::as_str).unwrap_or_default();
            // The page that Chromium begins with is out of its own program.
            let own =
                ["chrome:", "chrome-untrusted:", "data:", "about:"].iter().any(|own| url.starts_with(own));
            let own = own || url.starts_with(&format!("{}/", self.origin));
            if method == "Network.requestWillBeSent" && !own {
                problems.push(format!("a request to {url}"));
            }
        }
        problems
    }

    /// Ends it.
    ///
    /// # Panics
    /// Where it does not end.
    pub async fn quit(self) {
        self.page.quit().await.expect("the end of Chromium");
    }
}

/// Chromium that does nothing of its own accord, keeps its log, and trusts the key of one certificate.
fn capabilities(chromium: &Path, profile: &TempDir, server: &[u8]) -> thirtyfour::ChromeCapabilities {
    let mut wanted = DesiredCapabilities::chrome();
    let binary = chromium.to_str().expect("a path in UTF-8");
    wanted.set_binary(binary).expect("a capability");
    let folder = profile.path().to_str().expect("a path in UTF-8");
    for argument in [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--hide-scrollbars",
        "--lang=en",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost",
        &format!("--ignore-certificate-errors-spki-list={}", key_pin(server)),
        &format!("--user-data-dir={folder}"),
    ] {
        wanted.add_arg(argument).expect("a capability");
    }
    for component in ["browser", "performance"] {
        wanted.set_logging_prefs(component, LoggingPrefsLogLevel::All).expect("a capability");
    }
    wanted
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo, in base64.
fn key_pin(certificate: &[u8]) -> String {
    let (_, certificate) = X509Certificate::from_der(certificate).expect("a certificate");
    STANDARD.encode(Sha256::digest(certificate.public_key().raw))
}
