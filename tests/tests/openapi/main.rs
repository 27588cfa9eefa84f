//! The description of the API (OpenAPI) is held against a server that runs: schemathesis makes requests up, good ones and
//! bad ones, of every operation of every listener, and holds the answers to what the description says of them.
//!
//! Nothing is spared: the server is made for the test, and the devices in it may be revoked and retired. No call ends the
//! server, or the operator's own token.
//!
//! A longer run, with a new seed each time: `API_EXAMPLES=1000 cargo test -p tests --test openapi`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests: what fails here fails the test"
)]

mod description;
mod schemathesis;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};
use shared::message::latest::Outcome;
use tests::harness::{
    Csr, HandDevice, Process, Wishes, World, binary, client_config, free_port, http, https, run, until,
};

use description::{generated, strict};
use schemathesis::{Run, Seen};

/// A server with devices in all states that they come to by themselves.
struct Site {
    world: World,
    est_port: u16,
    admin_token: String,
    broker_token: String,
    /// DER of a certificate in force.
    certificate: Vec<u8>,
    /// DER of one that is no device's.
    peer: Vec<u8>,
    server: Process,
}

/// What each device of the lot is there for: calls that no other call is to spoil, and the rest.
const PURPOSES: [&str; 11] = [
    "approve",
    "deny",
    "revoke",
    "retire",
    "return",
    "transfer",
    "any",
    "suspend",
    "renew",
    "resume",
    "terminator",
];
/// From here on they are enrolled; those before wait for approval.
const ENROLLED: usize = 7;

impl Site {
    fn new() -> Self {
        let world = World::new(Wishes { devices: PURPOSES.len().try_into().unwrap(), ..Wishes::default() });
        let est_port = free_port();
        world.configure(&[("est", "listen", &format!("\"127.0.0.1:{est_port}\""))]);
        let policy = world.text("server/policy.toml");
        let held = policy.replace("first = \"accept\"", "first = \"hold\"");
        assert_ne!(held, policy, "no line to change");
        std::fs::write(world.path("server/policy.toml"), held).unwrap();
        // What is done to all of a group is done to the others.
        std::fs::write(world.path("server/policy.d/kept.toml"), "").unwrap();
        let broker_token = "b".repeat(64);
        let path = world.path("server/broker.token");
        std::fs::write(&path, &broker_token).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let server = world.serve();
        let broker = world.path("broker");
        let words = ["broker", "certificate", "--name", "localhost", "--out", broker.to_str().unwrap()];
        let _made = world.server(&words).success();
        let peer = world.certificates("broker/broker.crt").remove(0);
        let admin_token = world.text("server/admin.token").trim().to_owned();
        let mut site =
            Self { world, est_port, admin_token, broker_token, certificate: Vec::new(), peer, server };
        site.fill();
        site
    }

    /// Brings the devices into the states that the calls want.
    fn fill(&mut self) {
        let world = &self.world;
        for (place, id) in world.devices.iter().enumerate() {
            if *id != self.device("any") {
                let _moved = world.server(&["device", "set-group", "kept", id]).success();
            }
            let device = HandDevice::load(world, id);
            let request = device.good_request(world, &Csr::new());
            assert_eq!(device.enroll(world, &request).status, 202);
            if place >= ENROLLED {
                let _approved = world.server(&["device", "approve", id]).success();
                let reply = device.enroll(world, &request);
                let Outcome::Issued(issued) = reply.answer().outcome else { panic!("{reply:?}") };
                self.certificate = issued.chain.first().unwrap().to_vec();
            }
        }
        let _suspended = world.server(&["device", "suspend", self.device("resume")]).success();
    }

    /// The device that is there for this.
    fn device(&self, purpose: &str) -> &str {
        let place = PURPOSES.iter().position(|known| *known == purpose).unwrap();
        &self.world.devices[place]
    }

    /// A tile of the log that is there: the last one of its entries.
    fn tile(&self) -> String {
        let size: u64 = until("a checkpoint with entries", || {
            let note = http(self.world.http_port, "/log/checkpoint").text();
            note.lines().nth(1)?.parse().ok().filter(|size| *size > 0)
        });
        assert!(size < 256, "the first bundle of entries is full");
        format!("entries/000.p/{size}")
    }

    /// Which device is there for which call, as `hooks.py` wants to know it.
    fn devices(&self) -> Value {
        PURPOSES.iter().map(|purpose| ((*purpose).to_owned(), json!(self.device(purpose)))).collect()
    }
}

