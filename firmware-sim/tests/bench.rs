//! The benchmark's short form: its figures are there and agree with each other. How fast anything is, is not asked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Runs `firmware-sim bench`; gives its report. The exit status has to say whether all is as it must be.
fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .arg("bench")
        .args(arguments)
        .arg("--json")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    let good = array(&report, "musts").iter().all(|must| number(must, "found") <= number(must, "at_most"));
    assert_eq!(output.status.code(), Some(if good { 0 } else { 1 }), "{report}\n{errors}");
    report
}

fn array<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value.get(name).and_then(Value::as_array).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn every_piece_of_work_has_its_figures() {
    let report = bench(&["all", "--devices", "20", "--at-once", "4"]);
    let figures = array(&report, "figures");
    let names: Vec<&str> = figures.iter().map(|figure| figure["work"].as_str().unwrap()).collect();
    let all = ["enroll", "ocsp", "connect", "resume", "renew", "est-simpleenroll", "est-simplereenroll"];
    assert_eq!(names, all);
    for (figure, count) in figures.iter().zip([20, 20, 20, 20, 10, 20, 10]) {
        assert_eq!(figure["count"], count, "{figure}");
        let (floor, cpu) = (number(figure, "floor_us"), number(figure, "cpu_us"));
        assert!(floor > 0.0 && (number(figure, "ratio") - cpu / floor).abs() < 1e-6, "{figure}");
        assert!(number(figure, "per_second") > 0.0 && number(figure, "peak_mib") > 1.0, "{figure}");
        let latency = |name| number(figure.get("latency").unwrap(), name);
        assert!(0.0 < latency("p50_ms") && latency("p50_ms") <= latency("p95_ms"), "{figure}");
        assert!(latency("p95_ms") <= latency("p99_ms"), "{figure}");
    }
    // The processor's time comes in steps; over all enrollments there is some.
    assert!(number(&figures[0], "cpu_us") > 0.0);
    // An enrollment has more cryptography in it than a connection, and a connection more than a resumption.
    let floor = |name: &str| {
        let figure = figures.iter().find(|figure| figure["work"] == name);
        number(figure.unwrap(), "floor_us")
    };
    assert!(floor("enroll") > floor("connect") && floor("connect") > floor("resume"));
    let musts: Vec<f64> = array(&report, "musts").iter().map(|must| number(must, "at_most")).collect();
    assert_eq!(musts, [2.0, 700.0]);
}

#[test]
fn idle_connections_and_a_large_inventory_have_their_figures() {
    let report = bench(&["idle", "--connections", "24"]);
    assert_eq!(report["connections"], 24);
    assert!(number(&report, "open_mib") >= number(&report, "before_mib"), "{report}");
    assert!(number(&report, "peak_mib") >= number(&report, "open_mib"), "{report}");

    let report = bench(&["enroll", "--devices", "20", "--at-once", "4", "--inventory", "1000"]);
    assert_eq!((&report["devices"], &report["inventory"]), (&Value::from(20), &Value::from(1_000)));
    let ratio = number(&report["full"], "p50_ms") / number(&report["empty"], "p50_ms");
    let found = number(&array(&report, "musts")[0], "found");
    assert!((found - ratio).abs() < 1e-6, "{report}");
}

#[test]
fn help_says_what_must_be() {
    let output = Command::new(env!("CARGO_BIN_EXE_firmware-sim")).args(["bench", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in ["at most 2.0 times the floor", "400 MiB for 10,000", "Exit status: 0", "simplereenroll"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("  server "), "{text}");
}

/// The settings of the server that the program `parent` started, and the server's folder in /proc.
fn server_of(parent: u32) -> Option<(PathBuf, PathBuf)> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let its_parent: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let line = fs::read_to_string(process.path().join("cmdline")).ok()?;
        let config = line.split('\0').skip_while(|word| *word != "--config").nth(1)?;
        (parent == its_parent).then(|| (PathBuf::from(config), process.path()))
    })
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// As a service manager or a pipeline ends it: without this, the server would go on for ever, in a folder of its own.
#[tokio::test]
async fn a_benchmark_that_is_told_to_end_leaves_nothing_behind() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .args(["bench", "enroll", "--devices", "2000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (config, server) = until("the server", || server_of(bench.id())).await;
    let folder = config.ancestors().nth(2).unwrap();
    assert!(
        folder.is_dir()
            && config.starts_with(Path::new(env!("CARGO_BIN_EXE_firmware-sim")).parent().unwrap())
    );
    let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", bench.id())]).status().unwrap();
    assert!(told.success());
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    until("the server's end", || (!server.exists()).then_some(())).await;
    assert!(!folder.exists(), "{}", folder.display());
}
