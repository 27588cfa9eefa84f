//! `policy` on the command line, beside a server that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use shared::{DeviceId, Reject, endpoint};

use crate::cli::{error, init, json, on, program};
use crate::kit::device::{Device, Operational, reference_values};
use crate::kit::{Site, assert_refused, until};

fn server(folder: &Path, name: &str) -> PathBuf {
    folder.join("server").join(name)
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// JSON of a command that ends with this status.
#[track_caller]
fn json_with(output: &Output, status: i32) -> Value {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn check_tells_every_mistake_and_what_is_hardly_meant() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let fresh = on(folder, &["policy", "check"]);
    assert!(fresh.status.success(), "{fresh:?}");
    let warned = text(&fresh);
    assert!(warned.contains("policy.toml: good, but"), "{warned}");
    assert!(warned.contains("warning: evidence.kinds: \"idevid-eat\" is accepted, but no maker"), "{warned}");

    let bad = folder.join("bad.toml");
    fs::write(&bad, "[certificate]\ndays = 0\n\n[enrolment]\n").unwrap();
    let output = on(folder, &["policy", "check", bad.to_str().unwrap(), "--json"]);
    let value = json_with(&output, 3);
    assert_eq!(value["good"], false);
    let problems = value["files"][0]["problems"].as_array().unwrap();
    let told: Vec<_> =
        problems.iter().map(|p| (p["line"].as_u64().unwrap(), p["field"].as_str().unwrap())).collect();
    assert_eq!(told, [(2, "certificate.days"), (4, "enrolment")]);
    let output = on(folder, &["policy", "check", bad.to_str().unwrap()]);
    let expected = format!(
        "{0}:2: certificate.days: found 0; wanted a whole number from 1 to 180, or \"profile\"\n{0}:4: enrolment: there is no such field\n",
        bad.display()
    );
    assert_eq!((output.status.code(), text(&output)), (Some(3), expected));

    // A file can be checked where no server is.
    let good = folder.join("good.toml");
    fs::write(&good, "[[model]]\nname = \"a\"\nmaker = \"nobody\"\n[[maker]]\nname = \"somebody\"\n")
        .unwrap();
    let output = program()
        .args(["--config", "/no/such.toml", "policy", "check", good.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output)
            .contains("warning: model: \"a\" can never fit: [[maker]] does not allow the maker \"nobody\""),
        "{}",
        text(&output)
    );

    // All files of the settings, one of them misnamed; and a group whose devices get nothing.
    fs::write(server(folder, "policy.d/lab.toml"), "[firmware]\ncomponents = []\n").unwrap();
    fs::write(server(folder, "policy.d/Lab.toml"), "").unwrap();
    let value = json_with(&on(folder, &["policy", "check", "--json"]), 3);
    let files: Vec<_> =
        value["files"].as_array().unwrap().iter().map(|f| f["problems"].as_array().unwrap().len()).collect();
    assert_eq!(files, [0, 1, 1]);
}

#[test]
fn show_prints_every_value_and_promote_puts_the_candidate_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    fs::write(server(folder, "policy.d/lab.toml"), "[certificate]\ndays = 7\n").unwrap();
    let shown = text(&on(folder, &["policy", "show", "--group", "lab"]));
    assert!(shown.contains("days = 7\n") && shown.contains("grace_days = 30\n"), "{shown}");
    let value = json(&on(folder, &["policy", "show", "--group", "lab", "--json"]));
    let read = appraisal::Policy::parse("shown", value["policy"].as_str().unwrap()).unwrap();
    assert_eq!(value["digest"], read.digest().to_string());
    for nothing in [
        &["policy", "show", "--group", "nobody"][..],
        &["policy", "show", "--candidate"],
        &["policy", "promote"],
        &["policy", "promote", "--group", "lab"],
        &["policy", "explain", "--device", "SN-1"],
    ] {
        assert_eq!(on(folder, nothing).status.code(), Some(4), "{nothing:?}");
    }
    let candidate = server(folder, "policy.d/lab.candidate.toml");
    fs::write(&candidate, "[certificate]\ndays = 0\n").unwrap();
    let output = on(folder, &["policy", "promote", "--group", "lab"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("lab.candidate.toml:2: certificate.days"), "{}", error(&output));
    fs::write(&candidate, "[certificate]\ndays = 8\n[rollout]\nmode = \"enforce\"\npercent = 30\n").unwrap();
    let value = json(&on(folder, &["policy", "show", "--group", "lab", "--candidate", "--json"]));
    assert_eq!((&value["mode"], &value["percent"]), (&"enforce".into(), &30.into()));
    let promoted = json(&on(folder, &["policy", "promote", "--group", "lab", "--json"]));
    assert_eq!(promoted["digest"], value["digest"]);
    assert!(!candidate.exists());
    assert_eq!(
        fs::read_to_string(server(folder, "policy.d/lab.toml.previous")).unwrap(),
        "[certificate]\ndays = 7\n"
    );
    assert!(text(&on(folder, &["policy", "show", "--group", "lab"])).contains("days = 8\n"));
    let status = json(&on(folder, &["policy", "status", "--json"]));
    assert_eq!((&status["server"], &status["files"]["good"]), (&Value::Null, &true.into()));
}

/// Sends a request and keeps it as a file.
async fn send(site: &Site, name: &str, body: &[u8]) -> (crate::kit::client::Reply, PathBuf) {
    let path = site.folder.path().join(name);
    fs::write(&path, body).unwrap();
    (site.tls().post(endpoint::ENROLL, body).await, path)
}

/// What `policy explain` says of a request and of its device.
#[track_caller]
fn explained(site: &Site, file: &Path) -> Value {
    json(&on(site.folder.path(), &["policy", "explain", "--evidence", file.to_str().unwrap(), "--json"]))
}

/// Waits until `policy explain --device` names this rule for the device's last request.
async fn explained_by_record(site: &Site, device: &DeviceId, rule: &str) {
    until(&format!("{rule} in the records"), async || {
        let output = on(site.folder.path(), &["policy", "explain", "--device", device.as_str(), "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        value[0]["rule"] == rule
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_the_rule_for_refusals_of_every_step() {
    let site = Site::with(|config| {
        fs::write(config.files.policy_groups.join("full.toml"), "[enrollment]\nquota = 0\n").unwrap();
    })
    .await;
    let device = site.device("SN-1").await;

    // Nothing that can be read.
    let (reply, file) = send(&site, "garbage", b"\xa0\xff").await;
    assert_refused(&reply, Reject::MalformedMessage);
    let value = explained(&site, &file);
    assert_eq!((&value["rule"], &value["refusal"]), (&"message".into(), &"malformed-message".into()));
    let (_, file) = send(&site, "long", &vec![0; 100_000]).await;
    assert_eq!(explained(&site, &file)["rule"], "message");

    // A nonce of nobody: the rest is explained all the same.
    let body = device.enroll([3; 32], &Operational::new().csr);
    let (reply, file) = send(&site, "nonce", &body).await;
    assert_refused(&reply, Reject::UnknownNonce);
    let value = explained(&site, &file);
    assert_eq!((&value["rule"], &value["outcome"]), (&"nonce".into(), &"refused".into()));
    assert_eq!(value["claims"]["claims"]["model"], "sensor-a");
    explained_by_record(&site, &device.id, "nonce").await;

    // A CSR that proves nothing.
    let mut csr = Operational::new().csr;
    *csr.last_mut().unwrap() ^= 1;
    let good = Operational::new();
    let nonce = site.nonce(&device.id).await;
    let evidence = device.evidence(&nonce, &good.csr);
    let request = shared::message::latest::EnrollRequest {
        device: device.id.clone(),
        csr: &csr,
        evidence: shared::message::latest::FreshEvidence {
            nonce,
            kind: shared::message::latest::EvidenceKind::IdevidEat,
            body: &evidence,
            endorsements: [device.idevid.as_slice()].into_iter().collect(),
        },
        trust: None,
    };
    let mut body = vec![0; shared::limits::MAX_REQUEST];
    let length = request.encode(&mut body).unwrap();
    let (reply, file) = send(&site, "csr", &body[..length]).await;
    assert_refused(&reply, Reject::NoProofOfPossession);
    assert_eq!(explained(&site, &file)["rule"], "csr");
    explained_by_record(&site, &device.id, "csr").await;

    // A token that nobody made.
    let nonce = site.nonce(&device.id).await;
    let body = Device::enroll_by_token(&device.id, "00", nonce, &Operational::new().csr);
    let (reply, file) = send(&site, "token", &body).await;
    assert_refused(&reply, Reject::BadToken);
    assert_eq!(explained(&site, &file)["rule"], "token");
    explained_by_record(&site, &device.id, "token").await;

    // The appraisal.
    let mut changed = site.maker.device("SN-1");
    changed.digest = [1; 32];
    let key = Operational::new();
    let body = changed.enroll(site.nonce(&device.id).await, &key.csr);
    let (reply, file) = send(&site, "clone", &body).await;
    assert_refused(&reply, Reject::IdentityConflict);
    let value = explained(&site, &file);
    assert_eq!(value["rule"], "pinned-key");
    let rules = value["rules"].as_array().unwrap();
    assert_eq!(rules.last().unwrap()["verdict"], "refused");
    assert!(rules.iter().any(|rule| rule["rule"] == "evidence-signature" && rule["verdict"] == "passed"));
    explained_by_record(&site, &device.id, "pinned-key").await;

    // The store: a full group, a used nonce, a key seen before, a nonce past its time.
    let crowded = site.device("SN-2").await;
    let full = "full".parse().unwrap();
    site.admin().act_on(&crowded.id, enroll_server::store::Action::Transfer(full)).await.unwrap();
    let body = crowded.enroll(site.nonce(&crowded.id).await, &Operational::new().csr);
    let (reply, file) = send(&site, "full", &body).await;
    assert_refused(&reply, Reject::QuotaReached);
    assert_eq!(explained(&site, &file)["rule"], "quota");
    explained_by_record(&site, &crowded.id, "quota").await;

    let (nonce, key) = (site.nonce(&device.id).await, Operational::new());
    let (reply, first) = send(&site, "first", &device.enroll(nonce, &key.csr)).await;
    assert_eq!(reply.status, 200);
    let value = explained(&site, &first);
    assert_eq!(
        (&value["outcome"], &value["rule"]),
        (&"accepted".into(), &Value::Null),
        "the same request again"
    );
    let (reply, file) = send(&site, "used", &device.enroll(nonce, &Operational::new().csr)).await;
    assert_refused(&reply, Reject::UsedNonce);
    assert_eq!(explained(&site, &file)["rule"], "nonce");
    explained_by_record(&site, &device.id, "nonce").await;
    let (reply, file) = send(&site, "key", &device.enroll(site.nonce(&device.id).await, &key.csr)).await;
    assert_refused(&reply, Reject::KeyReused);
    assert_eq!(explained(&site, &file)["rule"], "new-key");
    explained_by_record(&site, &device.id, "new-key").await;

    let (_, late) = send(&site, "late", &{
        let nonce = site.nonce(&device.id).await;
        device.enroll(nonce, &Operational::new().csr)
    })
    .await;
    let hour = |file: &Path| {
        let at = site.admin().now().as_secs() + 3_600;
        let (file, at) = (file.to_str().unwrap(), at.to_string());
        json(&on(site.folder.path(), &["policy", "explain", "--evidence", file, "--at", &at, "--json"]))
    };
    assert_eq!(hour(&late)["outcome"], "accepted", "the same request gets its answer whenever it comes");
    fs::write(&late, device.enroll(site.nonce(&device.id).await, &Operational::new().csr)).unwrap();
    let value = hour(&late);
    assert_eq!((&value["rule"], &value["refusal"]), (&"nonce".into(), &"expired-nonce".into()));

    // Another policy, and another group.
    let policy = site.folder.path().join("strict.toml");
    fs::write(&policy, "[evidence]\nkinds = [\"tpm2\"]\n").unwrap();
    let (late, policy) = (late.to_str().unwrap(), policy.to_str().unwrap());
    let of = |more: &[&str]| {
        let arguments = [&["policy", "explain", "--evidence", late, "--json"], more].concat();
        json(&on(site.folder.path(), &arguments))["rule"].clone()
    };
    assert_eq!(of(&["--policy", policy]), "evidence-kind");
    assert_eq!(of(&["--group", "nobody"]), "group-policy");
    assert_eq!(of(&[]), Value::Null);

    // Over the wire a device that was revoked learns that and nothing else.
    site.admin().revoke(&device.id, ca::crl::Reason::Unspecified).await.unwrap();
    assert_refused(&site.try_enroll(&device).await.0, Reject::DeviceRevoked);
    explained_by_record(&site, &device.id, "not-revoked").await;
    let shown = text(&on(site.folder.path(), &["policy", "explain", "--device", "SN-1", "--last", "3"]));
    assert!(shown.contains("refused by the rule \"not-revoked\" (device-revoked)"), "{shown}");
    assert!(shown.contains("\n  Rules:\n") && shown.contains("\n  Claims:\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_tells_which_of_hundreds_of_requests_a_new_policy_would_change() {
    let site = Site::new().await;
    let mut refused = 0;
    for number in 0..200 {
        let mut device = site.device(&format!("SN-{number}")).await;
        // Every tenth runs firmware that is not known.
        if number % 10 == 0 {
            device.digest = [7; 32];
            refused += 1;
        }
        site.try_enroll(&device).await;
    }
    assert_refused(&site.try_enroll(&site.maker.device("X-1")).await.0, Reject::NotInInventory);
    until("all records", async || {
        let filter = enroll_server::store::AppraisalFilter { limit: 1000, ..Default::default() };
        site.admin().appraisals(filter).await.unwrap().len() == 201
    })
    .await;
    let folder = site.folder.path();
    let replay = |policy: &str, status: i32| {
        let path = folder.join("new.toml");
        fs::write(&path, policy).unwrap();
        json_with(
            &on(folder, &["policy", "replay", "--since", "1d", "--policy", path.to_str().unwrap(), "--json"]),
            status,
        )
    };
    let counts = |value: &Value| {
        ["looked_at", "unchanged", "now_refused", "now_accepted", "now_otherwise"]
            .map(|name| value[name].as_u64().unwrap())
    };
    let same = replay(&reference_values(), 0);
    assert_eq!(counts(&same), [201, 201, 0, 0, 0], "the policy in force");
    assert_eq!(same["changes"].as_array().unwrap().len(), 0);

    let stricter = replay(&format!("[[model]]\nname = \"other\"\n{}", reference_values()), 5);
    assert_eq!(counts(&stricter), [201, 201 - 180, 180, 0, 0]);
    let change = &stricter["changes"][0];
    assert_eq!(
        (&change["before"]["outcome"], &change["after"]["rule"]),
        (&"accepted".into(), &"model".into())
    );

    let laxer = replay("[firmware]\nmeasurements = \"ignore\"\n[inventory]\nrequired = false\n", 5);
    assert_eq!(counts(&laxer), [201, 180, 0, refused + 1, 0]);
    let rules: std::collections::BTreeSet<_> =
        laxer["changes"].as_array().unwrap().iter().map(|c| c["before"]["rule"].as_str().unwrap()).collect();
    assert_eq!(rules.into_iter().collect::<Vec<_>>(), ["inventory", "measurements"]);

    let held = replay(&format!("[enrollment]\nfirst = \"hold\"\n{}", reference_values()), 5);
    assert_eq!(counts(&held), [201, 21, 0, 0, 180]);

    let path = folder.join("new.toml");
    let output = on(folder, &["policy", "replay", "--policy", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5));
    let shown = text(&output);
    assert!(
        shown.contains(
            "201 requests: 0 would be refused now, 0 accepted now, 180 otherwise changed, 21 as before."
        ),
        "{shown}"
    );
    assert!(shown.contains("held (first-enrollment)"), "{shown}");
    // Of a group that has no requests, and a policy with a mistake.
    fs::write(&path, "").unwrap();
    let other = ["policy", "replay", "--policy", path.to_str().unwrap(), "--group", "lab", "--json"];
    assert_eq!(json_with(&on(folder, &other), 0)["looked_at"], 0);
    fs::write(&path, "[certificate]\ndays = 0\n").unwrap();
    assert_eq!(on(folder, &other).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_what_is_in_force_and_how_the_candidate_compares() {
    let site = Site::new().await;
    let folder = site.folder.path();
    let candidate = server(folder, "policy.candidate.toml");
    fs::write(&candidate, format!("[[model]]\nname = \"other\"\n{}", reference_values())).unwrap();
    let status = || json(&on(folder, &["policy", "status", "--json"]));
    until("the candidate", async || status()["server"]["groups"][0]["candidate"]["mode"] == "observe").await;
    for number in 0..5 {
        let device = site.device(&format!("SN-{number}")).await;
        site.enroll(&device).await;
    }
    let value = status();
    let compared = &value["candidates"][0];
    assert_eq!((&compared["group"], &compared["same"]), (&"default".into(), &0.into()), "{value}");
    assert_eq!(compared["refused_only_by_candidate"]["model"], 5);
    let shown = text(&on(folder, &["policy", "status"]));
    assert!(shown.contains("(candidate ") && shown.contains("refuses 5 more (model 5), 0 less"), "{shown}");

    fs::write(&candidate, "[certificate]\ndays = 0\n").unwrap();
    until("the mistake", async || status()["server"]["problem"].is_string()).await;
    let value = status();
    assert_eq!(value["files"]["good"], false);
    assert!(
        text(&on(folder, &["policy", "status"]))
            .contains("The server keeps it, because the files had mistakes:")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_asks_for_another_is_explained_under_the_name_it_asked_for() {
    let site = Site::new().await;
    let (one, other) = (site.device("SN-1").await, site.device("SN-2").await);
    let identity = site.enroll(&one).await;
    let renewal = Device::renew(&other.id, &Operational::new().csr);
    let reply = site.tls().identity(&identity).post(endpoint::RENEW, &renewal).await;
    assert_refused(&reply, Reject::NotYourDevice);
    explained_by_record(&site, &other.id, "tls-identity").await;
    let reply = site.tls().post(endpoint::RENEW, &Device::renew(&one.id, &Operational::new().csr)).await;
    assert_refused(&reply, Reject::NotAuthenticated);
    explained_by_record(&site, &one.id, "tls-identity").await;
}

#[test]
fn a_hangup_has_the_files_read_at_once() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(init(folder).status.success());
    let path = server(folder, "enroll-server.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("0.0.0.0:8443", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0");
    fs::write(&path, config).unwrap();
    let mut command = program();
    command.arg("--config").arg(&path).arg("serve").stderr(std::process::Stdio::piped());
    let mut served = command.spawn().unwrap();
    let mut lines = BufReader::new(served.stderr.take().unwrap()).lines();
    let mut seen = |what: &str| lines.by_ref().any(|line| line.unwrap().contains(what));
    assert!(seen("the server is ready"));
    let id = rustix::process::Pid::from_raw(i32::try_from(served.id()).unwrap()).unwrap();
    let signal = |signal| rustix::process::kill_process(id, signal).unwrap();
    // Nothing changed, and yet it says what it loaded.
    signal(rustix::process::Signal::HUP);
    assert!(seen("policies were loaded"));
    fs::write(server(folder, "policy.toml"), "[certificate]\ndays = 0\n").unwrap();
    signal(rustix::process::Signal::HUP);
    assert!(seen("what was in force stays in force"));
    signal(rustix::process::Signal::TERM);
    assert!(served.wait().unwrap().success());
}
