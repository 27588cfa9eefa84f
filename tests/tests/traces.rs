//! Spans that a server sends, read by definitions that are not ours: what they say, whose trace they are in, that no
//! secret is in them, and that a collector that is gone holds nobody up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use enroll_server::clock::SystemClock;
use enroll_server::config::Config;
use enroll_server::failpoint::{Hook, Plant};
use enroll_server::startup::{Options, Server};
use enroll_server::telemetry::{ATTRIBUTES, Telemetry};
use tests::harness::otlp::{Collector, Span};
use tests::harness::secrets::{self, forms};
use tests::harness::{Wishes, World, client_config, connect, http, send, until};

const TOKEN_OF_THE_COLLECTOR: &str = "c0llect0r-t0ken-5f8a1b";
const CALLERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// A world whose server sends every span to this port.
fn traced(port: u16) -> World {
    let world = World::new(Wishes::default());
    let headers = world.path("server/traces.headers");
    fs::write(&headers, format!("Authorization: Bearer {TOKEN_OF_THE_COLLECTOR}\n")).unwrap();
    fs::set_permissions(&headers, fs::Permissions::from_mode(0o600)).unwrap();
    world.configure(&[
        ("traces", "endpoint", &format!("\"http://127.0.0.1:{port}/v1/traces\"")),
        ("traces", "headers_file", "\"traces.headers\""),
        ("traces", "ratio", "1.0"),
    ]);
    world
}

/// A GET over HTTPS with these headers; gives its status.
fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> u16 {
    let stream = connect(world.https_port, client_config(&world.root(), None));
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    send(stream, &format!("GET {path}"), &headers, &[]).unwrap().status
}

/// The bearer token of the admin API.
fn token(world: &World) -> String {
    world.text("server/admin.token").trim().to_owned()
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.text("name") == name).collect()
}

/// Which secrets stand in `bytes`: of server, device, maker and operator, in every form that a program might give them.
fn found_in(bytes: &[u8], world: &World) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let files = secrets::files(world, &world.devices[0]);
    let tells = |path: &&std::path::PathBuf| {
        let content = fs::read(path).unwrap();
        let raw = (content.len() >= 16).then(|| bytes.windows(content.len()).any(|window| window == content));
        raw == Some(true) || forms(&content).iter().any(|form| text.contains(form))
    };
    let mut found: Vec<String> = files.iter().filter(tells).map(|path| path.display().to_string()).collect();
    for known in [TOKEN_OF_THE_COLLECTOR.to_owned(), token(world)] {
        found.extend(text.contains(&known).then_some(known));
    }
    found
}

fn unknown_attributes(spans: &[Span]) -> Vec<String> {
    let known = |name: &str| ATTRIBUTES.iter().any(|(attribute, _)| *attribute == name);
    spans.iter().flat_map(Span::attributes).filter(|name| !known(name)).map(str::to_owned).collect()
}

