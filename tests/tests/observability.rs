//! Alert rules and the dashboard for Grafana, held against a real server by a real Prometheus: each alert fires when it
//! should, and nothing names a metric, a label or a value that no server has. The manual lists what there is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::string_slice, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use enroll_server::telemetry::{ATTRIBUTES, FAMILIES, Kind};
use serde_json::Value as Json;
use shared::Reject;
use tests::harness::{Prometheus, Wishes, World, client_config, free_port, http, https, promtool, until};
use tests::promql::Samples;

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../enroll-server/packaging");

fn packaged(path: &str) -> PathBuf {
    Path::new(PACKAGING).join(path).canonicalize().unwrap()
}

fn dashboard() -> Json {
    serde_json::from_str(&fs::read_to_string(packaged("grafana/enroll-server.json")).unwrap()).unwrap()
}

/// All expressions of the dashboard, with what they are of, as Grafana would ask them.
fn asked_by(dashboard: &Json) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mut asked: Vec<(String, String)> = panels
        .flat_map(|panel| {
            let title = panel["title"].as_str().unwrap().to_owned();
            let targets = panel["targets"].as_array().unwrap().iter();
            targets.map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
        })
        .collect();
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        asked.push((annotation["name"].to_string(), annotation["expr"].as_str().unwrap().to_owned()));
    }
    for (_, expression) in &mut asked {
        *expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
        assert!(!expression.contains('$'), "a variable that the test does not know: {expression}");
    }
    asked
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let folder = packaged("prometheus");
    let _rules = promtool(&folder, &["check", "rules", "alerts.yml"]).success();
    let _tests = promtool(&folder, &["test", "rules", "alerts_test.yml"]).success();
    let _example = promtool(&folder, &["check", "config", "--syntax-only", "prometheus.yml"]).success();

    // Planted: an alert that never fires, and one that always does, are found.
    let rules = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let planted = rules.replace("enroll_log_good == 0", "enroll_log_good == 2");
    let planted = planted.replace("enroll_webhook_parked > 0", "enroll_webhook_parked >= 0");
    let bad = tempfile::tempdir().unwrap();
    fs::write(bad.path().join("alerts.yml"), planted).unwrap();
    fs::copy(folder.join("alerts_test.yml"), bad.path().join("alerts_test.yml")).unwrap();
    let told = promtool(bad.path(), &["test", "rules", "alerts_test.yml"]).failure();
    for alert in ["EnrollLogLagging", "EnrollWebhookParked"] {
        assert!(told.contains(alert), "{alert} is not told of:\n{told}");
    }
}

#[test]
fn alerts_and_dashboard_ask_for_what_a_server_says() {
    let world = busy_world();
    let server = world.serve();
    traffic(&world);
    let page = until("metrics of brokers and traces", || {
        let page = http(world.http_port, "/metrics").text();
        (page.contains("enroll_mqtt_connected{") && page.contains("enroll_trace_spans_total{"))
            .then_some(page)
    });
    follows_the_table(&page);
    let samples = Samples::read(&page).scraped();
    // What was counted as a request can be one that was served, and each refusal can come.
    let also = [
        ("reason", Reject::ALL.iter().map(|reject| reject.name()).collect()),
        ("endpoint", samples.values("enroll_requests_total", "endpoint")),
    ];

    let prometheus = Prometheus::start(world.http_port, &packaged("prometheus/alerts.yml"));
    let alerts = alerts_of(&prometheus);
    let mut problems = Vec::new();
    for (alert, rule) in &alerts {
        assert_eq!(rule["health"], "ok", "{alert}: {rule}");
        let missing = samples.missing(rule["query"].as_str().unwrap(), &also);
        problems.extend(missing.iter().map(|problem| format!("{alert}: {problem}")));
    }
    for (panel, expression) in asked_by(&dashboard()) {
        let missing = samples.missing(&expression, &also);
        problems.extend(missing.iter().map(|problem| format!("{panel}: {problem}")));
        // What happens seldom gives nothing now; that it can be asked is what counts.
        let series = prometheus.series(&expression);
        if series == 0 && !expression.starts_with("changes(") {
            problems.push(format!("{panel}: no data for {expression}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}\n{page}");
    let instances = prometheus.series("group by (instance) (enroll_info)");
    assert_eq!(instances, 1, "the variable of the dashboard has one server to choose");

    // Planted: what no server has is found, be it a metric, a label or a value.
    for planted in
        ["enroll_crl_stale > 0", "enroll_devices{stage=\"held\"} > 0", "enroll_devices{state=\"active\"}"]
    {
        assert!(!samples.missing(planted, &also).is_empty(), "unnoticed: {planted}");
    }
    manual_lists(&alerts);
    each_line_is_an_object(&server.stop().1, &world.devices[0]);
}

/// With `log.json`, each line of the log is one JSON object with level, target and fields.
fn each_line_is_an_object(log: &str, device: &str) {
    let lines: Vec<Json> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["target"].is_string()), "{log}");
    let served = lines.iter().find(|line| line["fields"]["message"] == "served").unwrap();
    assert_eq!(served["fields"]["device"], device);
    assert_eq!(served["fields"]["outcome"], "issued");
    // Spans go to the collector and not into the log.
    assert!(lines.iter().all(|line| line["span"].is_null() && line["spans"].is_null()), "{log}");
}

/// A server with everything that has metrics of its own.
fn busy_world() -> World {
    let world = World::new(Wishes::default());
    let secret = world.path("server/hook.secret");
    let _made = world.server(&["webhook", "secret", secret.to_str().unwrap()]).success();
    world.configure(&[
        ("mqtt", "enabled", "true"),
        ("limits", "store_mib", "100"),
        ("log", "json", "true"),
        ("est", "listen", &format!("\"127.0.0.1:{}\"", free_port())),
        ("dashboard", "listen", &format!("\"127.0.0.1:{}\"", free_port())),
        // Nobody listens there.
        ("traces", "endpoint", "\"http://127.0.0.1:9/v1/traces\""),
        ("traces", "ratio", "1.0"),
    ]);
    let settings = world.path("server/enroll-server.toml");
    let mut file = fs::OpenOptions::new().append(true).open(settings).unwrap();
    writeln!(
        file,
        "\n[[webhook]]\nname = \"alarms\"\nurl = \"http://127.0.0.1:9/\"\nsecret_file = \"hook.secret\"\n"
    )
    .unwrap();
    world
}

/// One of each request that something is asked of.
fn traffic(world: &World) {
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let _renewed = world.agent(device, &["renew", "--force"]);
    let root = world.root();
    let settings: toml::Table = world.text("server/enroll-server.toml").parse().unwrap();
    let port = |table: &str| {
        let listen = settings[table]["listen"].as_str().unwrap();
        listen.rsplit_once(':').unwrap().1.parse().unwrap()
    };
    let est = port("est");
    for (port, path, body) in [
        (world.https_port, shared::endpoint::ENROLL, Some(&b"x"[..])),
        (world.https_port, shared::endpoint::RENEW, Some(b"x")),
        (world.https_port, "/admin/v1/devices", None),
        (world.https_port, "/broker/v1/certificate", None),
        (est, "/.well-known/est/simpleenroll", Some(b"x")),
        (est, "/.well-known/est/simplereenroll", Some(b"x")),
        (port("dashboard"), "/sign-in", Some(b"link=x")),
    ] {
        let reply = https(port, client_config(&root, None), path, body);
        assert!((400..500).contains(&reply.status), "{path}: {}", reply.status);
    }
}

/// The page has the families of the table and no other, each with its labels.
fn follows_the_table(page: &str) {
    let samples = Samples::read(page);
    let suffixed = |name: &str| -> Vec<String> {
        ["_bucket", "_sum", "_count"].iter().map(|part| format!("{name}{part}")).collect()
    };
    let names: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|family| match family.kind {
            Kind::Histogram => suffixed(family.name),
            Kind::Counter | Kind::Gauge => vec![family.name.to_owned()],
        })
        .collect();
    let found: BTreeSet<String> = samples.metrics().map(str::to_owned).collect();
    assert_eq!(found, names, "the page of a server with everything differs from the table of families");
}

