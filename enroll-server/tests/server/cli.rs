//! The program: its commands, its exit statuses, its JSON.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::device::Maker;

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
    command.env_remove("RUST_LOG").env_remove("ENROLL_SERVER_CONFIG").stdin(Stdio::null());
    command
}

pub(crate) fn init(folder: &Path) -> Output {
    let mut command = program();
    command.arg("init").arg("--dir").arg(folder.join("server")).args([
        "--tenant",
        "Acme",
        "--host",
        "localhost",
    ]);
    command.output().unwrap()
}

pub(crate) fn on(folder: &Path, arguments: &[&str]) -> Output {
    program().arg("--config").arg(folder.join("server/enroll-server.toml")).args(arguments).output().unwrap()
}

#[track_caller]
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Registers, lists and removes attestation keys; the maker is there.
fn attestation_keys(folder: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let (pem, id) = (folder.join("iak.pem"), "ab".repeat(32));
    std::fs::write(&pem, key.public_key_pem()).unwrap();
    let add = ["attestation-key", "add", "--json", "--instance-id", &id, "--device", "SN-1", "--key"];
    let add = [add.as_slice(), &[pem.to_str().unwrap()]].concat();
    let named = |maker| on(folder, &[add.as_slice(), &["--maker", maker, "--model", "sensor-a"]].concat());
    assert_eq!(named("nobody").status.code(), Some(4));
    assert_eq!(json(&named("Example Maker"))["added"], 1);

    let spki = hex::encode(rcgen::PublicKeyData::subject_public_key_info(&key));
    let csv = folder.join("keys.csv");
    let line = format!("{id},SN-1,{spki},Example Maker,sensor-a\n{},SN-2,{spki},,\n", "cd".repeat(32));
    std::fs::write(&csv, format!("instance_id,device,key,maker,model\n{line}")).unwrap();
    let again = json(&on(folder, &["attestation-key", "import", csv.to_str().unwrap(), "--json"]));
    assert_eq!((&again["unchanged"], &again["conflicting"][0]), (&1.into(), &"SN-2".into()));

    let listed = json(&on(folder, &["attestation-key", "list", "--json"]));
    assert_eq!(
        (&listed[0]["instance_id"], &listed[0]["maker"]),
        (&id.as_str().into(), &"Example Maker".into())
    );
    std::fs::write(&pem, "no key").unwrap();
    assert!(error(&on(folder, &add)).contains("this is no public key"), "{:?}", on(folder, &add));
    let remove = on(folder, &["attestation-key", "remove", &format!("01{id}")]);
    assert!(remove.status.success(), "{remove:?}");
    assert_eq!(on(folder, &["attestation-key", "remove", &id]).status.code(), Some(4));
}

