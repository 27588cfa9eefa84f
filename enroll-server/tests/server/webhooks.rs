//! Webhooks of the real program: signed so that others can check it, delivered again after `kill -9`, in nobody's way.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::outgoing::Target;
use enroll_server::store::EventQuery;
use enroll_server::webhook::{Backoff, Filter, Webhook, new_secret};
use rusqlite::Connection;
use serde_json::Value;

use crate::kit::receiver::{Behaviour, Received, Receiver};
use crate::kit::{Site, until};

const OK: Behaviour = Behaviour::Status(200);

/// A server's folder with one webhook; what runs in it are processes.
struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new(url: &str, more: &str) -> Self {
        let yard = Self { folder: tempfile::tempdir().unwrap() };
        let made = yard.bare(&["init", "--dir", yard.path("").to_str().unwrap(), "--tenant", "Acme"]);
        assert!(made.status.success(), "{made:?}");
        let made = yard.bare(&["webhook", "secret", yard.path("hook.secret").to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        let path = yard.path("enroll-server.toml");
        let settings = std::fs::read_to_string(&path).unwrap();
        let settings =
            settings.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0");
        let webhook = format!(
            "\n[[webhook]]\nname = \"alarms\"\nurl = \"{url}\"\nsecret_file = \"hook.secret\"\ntimeout = \"1s\"\n{more}"
        );
        std::fs::write(&path, settings + &webhook).unwrap();
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("server").join(name)
    }

    fn bare(&self, arguments: &[&str]) -> Output {
        program().args(arguments).output().unwrap()
    }

    async fn on(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("--config").arg(self.path("enroll-server.toml")).args(arguments);
        // The receiver lives on this thread's runtime.
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.on(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Imports a device: an event.
    async fn import(&self, device: &str) {
        let csv = self.folder.path().join("inventory.csv");
        std::fs::write(&csv, format!("device,model,idevid_sha256\n{device},,\n")).unwrap();
        let done = self.on(&["device", "import", csv.to_str().unwrap()]).await;
        assert!(done.status.success(), "{done:?}");
    }

    fn serve(&self) -> Serving {
        let mut command = program();
        command.arg("--config").arg(self.path("enroll-server.toml")).arg("serve").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().contains("the server is ready")).unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Serving(child)
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
    command.env_remove("RUST_LOG").env_remove("ENROLL_SERVER_CONFIG").stdin(Stdio::null());
    command
}

/// A process that is killed, never stopped.
struct Serving(Child);

impl Serving {
    /// SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended_already = self.0.kill().is_err();
        let _reaped_already = self.0.wait().is_err();
    }
}

/// The signature as another implementation makes it.
fn openssl_hmac(secret: &Path, received: &Received) -> String {
    let text = std::fs::read_to_string(secret).unwrap();
    let mut decode = Command::new("openssl");
    decode.args(["base64", "-d", "-A"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let key = feed(decode, text.trim().strip_prefix("whsec_").unwrap().as_bytes());
    let mut hmac = Command::new("openssl");
    let option = format!("hexkey:{}", hex::encode(key));
    hmac.args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &option, "-binary"]);
    let signed = [received.id.as_bytes(), b".", received.timestamp.as_bytes(), b".", &received.raw].concat();
    let tag = feed(hmac, &signed);
    let mut encode = Command::new("openssl");
    encode.args(["base64", "-A"]);
    format!("v1,{}", String::from_utf8(feed(encode, &tag)).unwrap())
}

fn feed(mut command: Command, input: &[u8]) -> Vec<u8> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("openssl: {error}; apt-get install openssl"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[tokio::test]
async fn messages_are_signed_as_standard_webhooks_wants_it() {
    let receiver = Receiver::start(|_, _| OK).await;
    let yard = Yard::new(&receiver.url, "kinds = [\"imported\"]\n");
    let serving = yard.serve();
    yard.import("SN-1").await;
    until("the event arrives", async || !receiver.received().is_empty()).await;
    serving.kill();
    let received = receiver.received().remove(0);
    assert_eq!(received.kind(), "imported");
    assert!(received.id.starts_with(&format!("evt_{}_", received.number())), "{}", received.id);
    let age = SystemClock.now().as_secs() - received.timestamp.parse::<u64>().unwrap();
    assert!(age < 60);
    assert_eq!(received.signature, openssl_hmac(&yard.path("hook.secret"), &received));
    assert_eq!(received.body["data"]["severity"], "notice");
    assert!(received.body["data"]["actor"].as_str().unwrap().starts_with("operator:"));

    // While a receiver changes over, both secrets sign.
    let old = std::fs::read_to_string(yard.path("hook.secret")).unwrap();
    std::fs::remove_file(yard.path("hook.secret")).unwrap();
    assert!(
        yard.on(&["webhook", "secret", yard.path("hook.secret").to_str().unwrap()]).await.status.success()
    );
    let new = std::fs::read_to_string(yard.path("hook.secret")).unwrap();
    std::fs::write(yard.path("hook.secret"), format!("{new}{old}")).unwrap();
    let tested = yard.json(&["webhook", "test", "alarms"]).await;
    assert_eq!((&tested["status"], &tested["body"]), (&200.into(), &"said the receiver".into()));
    let test = receiver.received().pop().unwrap();
    assert_eq!((test.kind(), &tested["id"]), ("webhook-test", &test.id.clone().into()));
    std::fs::write(yard.path("new"), new).unwrap();
    std::fs::write(yard.path("old"), old).unwrap();
    let both = [openssl_hmac(&yard.path("new"), &test), openssl_hmac(&yard.path("old"), &test)];
    assert_eq!(test.signature, both.join(" "));
}

/// The receiver has taken the event and said so; before the server can write that down, it is killed. It is
/// delivered again with the same identifier, and so is all that came after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_between_delivery_and_cursor_delivers_again_and_loses_nothing() {
    let receiver = Receiver::start(|_, _| OK).await;
    let yard = Yard::new(&receiver.url, "");
    let serving = yard.serve();
    yard.import("SN-1").await;
    until("the first arrives", async || receiver.taken().len() == 1).await;
    // The receiver locks the store before it answers: the cursor cannot be written.
    let store = yard.path("store.sqlite");
    let lock: Arc<Mutex<Option<Connection>>> = Arc::default();
    let held = Arc::clone(&lock);
    receiver.change(move |_, _| {
        held.lock().unwrap().get_or_insert_with(|| {
            let connection = Connection::open(&store).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            connection
        });
        OK
    });
    yard.import("SN-2").await;
    until("the second arrives", async || receiver.taken().len() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    serving.kill();
    drop(lock.lock().unwrap().take());
    receiver.change(|_, _| OK);
    // While nothing serves.
    yard.import("SN-3").await;
    let again = yard.serve();
    // The dead one's lease has to run out first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    until("the third arrives", async || receiver.taken().len() == 3).await;
    again.kill();
    let received = receiver.received();
    let numbers: Vec<u64> = received.iter().map(Received::number).collect();
    let (first, second, third) = (numbers[0], numbers[1], *numbers.last().unwrap());
    assert!(first < second && second < third, "{numbers:?}");
    let repeated: Vec<_> = received.iter().filter(|received| received.number() == second).collect();
    assert!(repeated.len() >= 2, "the answer was lost, so it came again: {numbers:?}");
    assert!(repeated.iter().all(|one| one.id == repeated[0].id && one.raw == repeated[0].raw));
    let kinds: Vec<_> = received.iter().map(Received::kind).collect();
    assert!(kinds.iter().all(|kind| *kind == "imported"), "{kinds:?}");
}

#[tokio::test]
async fn a_dead_receiver_is_in_nobodys_way_and_is_seen_in_the_metrics() {
    let receiver = Receiver::start(|_, _| Behaviour::Hang).await;
    let target = Target::parse(&receiver.url).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    new_secret(&secret_file).unwrap();
    let mut site = Site::with(|config| {
        config.webhooks = vec![Webhook {
            name: "dead".into(),
            target,
            secret_file,
            filter: Filter::default(),
            ca_file: None,
            timeout: Duration::from_secs(1),
            backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) },
        }];
    })
    .await;
    // What was there before the webhook was: all but the maker, which was added to the running server.
    let earlier = site.admin().find_events(EventQuery::after(0, 1_000)).await.unwrap().len() - 1;
    for n in 0..5 {
        let device = site.device(&format!("SN-{n}")).await;
        site.enroll(&device).await;
    }
    let metric = async |site: &Site, name: &str| -> Option<u64> {
        let page = crate::kit::client::http(site.http(), "/metrics").await;
        let page = String::from_utf8(page.body).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name}{{webhook=\"dead\"}} ")));
        line.map(|value| value.parse().unwrap())
    };
    until("an attempt failed", async || metric(&site, "enroll_webhook_failed_total").await > Some(0)).await;
    let events = site.admin().find_events(EventQuery::after(0, 1_000)).await.unwrap().len();
    assert_eq!(metric(&site, "enroll_webhook_lag_events").await, Some((events - earlier) as u64));
    assert_eq!(metric(&site, "enroll_webhook_delivered_total").await, Some(0));
    receiver.change(|_, _| OK);
    let numbers = async |site: &Site| -> Vec<u64> {
        let events = site.admin().find_events(EventQuery::after(0, 1_000)).await.unwrap();
        events.iter().skip(earlier).map(|event| event.number).collect()
    };
    until("all arrive", async || receiver.taken() == numbers(&site).await).await;
    until("nothing waits", async || metric(&site, "enroll_webhook_lag_events").await == Some(0)).await;
    assert_eq!(metric(&site, "enroll_webhook_delivered_total").await, Some((events - earlier) as u64));
    // A stop does not wait for a receiver that hangs.
    receiver.change(|_, _| Behaviour::Hang);
    site.device("SN-9").await;
    let asked = receiver.received().len();
    until("it is asked", async || receiver.received().len() > asked).await;
    tokio::time::timeout(Duration::from_secs(5), site.stop()).await.unwrap();
}

