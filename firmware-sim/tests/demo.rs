//! The demonstration as a library, on both stacks, and as a program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::future::pending;
use std::process::Command;

use firmware_sim::demo::{self, DemoError, DemoOptions};
use firmware_sim::device::Stack;

fn options(stack: Stack) -> DemoOptions {
    DemoOptions { devices: 3, stack, state: None, keep_running: false, progress: false }
}

async fn everything_is_as_it_should_be(stack: Stack) {
    let mut story = Vec::new();
    let summary = demo::run(&options(stack), &mut story, pending()).await.unwrap();
    let story = String::from_utf8(story).unwrap();
    assert!(summary.is_good(), "{summary:?}\n{story}");
    assert_eq!((summary.devices, summary.connected, summary.failed), (3, 3, 0));
    assert_eq!(summary.refused.len(), 5);
    assert!(summary.p50_ms > 0 && summary.p50_ms <= summary.p99_ms);
    assert!(story.contains("Everything is as it should be."), "{story}");
    assert!(story.contains("Try next:"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn linux_agents_come_online_and_impostors_do_not() {
    everything_is_as_it_should_be(Stack::Linux).await;
}

#[tokio::test]
async fn a_directory_with_something_in_it_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let options = DemoOptions { state: Some(dir.path().to_owned()), ..options(Stack::Mcu) };
    let refused = demo::run(&options, &mut Vec::new(), pending()).await;
    assert!(matches!(refused, Err(DemoError::Exists(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn with_json_standard_output_is_one_object() {
    let output = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .args(["demo", "--devices", "2", "--stack", "linux", "--json"])
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 1, "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    for (field, value) in [("devices", 2), ("enrolled", 2), ("connected", 2), ("published", 2), ("failed", 0)]
    {
        assert_eq!(json[field], value, "{field} in {out}");
    }
    let refused = json["refused"].as_object().unwrap();
    assert!(refused.len() == 5 && refused.values().all(|refused| refused == true), "{out}");
}