#[test]
fn an_operators_day() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let again = init(folder);
    assert_eq!(again.status.code(), Some(1));
    assert!(error(&again).contains("is not empty; nothing was overwritten"), "{}", error(&again));

    let maker = Maker::new("Example Maker");
    let pem = folder.join("maker.pem");
    std::fs::write(&pem, &maker.pem).unwrap();
    let added = json(&on(folder, &["maker", "add", pem.to_str().unwrap(), "--json"]));
    assert_eq!(added["name"], "Example Maker");
    assert_eq!(json(&on(folder, &["maker", "list", "--json"])).as_array().unwrap().len(), 1);

    let csv = folder.join("inventory.csv");
    std::fs::write(&csv, maker.device("SN-1").inventory()).unwrap();
    let imported = json(&on(folder, &["device", "import", csv.to_str().unwrap(), "--json"]));
    assert_eq!(imported["added"], 1);
    let devices = json(&on(folder, &["--json", "device", "list"]));
    assert_eq!(
        (&devices["devices"][0]["device"], &devices["devices"][0]["state"]),
        (&"SN-1".into(), &"registered".into())
    );
    assert_eq!(json(&on(folder, &["device", "show", "SN-1", "--json"]))["model"], "sensor-a");

    attestation_keys(folder);

    let token = json(&on(folder, &["token", "create", "--device", "T-1", "--json"]));
    let text = token["token"].as_str().unwrap();
    let listed = on(folder, &["token", "list", "--json"]);
    assert!(!String::from_utf8(listed.stdout.clone()).unwrap().contains(text), "a list shows no secret");
    assert_eq!(json(&listed)["tokens"][0]["id"], token["id"]);
    assert!(on(folder, &["token", "revoke", token["id"].as_str().unwrap()]).status.success());

    let (svg, many) = (folder.join("token.svg"), ["token", "create", "--group", "lot-7", "--count", "3"]);
    let many = |more: &[&str]| on(folder, &[many.as_slice(), more].concat());
    assert_eq!(json(&many(&["--json"])).as_array().unwrap().len(), 3);
    let page = |more: &[&str]| {
        let page = json(&on(folder, &[&["token", "list", "--json", "--limit", "3"], more].concat()));
        (page["tokens"].as_array().unwrap().len(), page["next"].as_str().map(str::to_owned))
    };
    let (rows, next) = page(&[]);
    assert_eq!((rows, page(&["--after", &next.unwrap()])), (3, (1, None)));
    let csv = String::from_utf8(many(&["--csv"]).stdout).unwrap();
    assert_eq!((csv.lines().next().unwrap(), csv.lines().count()), ("token,text,group,expires", 4), "{csv}");
    let labels = String::from_utf8(many(&["--short", "--print"]).stdout).unwrap();
    assert_eq!(labels.matches("for any device of group lot-7").count(), 3, "{labels}");
    assert!(labels.contains('\u{2588}'), "a QR code: {labels}");
    let qr = on(folder, &["token", "create", "--short", "--qr", svg.to_str().unwrap(), "--json"]);
    assert_eq!(json(&qr)["token"].as_str().unwrap().len(), 19);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));

    let key = folder.join("group.key");
    let made = on(
        folder,
        &["key", "create", "--group", "lot-7", "--quota", "5", "--out", key.to_str().unwrap(), "--json"],
    );
    let made = json(&made);
    assert_eq!(
        (&made["kind"], &made["group"], &made["quota"]),
        (&"group-key".into(), &"lot-7".into(), &5.into())
    );
    let secret = std::fs::read_to_string(&key).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // The factory derives without a server.
    let derive = |device: &str| {
        let mut command = program();
        command.args(["key", "derive", "--group-key", key.to_str().unwrap(), "--device", device, "--json"]);
        json(&command.output().unwrap())["key"].as_str().unwrap().to_owned()
    };
    assert!(derive("SN-1").starts_with("device-key:") && derive("SN-1") != derive("SN-2"));
    let listed = on(folder, &["key", "list", "--json"]);
    let text = String::from_utf8(listed.stdout.clone()).unwrap();
    assert!(!text.contains(secret.trim().rsplit(':').next().unwrap()), "a list shows no secret");
    assert_eq!(json(&listed)["keys"][0]["id"], made["id"]);
    // A file that is there is not overwritten, and no key that nobody holds stands before that of the device's group.
    let again = on(folder, &["key", "create", "--device", "SN-5", "--out", key.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1), "{}", error(&again));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);
    let keys = json(&on(folder, &["key", "list", "--json"]));
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    assert!(on(folder, &["key", "revoke", made["id"].as_str().unwrap()]).status.success());

    assert!(on(folder, &["device", "approve", "SN-1"]).status.success());
    assert_eq!(json(&on(folder, &["device", "revoke", "SN-1", "--json"]))["certificates"], 0);
    let kinds: Vec<String> = json(&on(folder, &["event", "list", "--json"]))
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect();
    let kinds = kinds.iter().map(String::as_str).collect::<Vec<_>>();
    let different: Vec<_> = kinds.chunk_by(PartialEq::eq).map(|same| same[0]).collect();
    let credentials = ["credential-revoked", "credential-created"];
    let keys = ["attestation-key-removed", "attestation-keys-added"];
    let (last, tokens) = (["revoked", "approved"], ["token-created", "token-revoked", "token-created"]);
    let first = ["imported", "maker-added"];
    assert_eq!(different, [last.as_slice(), &credentials, &tokens, &keys, &first].concat());
    assert_eq!(kinds.iter().filter(|kind| **kind == "token-created").count(), 11);
    let text = String::from_utf8(on(folder, &["device", "list"]).stdout).unwrap();
    assert!(text.contains("SN-1") && text.contains("revoked"), "{text}");
}

