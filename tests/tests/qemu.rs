//! A board's image in QEMU: the same code as on a chip, from a blank flash to a second certificate, within its memory.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value as Json;
use tests::harness::{binary, peer, run};

/// Bytes of the board's flash, and of its RAM.
const FLASH: u64 = 256 * 1024;
const RAM: u64 = 64 * 1024;
/// Bytes of the stack that are to stay free.
const SPARE: u64 = 3 * 1024;

#[test]
fn whenever_the_power_is_cut_it_comes_back_to_one_identity() {
    // 200 cuts; two servers, so that both cores have something to do.
    let halves = [(); 2].map(|()| std::thread::spawn(|| boot(&["--devices", "2", "--power-cuts", "50"])));
    for half in halves {
        let devices = half.join().unwrap()["devices"].clone();
        for device in devices.as_array().unwrap() {
            assert_eq!(device["power_cuts"], 50, "{device}");
            assert!(device["renewals_asked"].as_u64().unwrap() > 1, "no renewal was ever cut: {device}");
        }
    }
}

#[test]
fn a_board_enrolls_publishes_renews_and_publishes_again() {
    let summary = boot(&["--devices", "2"]);
    let devices = summary["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "{summary}");
    for device in devices {
        let reached = ["enrolled_ms", "published_ms", "renewed_ms", "published_again_ms"]
            .map(|name| device[name].as_u64().unwrap_or_else(|| panic!("{name}: {device}")));
        assert!(reached.is_sorted(), "{device}");

        assert_eq!(device["key_wrapped"], true, "{device}");

        // What is static and the stack share the RAM; some of the stack is left for what no test reaches.
        let [used, size] = ["stack_used", "stack_size"].map(|name| device[name].as_u64().unwrap());
        assert!(size + summary["ram_bytes"].as_u64().unwrap() <= RAM, "{summary}");
        assert!(used > 4 * 1024, "the stack was not measured: {device}");
        assert!(used + SPARE <= size, "{used} bytes of {size} is too near the end of the stack");
    }
    assert!(summary["flash_bytes"].as_u64().unwrap() <= FLASH, "{summary}");
}

#[test]
fn the_parts_of_the_image_add_up() {
    let printed = run(Command::new(binary("firmware-sim")).args(["size", "--json"])).success();
    let figures: Json = serde_json::from_str(&printed).unwrap();
    let sum = |parts: &str| -> u64 {
        figures[parts].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
    };
    // Between the sections there is at most a little padding.
    for (parts, whole) in [("flash", "flash_bytes"), ("ram", "ram_bytes")] {
        let (sum, whole) = (sum(parts), figures[whole].as_u64().unwrap());
        assert!(sum.abs_diff(whole) <= 256, "{parts}: {sum} of {whole}");
    }
    for part in ["TLS", "cryptography", "MQTT", "HTTP", "certificate verifier"] {
        assert!(figures["flash"][part].as_u64().unwrap() > 1024, "{part}: {figures}");
    }
    assert!(figures["stack_used"].as_u64().unwrap() > 4 * 1024, "{figures}");

    // A multiplication on P-256 takes some ten million instructions, and none of these goes without.
    for step in ["enrollment", "login", "renewal", "login_after_renewal"] {
        let instructions = figures["costs"][step]["instructions"].as_u64().unwrap();
        assert!((50_000_000..1_000_000_000).contains(&instructions), "{step}: {figures}");
    }
    // The old key was scrubbed out of every page, and ten years of that are far from wearing one out.
    let written = figures["costs"]["login_after_renewal"]["written_bytes"].as_u64().unwrap();
    let yearly = figures["erasures_per_page_and_year"].as_f64().unwrap();
    assert!(written >= 40 * 1024 && yearly > 1.0 && yearly * 10.0 < 1_000.0, "{figures}");
}

#[test]
fn the_image_of_the_board_that_can_be_bought_builds_and_fits() {
    let sizes = ["size", "--board", "stm32h573i-dk", "--json"];
    let printed = run(Command::new(binary("firmware-sim")).args(sizes)).success();
    let figures: Json = serde_json::from_str(&printed).unwrap();
    let [flash, ram] = ["flash_bytes", "ram_bytes"].map(|name| figures[name].as_u64().unwrap());
    assert!((100_000..512 * 1024).contains(&flash), "{figures}");
    assert!((30_000..128 * 1024).contains(&ram), "{figures}");
}

/// What `firmware-sim qemu` says of devices that all got through.
fn boot(options: &[&str]) -> Json {
    let _there = peer("qemu-system-arm", "qemu-system-arm");
    let finished = run(Command::new(binary("firmware-sim")).args(["qemu", "--json"]).args(options));
    let last = finished.stdout.lines().last().unwrap_or_default();
    let summary: Json = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(summary["failed"], 0, "{summary}");
    summary
}
