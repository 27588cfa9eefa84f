//! The demonstration, as the README tells newcomers to run it.

use std::process::Command;

use serde_json::Value as Json;
use tests::harness::{binary, run};

#[test]
fn the_demonstration_shows_what_it_promises() {
    let finished = run(Command::new(binary("firmware-sim")).args(["demo", "--devices", "3", "--json"]));
    let last = finished.stdout.lines().last().unwrap_or_default();
    let summary: Json = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    for field in ["devices", "enrolled", "connected", "published"] {
        assert_eq!(summary[field], 3, "{field}: {summary}");
    }
    assert_eq!(summary["failed"], 0, "{summary}");
    let refused = summary["refused"].as_object().unwrap();
    assert!(refused.len() >= 5, "{summary}");
    assert!(refused.values().all(|held| *held == Json::Bool(true)), "{summary}");
    let (p50, p99) = (summary["p50_ms"].as_f64().unwrap(), summary["p99_ms"].as_f64().unwrap());
    assert!(p50 > 0.0 && p99 >= p50, "{summary}");
    assert!(finished.status.success(), "{finished:?}");
}
