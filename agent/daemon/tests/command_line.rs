//! The program's words: help, the sample configuration, typical mistakes and exit statuses, compared with files in
//! `tests/snapshots`. `UPDATE_SNAPSHOTS=1 cargo test -p agent` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test may end anywhere")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, in an environment of its own and at a width that does not change.
fn agent(directory: &Path, arguments: &[&str]) -> Output {
    agent_into(directory, arguments, Stdio::piped())
}

/// As [`agent`], with its standard output somewhere else.
fn agent_into(directory: &Path, arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agent"))
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "110")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(stdout)
        .output()
        .unwrap()
}

fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "see {} and the head of this file", path.display());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_teaches_and_names_the_exit_statuses() {
    let here = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("help.txt", vec!["--help"]),
        ("help-short.txt", vec!["-h"]),
        ("help-status.txt", vec!["status", "-h"]),
        ("help-proxy.txt", vec!["proxy", "-h"]),
    ] {
        let output = agent(here.path(), &arguments);
        assert_eq!(output.status.code(), Some(0));
        compare(name, &text(&output.stdout));
    }
}

#[test]
fn the_packaged_sample_is_what_the_program_prints() {
    let here = tempfile::tempdir().unwrap();
    let printed = text(&agent(here.path(), &["sample"]).stdout);
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/agent.toml");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&packaged, &printed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(packaged).unwrap(), printed);
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("agent.toml");
    std::fs::write(&file, BROKEN).unwrap();
    let output = agent(here.path(), &["--config", "agent.toml", "--network-connect-timeout", "0", "status"]);
    assert_eq!(output.status.code(), Some(2));
    compare("mistakes.txt", &text(&output.stderr));
    assert!(output.stdout.is_empty());
}

const BROKEN: &str = r#"state_dir = 7
[server]
host = "https://enroll.example.com/"
prot = 8443
port = 99999

[identity]
certificate = "idevid.pem"
device = "SN 1"

[firmware]
version = "1.2"
debug = "off"
model = "0123456789012345678901234567890123"
measurements = [{ component = "application", version = "1", digest = "abc" }]

[hook]
command = "/bin/true --now"

[telemetry]
interval = "soon"
"#;

#[test]
fn a_syntax_error_names_its_line() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("agent.toml"), "[server]\nhost = \"a\"\nport = = 8443\n").unwrap();
    let output = agent(here.path(), &["--config", "agent.toml", "status"]);
    assert_eq!(output.status.code(), Some(2));
    compare("syntax.txt", &text(&output.stderr));
}

#[test]
fn files_that_are_missing_or_open_are_refused_with_what_to_do() {
    let here = tempfile::tempdir().unwrap();
    let missing = agent(here.path(), &["--config", "missing.toml", "run"]);
    assert_eq!(missing.status.code(), Some(2));
    compare("missing-config.txt", &text(&missing.stderr));

    std::fs::write(here.path().join("token"), "secret-token").unwrap();
    set_mode(&here.path().join("token"), 0o644);
    let flags = ["--server-host", "localhost", "--identity-device", "SN-1", "--identity-token-file", "token"];
    let enroll = |state: &str| agent(here.path(), &[&flags[..], &["--state-dir", state, "enroll"]].concat());
    let open_token = enroll("state");
    assert_eq!(open_token.status.code(), Some(4));
    compare("open-token.txt", &text(&open_token.stderr));

    std::fs::create_dir(here.path().join("open")).unwrap();
    set_mode(&here.path().join("open"), 0o755);
    let open_state = enroll("open");
    assert_eq!(open_state.status.code(), Some(4));
    compare("open-state.txt", &text(&open_state.stderr));
}

/// A script that keeps the answer, as `agent status --json > file` does, must hear that the disk was full.
#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("token"), "secret-token").unwrap();
    set_mode(&here.path().join("token"), 0o600);
    // Nobody listens on port 1.
    let flags = [
        ["--server-host", "127.0.0.1"],
        ["--server-port", "1"],
        ["--identity-device", "SN-1"],
        ["--identity-token-file", "token"],
        ["--state-dir", "state"],
    ];
    // The first one that needs a state directory makes it.
    for (command, usual) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["sample"], 0),
        (&["reset", "--yes"], 0),
        (&["status"], 5),
        (&["status", "--json"], 5),
        // No trust bundle: the answer says so.
        (&["renew", "--json"], 4),
        (&["doctor"], 1),
    ] {
        let arguments = [flags.as_flattened(), command].concat();
        let heard = agent(here.path(), &arguments);
        assert_eq!(heard.status.code(), Some(usual), "{command:?}: {heard:?}");
        assert!(!heard.stdout.is_empty(), "{command:?} has an answer");

        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let lost = agent_into(here.path(), &arguments, full);
        assert_eq!(lost.status.code(), Some(4), "{command:?}: {lost:?}");
        let told = text(&lost.stderr);
        assert!(told.contains("the answer could not be written to standard output: No space left"), "{told}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = agent_into(here.path(), &arguments, writer);
        assert_eq!(left.status.code(), Some(usual), "{command:?}: {left:?}");
        assert!(!text(&left.stderr).contains("standard output"), "{left:?}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