#[test]
fn spans_tell_of_requests_and_of_no_secret() {
    let collector = Collector::start();
    let world = traced(collector.port);
    let secret = world.path("server/hook.secret");
    let _made = world.server(&["webhook", "secret", secret.to_str().unwrap()]).success();
    let settings = world.path("server/enroll-server.toml");
    let webhook = format!(
        "\n[[webhook]]\nname = \"alarms\"\nurl = \"http://127.0.0.1:{}/hook\"\nsecret_file = \"hook.secret\"\n",
        collector.port
    );
    fs::OpenOptions::new().append(true).open(settings).unwrap().write_all(webhook.as_bytes()).unwrap();
    let server = world.serve();

    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let _renewed = world.agent(device, &["renew", "--force"]);
    let bearer = format!("Bearer {}", token(&world));
    let parent = format!("00-{CALLERS_TRACE}-{CALLERS_SPAN}-01");
    let path = format!("/admin/v1/devices/{device}");
    assert_eq!(get(&world, &path, &[("Authorization", &bearer), ("traceparent", &parent)]), 200);
    assert_eq!(get(&world, &path, &[("Authorization", "Bearer no"), ("traceparent", &parent)]), 401);
    // A device's word of its trace is not taken.
    assert_eq!(get(&world, "/v1/trust", &[("traceparent", &parent)]), 200);
    assert_eq!(get(&world, &format!("/nothing/{device}"), &[]), 404);
    until("spans of all that", || {
        let spans = collector.spans();
        let all = ["POST /v1/enroll", "POST /v1/renew", "GET /v1/trust", "webhook"];
        (all.iter().all(|name| !named(&spans, name).is_empty())
            && spans
                .iter()
                .any(|span| span.text("trace") == CALLERS_TRACE && span.text("name").starts_with("GET")))
        .then_some(())
    });
    let log = server.stop().1;
    let spans = collector.spans();

    for (name, asked) in [("POST /v1/enroll", "/v1/enroll"), ("POST /v1/renew", "/v1/renew")] {
        let request = named(&spans, name)[0];
        assert_eq!(request.json()["kind"], 2, "a server's span");
        assert_eq!(request.text("parent"), "");
        assert_eq!(request.attribute("http.route"), asked);
        assert_eq!(request.attribute("http.request.method"), "POST");
        assert_eq!(request.attribute("http.response.status_code"), 200);
        assert_eq!(request.attribute("enroll.device"), device.as_str());
        assert_eq!(request.attribute("enroll.outcome"), "issued");
        let within: Vec<&str> = spans
            .iter()
            .filter(|span| {
                span.text("trace") == request.text("trace") && span.text("parent") == request.text("span")
            })
            .map(|span| span.text("name"))
            .collect();
        for step in ["store snapshot", "appraise", "store record", "sign", "store complete"] {
            assert!(within.contains(&step), "{name} has no {step}: {within:?}");
        }
        assert!(log.contains(&format!("trace_id={}", request.text("trace"))), "{name}: {log}");
    }
    // What an operator's call says of its trace is believed, and from nobody else.
    let called: Vec<&Span> = spans.iter().filter(|span| span.text("trace") == CALLERS_TRACE).collect();
    let request = called.iter().find(|span| span.text("parent") == CALLERS_SPAN).unwrap();
    assert_eq!(request.text("name"), "GET /admin/v1/devices/{device}");
    assert!(called.iter().all(|span| span.text("name") != "GET /v1/trust"));
    assert_eq!(
        called.iter().filter(|span| span.text("parent") == CALLERS_SPAN).count(),
        1,
        "one of two had the token"
    );
    assert_eq!(named(&spans, "webhook")[0].attribute("enroll.webhook"), "alarms");

    let posts = collector.posts();
    assert!(posts.iter().all(|post| post["path"] == "/v1/traces"));
    assert_eq!(posts[0]["headers"]["authorization"], format!("Bearer {TOKEN_OF_THE_COLLECTOR}"));
    assert_eq!(posts[0]["headers"]["content-type"], "application/x-protobuf");
    assert_eq!(unknown_attributes(&spans), [""; 0], "attributes that the manual does not list");
    assert!(spans.iter().all(|span| span.json()["events"] == 0 && span.json()["links"] == 0));
    assert!(spans.len() > 20);
    assert_eq!(found_in(&collector.bytes(), &world), [""; 0]);
    assert!(!log.contains(TOKEN_OF_THE_COLLECTOR));
}

#[test]
fn planted_a_span_that_tells_a_token_is_found() {
    let collector = Collector::start();
    let world = traced(collector.port);
    let config = Config::load(&world.path("server/enroll-server.toml")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let telemetry = Telemetry::start(&config.log, config.traces.as_ref(), runtime.handle().clone()).unwrap();
    let hook = Hook::default().with_plant(Plant::TracesTokens);
    let options = Options { hook, spans: telemetry.spans() };
    let server = runtime.block_on(Server::start_with(config, Arc::new(SystemClock), options)).unwrap();
    let bearer = format!("Bearer {}", token(&world));
    assert_eq!(get(&world, "/admin/v1/devices", &[("Authorization", &bearer)]), 200);
    // The agent's identity is one of the places where secrets are looked for.
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();
    runtime.block_on(server.stop());
    telemetry.stop();
    // What the collector has taken is here when it has printed it.
    until("a span with the token", || {
        found_in(&collector.bytes(), &world).contains(&token(&world)).then_some(())
    });
    assert!(!unknown_attributes(&collector.spans()).is_empty());
}

#[test]
fn a_collector_that_takes_nothing_holds_nobody_up() {
    // Connections are made and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = traced(silent.local_addr().unwrap().port());
    world.configure(&[("traces", "queue", "64"), ("traces", "timeout", "\"60s\"")]);
    let server = world.serve();
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();
    for _ in 0..100 {
        assert_eq!(get(&world, "/v1/trust", &[]), 200);
    }
    let page = http(world.http_port, "/metrics").text();
    let counted = |outcome: &str| -> u64 {
        let name = format!("enroll_trace_spans_total{{outcome=\"{outcome}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    assert_eq!(counted("sent"), 0);
    // Those of the enrollment, of the trust bundles and of the server's own work, less what waits.
    assert!(counted("dropped") >= 40, "{page}");
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn what_cannot_be_sent_is_told_at_the_start() {
    let world = traced(9);
    let serve = |expected: &str| {
        let told = world.server(&["serve"]).failure();
        assert!(told.contains(expected) && !told.contains(TOKEN_OF_THE_COLLECTOR), "{told}");
    };
    let headers = world.path("server/traces.headers");
    set_mode(&headers, 0o644);
    serve("traces.headers_file cannot be used");
    set_mode(&headers, 0o600);
    fs::write(&headers, TOKEN_OF_THE_COLLECTOR).unwrap();
    serve("traces.headers:1: expected a header");
    fs::remove_file(&headers).unwrap();
    world.configure(&[
        ("traces", "endpoint", "\"http://collector.example/v1/traces\""),
        ("traces", "ratio", "2.0"),
    ]);
    let told = world.server(&["serve"]).failure();
    assert!(
        told.contains("traces.endpoint: expected \"off\"") && told.contains("a share from 0.0 to 1.0"),
        "{told}"
    );
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