/// The alerts that Prometheus has read, by name.
fn alerts_of(prometheus: &Prometheus) -> BTreeMap<String, Json> {
    let groups = prometheus.api("rules?type=alert");
    let rules =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: BTreeMap<String, Json> =
        rules.map(|rule| (rule["name"].as_str().unwrap().to_owned(), rule.clone())).collect();
    let text = fs::read_to_string(packaged("prometheus/alerts.yml")).unwrap();
    assert_eq!(alerts.len(), text.matches("- alert: ").count(), "two alerts have one name");
    alerts
}

/// Every alert says what to do and where more of that stands, is tested, and the manual has all of it.
fn manual_lists(alerts: &BTreeMap<String, Json>) {
    let manual = manual();
    let tests = fs::read_to_string(packaged("prometheus/alerts_test.yml")).unwrap();
    for (name, rule) in alerts {
        let text = |field: &str| rule["annotations"][field].as_str().unwrap_or_default();
        assert!(text("summary").ends_with('.') && text("description").len() > 40, "{name}: {rule}");
        assert_eq!(text("runbook"), format!("docs/observability.md#{}", name.to_lowercase()), "{name}");
        assert!(manual.contains(&format!("\n### {name}\n")), "docs/observability.md has no heading {name}");
        assert!(["warning", "critical"].iter().any(|known| rule["labels"]["severity"] == *known), "{name}");
        assert!(tests.contains(&format!("- name: {name}\n")), "alerts_test.yml does not test {name}");
    }
}

fn manual() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md")).unwrap()
}

#[test]
fn the_manual_lists_every_metric_and_every_attribute_of_a_span() {
    let row = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let code = |text: &str| format!("`{text}`");
    let mut metrics = String::new();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| code(label)).collect();
        metrics += &row(&[&code(family.name), family.kind.name(), &labels.join(", "), family.help]);
    }
    let attributes: String = ATTRIBUTES.iter().map(|(name, what)| row(&[&code(name), what])).collect();
    let manual = manual();
    assert!(manual.contains(&metrics), "docs/observability.md has to hold:\n{metrics}");
    assert!(manual.contains(&attributes), "docs/observability.md has to hold:\n{attributes}");
    let known = |name: &str| FAMILIES.iter().any(|family| name.starts_with(family.name));
    for (at, _) in manual.match_indices("`enroll_") {
        let name = manual[at + 1..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        assert!(
            known(name) || name == "enroll_server",
            "docs/observability.md names {name}, which is no metric"
        );
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "enroll-server");
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "instance"]);
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its number is another panel's");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for cell in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "{title} lies on another panel");
        }
    }
    // Each expression is one that Prometheus takes: as rules, which promtool reads.
    let folder = tempfile::tempdir().unwrap();
    let rules: Vec<Json> = asked_by(&dashboard)
        .iter()
        .enumerate()
        .map(|(n, (_, expression))| serde_json::json!({ "record": format!("panel:{n}"), "expr": expression }))
        .collect();
    assert!(rules.len() > 60);
    // JSON is YAML.
    let file = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    fs::write(folder.path().join("panels.yml"), file.to_string()).unwrap();
    let _read = promtool(folder.path(), &["check", "rules", "panels.yml"]).success();
}