#[tokio::test]
async fn operators_see_and_mend_what_went_wrong() {
    let receiver =
        Receiver::start(|_, body| if body["type"] == "webhook-test" { Behaviour::Status(503) } else { OK })
            .await;
    let yard = Yard::new(&receiver.url, "severity = \"notice\"\n");
    let never = yard.json(&["webhook", "status"]).await;
    assert_eq!(never[0]["state"], "never ran");
    let listed = yard.json(&["webhook", "list"]).await;
    assert_eq!((&listed[0]["url"], &listed[0]["severity"]), (&receiver.url.clone().into(), &"notice".into()));
    let serving = yard.serve();
    yard.import("SN-1").await;
    until("it arrives", async || !receiver.received().is_empty()).await;
    let replayed = yard.json(&["webhook", "replay", "alarms", "--from", "1"]).await;
    assert!(replayed["again"].as_u64().unwrap() >= 1);
    until("it arrives again", async || receiver.received().len() >= 2).await;
    until("it is written down", async || {
        let status = yard.json(&["webhook", "status", "alarms"]).await;
        status[0]["delivered"].as_u64() >= Some(2) && status[0]["state"] == "up to date"
    })
    .await;
    assert_eq!(yard.json(&["webhook", "parked", "alarms"]).await, Value::Array(vec![]));
    serving.kill();
    for (arguments, status, said) in [
        (&["webhook", "test", "alarms"][..], 1, "did not take the event: status 503"),
        (&["webhook", "test", "nobody"], 4, "there is no webhook 'nobody'"),
        (&["webhook", "status", "nobody"], 4, "there is no webhook 'nobody'"),
        (&["webhook", "replay", "alarms", "--event", "77"], 4, "there is no parked event '77'"),
        (&["webhook", "replay", "alarms"], 2, "--parked"),
    ] {
        let output = yard.on(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    let refused = yard.on(&["webhook", "test", "alarms", "--json"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let one: Value = serde_json::from_slice(&refused.stdout).expect("one document");
    assert_eq!(one["status"], 503);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("did not take the event"));
    // A secret that others can read is no secret.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(yard.path("hook.secret"), permissions).unwrap();
    let output = yard.on(&["serve"]).await;
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("webhook alarms") && error.contains("chmod 600"), "{error}");
}