#[test]
fn what_the_server_answers_is_what_its_description_says() {
    let mut site = Site::new();
    let document = strict(generated());
    let https = format!("https://localhost:{}", site.world.https_port);
    let mut seen = Seen::default();
    for (tag, url, token) in [
        ("admin", https.clone(), site.admin_token.as_str()),
        ("broker", https.clone(), site.broker_token.as_str()),
        ("device", https, ""),
        ("est", format!("https://localhost:{}", site.est_port), ""),
        ("public", format!("http://localhost:{}", site.world.http_port), ""),
    ] {
        let run = Run { site: &site, document: &document, filter: ("tag", tag), url: &url, token };
        let (told, answers) = run.go();
        assert!(told.status.success(), "{tag}: {}{}", told.stdout, told.stderr);
        seen.extend(answers);
    }
    // A run that asks nothing finds nothing.
    for (operation, tag) in description::operations(&document) {
        let statuses = seen.statuses(&operation);
        let wanted = match &*tag {
            "device" | "est" if operation.contains("enroll") || operation == "challenge" => 400..=403,
            "device" | "est" => 200..=401,
            _ => 200..=200,
        };
        assert!(
            statuses.iter().any(|status| wanted.contains(status)),
            "{operation}: only {statuses:?}; what was done: {}",
            site.world.server(&["event", "list", "--device", site.device("suspend")]).success()
        );
    }
    assert!(site.server.is_running(), "{}", site.server.output());
    let devices = site.world.server_json(&["device", "list"]);
    let states: BTreeSet<&str> =
        devices["devices"].as_array().unwrap().iter().filter_map(|device| device["state"].as_str()).collect();
    assert!(states.contains("revoked") && states.contains("retired"), "nothing was done: {states:?}");
}

/// Changes what a description says of an operation.
type Plant = fn(&mut Value);

/// A description that is not that of the server is found not to be: of a status, a field, a media type and a token that
/// is wanted.
#[test]
fn what_a_description_has_otherwise_is_found() {
    let site = Site::new();
    let url = format!("https://localhost:{}", site.world.https_port);
    let device = ("get_device", "/paths/~1admin~1v1~1devices~1{device}/get");
    let list = ("get_crl_der", "/paths/~1crl.der/get");
    let plants: [(_, &str, Plant); 4] = [
        (device, "ST103", |operation| {
            operation["responses"].as_object_mut().unwrap().remove("404");
        }),
        (device, "ST108", |operation| {
            operation["responses"]["200"]["content"]["application/json"]["schema"] = json!({
                "type": "object", "additionalProperties": false, "properties": { "device": {} },
            });
        }),
        (device, "ST105", |operation| {
            let content = operation["responses"]["200"]["content"].as_object_mut().unwrap();
            let schema = content.remove("application/json").unwrap();
            content.insert("application/cbor".to_owned(), schema);
        }),
        (list, "ST401", |operation| operation["security"] = json!([{ "adminToken": [] }])),
    ];
    for ((name, path), finding, plant) in plants {
        let mut document = strict(generated());
        plant(document.pointer_mut(path).unwrap());
        let filter = ("operation-id", name);
        let run = Run { site: &site, document: &document, filter, url: &url, token: &site.admin_token };
        let (told, _) = run.go();
        assert!(!told.status.success(), "{finding}: not found: {}", told.stdout);
        assert!(told.stdout.contains(finding), "{finding}: {}", told.stdout);
    }
}

/// What docs/admin-api.md tells operators to type does what it says.
#[test]
fn the_pages_commands_work() {
    let site = Site::new();
    let page = include_str!("../../../docs/admin-api.md");
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(blocks.len() >= 3, "the page has lost its commands");
    for block in blocks {
        let script = block
            .replace("https://localhost:8443", &format!("https://localhost:{}", site.world.https_port))
            .replace("SN-0001", site.device("terminator"))
            .replace("SN-0002", site.device("any"));
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(site.world.path("server"));
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", binary("enroll-server").parent().unwrap().display()));
        let told = run(&mut command).success();
        if block.contains("openapi.json") {
            assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), generated());
        }
    }
    let refused =
        https(site.world.https_port, client_config(&site.world.root(), None), "/admin/v1/openapi.json", None);
    assert_eq!(refused.status, 401);
}
