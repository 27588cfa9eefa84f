//! The program's command line: help that teaches, errors that say what to do, exit codes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tokio::time::Instant;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_says_where_to_begin_and_what_the_exit_status_means() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for expected in ["Begin with:  firmware-sim demo", "Exit status: 0", "demo", "factory", "device", "fleet"]
    {
        assert!(out.contains(expected), "{expected} in {out}");
    }
    for (command, expected) in [
        ("demo", "--keep-running"),
        ("factory", "enroll-server device import DIR/inventory.csv"),
        ("device", "--stack <STACK>"),
        ("fleet", "--ramp <SECONDS>"),
    ] {
        let (code, out, _) = run(&[command, "--help"]);
        assert!(code == Some(0) && out.contains(expected), "{command}: {out}");
    }
}

#[test]
fn a_wrong_command_line_is_status_2_and_a_failure_is_status_1() {
    assert_eq!(run(&["demo", "--devices", "0"]).0, Some(2));
    let (code, _, err) = run(&["factory", "--dir", "x", "--count", "1", "--server", "localhost"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("'localhost' is not HOST:PORT, for example localhost:8443"), "{err}");

    let (code, _, err) = run(&["device", "--dir", "/nonexistent"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("firmware-sim: cannot read /nonexistent/device.toml: No such file"), "{err}");
}

#[test]
fn the_factory_makes_a_lot_once_and_a_device_without_a_server_says_what_it_needs() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    let dir = dir.to_str().unwrap();
    let (code, out, err) = run(&["factory", "--dir", dir, "--count", "2"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, format!("2 devices are in {dir}.\n"));
    let (code, _, err) = run(&["factory", "--dir", dir, "--count", "2"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("exists already; choose another directory"), "{err}");

    let (code, _, err) = run(&["fleet", "--dir", dir]);
    assert_eq!(code, Some(1));
    assert!(err.contains("give --server HOST:PORT and --trust FILE"), "{err}");
}

/// Runs the program with its temporary directories in `temporary`, interrupts it once `begun` says so, and waits for its end.
async fn interrupt(arguments: &[&str], temporary: &Path, begun: impl Fn() -> bool) -> Option<i32> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .args(arguments)
        .env("TMPDIR", temporary)
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while !begun() {
        assert!(since.elapsed() < Duration::from_secs(60) && program.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap().success());
    let since = Instant::now();
    loop {
        if let Some(status) = program.try_wait().unwrap() {
            return status.code();
        }
        if since.elapsed() > Duration::from_secs(60) {
            program.kill().unwrap();
            // No status: it is deaf.
            return program.wait().unwrap().code();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn whatever_is_interrupted_leaves_no_keys_behind() {
    let home = tempfile::tempdir().unwrap();
    let (temporary, lots) = (home.path().join("tmp"), home.path().join("lots"));
    for folder in [&temporary, &lots] {
        std::fs::create_dir(folder).unwrap();
    }
    let lot = lots.join("lot");
    let lot = lot.to_str().unwrap();
    for arguments in [
        &["demo", "--devices", "2", "--keep-running"][..],
        &["rollover", "--devices", "10"],
        &["factory", "--dir", lot, "--count", "100000"],
    ] {
        let code = interrupt(arguments, &temporary, || !is_empty(&temporary) || !is_empty(&lots)).await;
        assert_eq!(code, Some(130), "{arguments:?}");
        assert!(is_empty(&temporary) && is_empty(&lots), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_fleet_that_waits_for_its_turn_is_interrupted_and_one_whose_turns_come_late_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (lot, bundle) = (path("lot"), path("trust.bundle"));
    std::fs::write(&bundle, "none").unwrap();
    assert_eq!(run(&["factory", "--dir", &lot, "--count", "2"]).0, Some(0));
    let fleet = ["fleet", "--dir", &lot, "--server", "127.0.0.1:1", "--trust", &bundle];
    let begun = Instant::now();
    let shortly = || begun.elapsed() > Duration::from_secs(2);
    let ramp = [&fleet[..], &["--ramp", "100000"]].concat();
    assert_eq!(interrupt(&ramp, home.path(), shortly).await, Some(130));

    // The second device begins after two seconds, longer than the patience, and ends at once: it has no trust bundle.
    let (code, out, err) = run(&[&fleet[..], &["--ramp", "4", "--patience", "1"]].concat());
    assert_eq!(code, Some(1), "{err}");
    assert!(!out.contains("not in time") && out.matches("failed: ").count() == 2, "{out}");
    assert!(out.contains("blank to published  no device came so far"), "{out}");
    let (_, out, _) = run(&[&fleet[..], &["--json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["p50_ms"], &report["online_devices"]),
        (&serde_json::Value::Null, &0.into()),
        "{out}"
    );
}

#[test]
fn a_year_that_ends_in_an_error_has_told_its_seed() {
    let output = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
        .args(["year", "--devices", "1", "--days", "1"])
        .env("TMPDIR", "/nonexistent")
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    let seed = err.lines().next().unwrap().strip_prefix("seed ").unwrap();
    assert!(seed.parse::<u64>().is_ok() && err.contains("temporary directory"), "{err}");
}

#[test]
fn a_storm_makes_the_folder_of_its_plots_and_is_told_where_they_cannot_be_drawn() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("new/plots");
    let storm = ["storm", "--devices", "100", "--scenario", "rollover", "--seed", "1", "--json", "--svg"];
    let storm = [&storm[..], &[folder.to_str().unwrap()]].concat();
    let (code, told, err) = run(&storm);
    assert_eq!(code, Some(0), "{err}");
    let plots: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(plots.len(), 2);
    for plot in plots {
        std::fs::remove_file(&plot).unwrap();
        std::fs::create_dir(&plot).unwrap();
    }
    let (code, out, err) = run(&storm);
    assert!(code == Some(1) && err.contains("new/plots: "), "{err}");
    assert_eq!(out, told);
}

#[test]
fn a_broken_device_toml_is_named_with_line_and_field() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("device.toml"), "device = 'SN-1'\nserver = 7\n").unwrap();
    let (code, _, err) = run(&["device", "--dir", home.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains("device.toml cannot be understood") && err.contains("line 2"), "{err}");
}

#[test]
fn a_flash_image_is_written_once_and_read_back_without_its_key() {
    use p256::pkcs8::DecodePrivateKey as _;
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (lot, image, bundle) = (path("lot"), path("flash.img"), path("trust.bundle"));
    std::fs::write(&bundle, b"any").unwrap();
    let order = ["--server", "10.0.2.2:8443", "--trust", &bundle, "--flash", &image];
    let (code, out, err) = run(&[&["factory", "--dir", &lot][..], &order].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("49152 bytes for address 0x00000000. It holds a private key"), "{out}");

    // What lies in the clear until the first start is in the file, and in nothing that is printed.
    let folder = std::fs::read_dir(path("lot/devices")).unwrap().next().unwrap().unwrap().path();
    let key = std::fs::read_to_string(folder.join("idevid.key")).unwrap();
    let scalar = p256::SecretKey::from_pkcs8_pem(&key).unwrap().to_bytes();
    assert!(std::fs::read(&image).unwrap().windows(32).any(|window| window == scalar.as_slice()));
    for format in [&["flash", &image][..], &["flash", &image, "--json"]] {
        let (code, out, err) = run(format);
        assert_eq!(code, Some(0), "{err}");
        for expected in ["10.0.2.2:8443", "demo-sensor", "clear", "SN-"] {
            assert!(out.contains(expected) || (expected == "clear" && format.len() > 2), "{expected}: {out}");
        }
        for part in scalar.chunks(4) {
            assert!(!out.contains(&hex::encode(part)), "a part of the key is printed: {out}");
        }
    }

    // Not over an old one; for another board; and of a device that was made before.
    let (code, _, err) = run(&["factory", "--device", folder.to_str().unwrap(), "--flash", &image]);
    assert!(code == Some(1) && err.contains("flash.img"), "{err}");
    let other = path("other.img");
    let device = ["factory", "--device", folder.to_str().unwrap(), "--flash", &other];
    let (code, out, err) = run(&[&device[..], &["--board", "stm32h573i-dk"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("131072 bytes for address 0x081e0000"), "{out}");
    assert_eq!(run(&["flash", &other, "--board", "stm32h573i-dk"]).0, Some(0));
    let (code, _, err) = run(&["flash", &other]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the flash image of lm3s6965evb has 49152"), "{err}");
    let many = run(&[&["factory", "--dir", &path("two"), "--count", "2"][..], &order].concat());
    assert!(many.0 == Some(1) && many.2.contains("--flash is for one device"), "{}", many.2);
}