#[test]
fn exit_statuses_tell_failures_apart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    for (arguments, status) in [
        (&["device", "show", "SN-9"][..], 4),
        (&["device", "revoke", "SN-9"], 4),
        (&["token", "revoke", "00"], 4),
        (&["key", "revoke", "00"], 4),
        (&["token", "create", "--count", "0"], 2),
        (&["token", "create", "--count", "2", "--device", "SN-1"], 2),
        (&["token", "create", "--csv", "--json"], 2),
        (&["token", "create", "--qr", "/no/such/folder/file"], 1),
        (&["key", "create"], 2),
        (&["key", "create", "--device", "SN-1", "--group", "x"], 2),
        (&["key", "derive", "--group-key", "/no/such/file", "--device", "SN-1"], 1),
        (&["cert", "show", "ffffffffffffffffffffffffffffffff"], 4),
        (&["cert", "show", "x"], 2),
        (&["frobnicate"], 2),
        (&["maker", "add", "/no/such/file"], 1),
    ] {
        let output = on(folder, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", error(&output));
        assert!(!error(&output).is_empty());
    }
    let path = folder.join("server/enroll-server.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("https = \"0.0.0.0:8443\"", "https = 1");
    std::fs::write(&path, config + "\n[crll]\n").unwrap();
    let output = on(folder, &["serve"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("listen.https: expected an address"), "{}", error(&output));
    assert!(error(&output).contains("crll: is no field"), "all mistakes at once: {}", error(&output));
    let output = program().args(["--config", "/no/such.toml", "serve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("/no/such.toml: cannot be read"), "{}", error(&output));
}

#[test]
fn with_json_every_failure_is_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    for (arguments, status, said) in [
        // Nobody is asked where there is no terminal.
        (&["device", "renew", "--all", "--json"][..], 2, "say --yes"),
        (&["device", "show", "SN-9", "--json"], 4, "SN-9"),
    ] {
        let output = on(folder, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", error(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["error"].as_str().unwrap().contains(said), "{told}");
        assert_eq!(error(&output).matches(said).count(), 1, "{}", error(&output));
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_and_leaves_no_token_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let into = |stdout: Stdio, arguments: &[&str]| {
        let mut command = program();
        command.arg("--config").arg(folder.join("server/enroll-server.toml")).args(arguments);
        command.stdout(stdout).output().unwrap()
    };
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let svg = folder.join("token.svg");
    for (arguments, made) in [
        (&["token", "create"][..], 1),
        (&["token", "create", "--json"], 1),
        (&["token", "create", "--count", "3", "--csv"], 3),
        (&["token", "create", "--count", "2", "--short", "--print"], 2),
        (&["token", "create", "--qr", svg.to_str().unwrap()], 1),
        (&["token", "list"], 0),
        (&["token", "list", "--json"], 0),
        (&["event", "follow", "--since", "1h"], 0),
        (&["openapi"], 0),
    ] {
        let before = json(&on(folder, &["token", "list", "--json"]))["tokens"].as_array().unwrap().len();
        let output = into(full(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", error(&output));
        let said = error(&output);
        assert_eq!(said.matches("standard output: cannot be written").count(), 1, "{arguments:?}: {said}");
        assert_eq!(said.contains("revoked again"), made > 0, "{arguments:?}: {said}");
        let listed = json(&on(folder, &["token", "list", "--json"]));
        let tokens = &listed["tokens"];
        assert_eq!(tokens.as_array().unwrap().len() - before, made, "{arguments:?}");
        assert!(tokens.as_array().unwrap().iter().all(|token| token["revoked"] == true), "{tokens}");
    }
    assert!(!svg.exists(), "no label of a token that is none");

    // A reader that has seen enough is no failure.
    for arguments in [&["token", "list"][..], &["token", "create"], &["event", "follow", "--since", "1h"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = into(writer.into(), arguments);
        assert_eq!((output.status.code(), error(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn an_inventory_with_a_mistake_is_not_imported_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let csv = folder.join("inventory.csv");
    std::fs::write(&csv, "device,model,idevid_sha256\nSN-1,a,\nS N,a,\n").unwrap();
    let output = on(folder, &["device", "import", csv.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("line 3"), "{}", error(&output));
    assert_eq!(json(&on(folder, &["device", "list", "--json"]))["devices"].as_array().unwrap().len(), 0);
}

#[test]
fn a_maker_s_file_is_tried_imported_exported_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    // A model that a spreadsheet would carry out; in JSON it stands as it is.
    let formula = file("formula.jsonl", "{\"device\":\"SN-2\",\"model\":\"=1+cmd|' /C x'!A0\"}\n");
    let rows = "tags,device,model\n\"a b\",SN-1,\"sensor, \"\"a\"\"\"\n,SN-2,\nx,S N,\n";
    let csv = file("in.csv", rows);
    let report = folder.join("bad.jsonl");
    let dry =
        on(folder, &["device", "import", &csv, "--dry-run", "--json", "--report", report.to_str().unwrap()]);
    let dry = json(&dry);
    assert_eq!((&dry["added"], &dry["bad"], &dry["dry_run"]), (&2.into(), &1.into(), &true.into()));
    assert!(std::fs::read_to_string(&report).unwrap().contains("\"line\":4"));
    let done = on(folder, &["device", "import", &csv, "--skip-bad"]);
    assert!(done.status.success());
    assert!(!error(&done).contains('['), "no bar where nobody looks on: {}", error(&done));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("2 added") && text.contains("line 4, device"), "{text}");
    assert_eq!(json(&on(folder, &["device", "import", &formula, "--json"]))["completed"], 1);
    assert!(on(folder, &["device", "suspend", "SN-2"]).status.success());
    assert!(on(folder, &["device", "set-group", "lot-7", "--tag", "a"]).status.success());

    let exported = on(folder, &["device", "export"]);
    let text = String::from_utf8(exported.stdout).unwrap();
    assert!(text.contains("SN-1,\"sensor, \"\"a\"\"\",,lot-7,a b,registered,"), "{text}");
    assert!(text.contains("\nSN-2,'=1+cmd|' /C x'!A0,"), "{text}");
    for (form, name) in [("csv", "out.csv"), ("jsonl", "out.jsonl")] {
        let path = folder.join(name);
        let path = path.to_str().unwrap();
        let written = on(folder, &["device", "export", "--format", form, "--output", path]);
        assert!(written.status.success(), "{}", error(&written));
        let again = on(folder, &["device", "export", "--format", form, "--output", path]);
        assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
        let back = json(&on(folder, &["device", "import", path, "--json"]));
        assert_eq!((&back["unchanged"], &back["conflicting"]), (&2.into(), &0.into()), "{form}");
        assert_eq!(std::fs::read_to_string(path).unwrap().contains(",'=1+cmd"), form == "csv");
    }
    let held = on(folder, &["device", "resume", "SN-1"]);
    assert_eq!(held.status.code(), Some(1));
    assert!(error(&held).contains("SN-1 is registered: it cannot be resumed"), "{}", error(&held));
    let many = ["device", "retire", "--group", "lot-7", "--json"];
    let unsure = on(folder, &many);
    assert_eq!(unsure.status.code(), Some(2), "nobody confirmed it");
    assert!(error(&unsure).contains("--yes"), "{}", error(&unsure));
    let all = json(&on(folder, &[&many[..], &["--yes"]].concat()));
    assert_eq!((&all["done"], &all["illegal"]), (&1.into(), &0.into()));
    let queue = on(folder, &["device", "queue"]);
    assert_eq!(String::from_utf8(queue.stdout).unwrap().trim(), "Nothing waits for approval.");
    let found = json(&on(folder, &["device", "list", "--state", "suspended", "--json"]));
    assert_eq!(found["devices"][0]["device"], "SN-2");
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    for name in ["nonce.key", "credential.key", "issuing-ca.key", "server.key"] {
        let path = folder.join("server").join(name);
        let set = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, permissions).unwrap();
        };
        set(0o640);
        let output = on(folder, &["serve"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(error(&output).contains("chmod 600"), "{}", error(&output));
        set(0o600);
    }
}

#[test]
fn serve_reports_its_addresses_and_ends_well_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let path = folder.join("server/enroll-server.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0");
    std::fs::write(&path, config).unwrap();
    let mut server =
        program().arg("--config").arg(&path).arg("serve").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let ready = lines.find_map(|line| line.ok().filter(|line| line.contains("the server is ready"))).unwrap();
    assert!(ready.contains("https=127.0.0.1:") && !ready.contains(":0 "), "{ready}");
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(lines.any(|line| line.unwrap().contains("the server has stopped")));
}

#[tokio::test]
async fn cert_show_tells_what_the_device_said_about_itself() {
    let site = crate::kit::Site::new().await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    let folder = site.folder.path();
    // Beside the server that runs.
    let list = json(&on(folder, &["cert", "list", "--device", "SN-1", "--json"]));
    let serial = list["certificates"][0]["serial"].as_str().unwrap();
    let shown = json(&on(folder, &["cert", "show", serial, "--json"]));
    assert_eq!((&shown["state"], &shown["device"]), (&"issued".into(), &"SN-1".into()));
    assert_eq!(shown["evidence"]["claims"]["hwmodel"], "sensor-a");
    let digest = &shown["evidence"]["claims"]["measurements"][0]["2"][1];
    assert_eq!(digest, &hex::encode(crate::kit::device::GOOD));
    let pem = shown["certificate"].as_str().unwrap();
    assert_eq!(ca::pem::read_certificates(pem.as_bytes()).unwrap().len(), 1);
    let text = String::from_utf8(on(folder, &["cert", "show", serial]).stdout).unwrap();
    assert!(text.contains("\"swversion\"") && text.contains("-----BEGIN CERTIFICATE-----"), "{text}");
}
