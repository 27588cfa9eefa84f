//! What an operator hands out, through the real server and from the command line: symmetric keys, claim certificates
//! of batches, one-time tokens. Each kind enrolls a device, is refused for each fault, and works for the Linux agent.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::os::unix::fs::OpenOptionsExt as _;

use firmware_sim::factory::Evidence;
use shared::endpoint::ENROLL;
use shared::message::latest::Outcome;
use tests::harness::matrix::{
    self, CREDENTIAL_DIGEST, CREDENTIAL_MODEL, ClaimBatch, ClaimSubject, KeyOf, Spoil, Subject,
    SymmetricSubject, TokenSubject,
};
use tests::harness::{Csr, LOT_GROUP, Wishes, World, binary, post, run, until};

/// A world whose policy accepts this kind from devices that nobody listed.
fn world(kind: &str) -> World {
    let world = World::new(Wishes::default());
    // Nothing can be said of a token's firmware, so nothing may be asked.
    let firmware = match kind {
        "one-time-token" => String::new(),
        _ => format!(
            "[[model]]\nname = {CREDENTIAL_MODEL:?}\nminimum_firmware = \"0.1.0\"\n\
             [[measurement]]\nmodel = {CREDENTIAL_MODEL:?}\ncomponent = \"application\"\nversion = \"1.2.0\"\n\
             digest = \"{}\"\n",
            hex::encode(CREDENTIAL_DIGEST)
        ),
    };
    let policy = format!("[evidence]\nkinds = [{kind:?}]\n[inventory]\nrequired = false\n{firmware}");
    std::fs::write(world.path("server/policy.toml"), policy).expect("to write the policy");
    // The groups that devices are put into: without a policy of its own a group gets nothing.
    std::fs::create_dir_all(world.path("server/policy.d")).expect("a folder for policies");
    for group in ["lot-7", "lot-8"] {
        let file = world.path(&format!("server/policy.d/{group}.toml"));
        std::fs::write(file, "").expect("to write the policy of a group");
    }
    world
}

/// Writes a file that only its owner can read; returns its path.
fn secret(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).expect("a new file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("to write a file of the test");
    path.display().to_string()
}

/// The key of a device, derived from its group's by a factory that has no server.
fn derived(world: &World, group_key: &str, device: &str) -> String {
    let out = world.path(&format!("{device}.key")).display().to_string();
    let mut command = std::process::Command::new(binary("enroll-server"));
    command.args(["key", "derive", "--group-key", group_key, "--device", device, "--out", &out]);
    let _said = run(&mut command).success();
    out
}

/// The kind and the group in which the agent of `device` enrolled, given this identity.
fn enrolled(world: &World, device: &str, identity: &str) -> (String, String) {
    std::fs::create_dir_all(world.path("agents")).expect("a folder for agents");
    let config = format!(
        "state_dir = {state:?}\ntrust_bundle = {bundle:?}\n[server]\nhost = \"localhost\"\nport = {port}\n\
         [identity]\ndevice = {device:?}\n{identity}\n\
         [firmware]\nmaker_number = 32473\nmodel = {CREDENTIAL_MODEL:?}\nhardware_version = \"1.0\"\n\
         name = \"demo-firmware\"\nversion = \"1.2.0\"\ndebug = \"disabled-permanently\"\n\
         measurements = [{{ component = \"application\", version = \"1.2.0\", digest = \"{digest}\" }}]\n",
        digest = hex::encode(CREDENTIAL_DIGEST),
        state = world.path(&format!("agents/{device}-state")),
        bundle = world.path("server/trust.bundle"),
        port = world.https_port,
    );
    std::fs::write(world.path(&format!("agents/{device}.toml")), config).expect("to write a configuration");
    let _said = world.agent(device, &["enroll"]).success();
    let serial = world.agent_status(device)["identity"]["serial"].as_str().expect("a serial").to_owned();
    let certificate = world.server_json(&["cert", "show", &serial]);
    let state = world.server_json(&["device", "show", device]);
    assert_eq!(state["state"], "enrolled", "{state}");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&certificate["evidence"]["kind"]), text(&state["group"]))
}

#[test]
fn evidence_by_a_key_of_the_devices_own_is_refused_for_each_fault() {
    let world = world("symmetric-key");
    let _server = world.serve();
    let made = ["K-1", "K-2"].map(|id| {
        let out = world.path(&format!("{id}.key")).display().to_string();
        let made = world.server_json(&["key", "create", "--device", id, "--out", &out]);
        assert!(made.get("key").is_none(), "a key that is in a file is not shown too: {made}");
        SymmetricSubject::new(id, &world.text(&format!("{id}.key")), KeyOf::Device)
    });
    let [subject, other] = &made;
    let mut rows = 0;
    matrix::run(&world, subject, other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "a symmetric key can have every fault");
}

#[test]
fn evidence_by_a_key_derived_from_its_groups_is_refused_for_each_fault() {
    let world = world("symmetric-key");
    let _server = world.serve();
    let group_key = world.path("lot-7.key").display().to_string();
    let _made =
        world.server_json(&["key", "create", "--group", "lot-7", "--quota", "1", "--out", &group_key]);
    let [subject, other] = ["G-1", "G-2"].map(|id| {
        let _file = derived(&world, &group_key, id);
        SymmetricSubject::new(id, &world.text(&format!("{id}.key")), KeyOf::Group)
    });
    let mut rows = 0;
    matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "a symmetric key can have every fault");
    is_over_the_quota(&world, &other);
}

#[test]
fn evidence_by_claim_certificate_is_refused_for_each_fault() {
    for (held, bound) in [(false, ["--quota", "1"].as_slice()), (true, ["--hold"].as_slice())] {
        let world = world("claim-certificate");
        let _server = world.serve();
        let batch = ClaimBatch::new("Batch");
        let ca = secret(&world, "batch-ca.pem", &batch.ca_pem);
        let _batch = world.server_json(&[&["batch", "add", &ca, "--group", "lot-7"], bound].concat());
        let (subject, other) =
            (ClaimSubject::new("C-1", &batch, held), ClaimSubject::new("C-2", &batch, held));
        let mut rows = 0;
        matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
        assert_eq!(rows, Spoil::ALL.len(), "a claim certificate can have every fault");
        if !held {
            is_over_the_quota(&world, &other);
        }
        // The device that is there cannot be had a second time, by anybody of its batch.
        assert_eq!(told(&world, &subject), Some(shared::Reject::IdentityConflict));
    }
}

/// What is answered to one more good request of `subject`, if it is a refusal.
fn told(world: &World, subject: &impl Subject) -> Option<shared::Reject> {
    let (csr, challenged) = (Csr::new(), matrix::challenge(world, subject));
    let presented = subject.present(&challenged, &csr, None);
    let reply = post(world, ENROLL, &matrix::request(subject, &csr, &challenged.nonce, &presented));
    match reply.answer().outcome {
        Outcome::Rejected(rejected) => rejected.reject(),
        _ => None,
    }
}

/// The first device has used the quota up, and `other` comes too late.
fn is_over_the_quota(world: &World, other: &impl Subject) {
    assert_eq!(told(world, other), Some(shared::Reject::QuotaReached));
    until("a record with the rule of the quota", || {
        let recorded = world.server(&["policy", "explain", "--device", other.device().as_str(), "--json"]);
        let recorded: serde_json::Value = serde_json::from_str(&recorded.stdout).ok()?;
        (recorded[0]["rule"] == "quota").then_some(())
    });
}

#[test]
fn evidence_by_one_time_token_is_refused_for_each_fault_that_it_can_have() {
    let world = world("one-time-token");
    let _server = world.serve();
    let [subject, other] = ["T-1", "T-2"].map(|id| {
        let made = world.server_json(&["token", "create", "--device", id]);
        TokenSubject::new(id, made["token"].as_str().expect("a token"))
    });
    let mut seen = Vec::new();
    matrix::run(&world, &subject, &other, |fault, _, _, _| seen.push(fault));
    let can =
        [Spoil::OtherDevice, Spoil::BrokenSignature, Spoil::WrongMaker, Spoil::Truncated, Spoil::Oversized];
    assert_eq!(seen, can);
    // None of the refusals has used up the other's token, and it counts once.
    assert_eq!(told(&world, &other), None);
    assert_eq!(told(&world, &other), Some(shared::Reject::BadToken));
}

#[test]
fn the_linux_agent_enrolls_by_symmetric_key() {
    let world = world("symmetric-key");
    let _server = world.serve();
    let own = world.path("own.key").display().to_string();
    let _own = world.server_json(&["key", "create", "--device", "K-1", "--out", &own]);
    let group_key = world.path("lot-7.key").display().to_string();
    let _made = world.server_json(&["key", "create", "--group", "lot-7", "--out", &group_key]);
    let of_group = derived(&world, &group_key, "K-2");
    let by = |device: &str, key: &str| enrolled(&world, device, &format!("symmetric_key = {key:?}"));
    assert_eq!(by("K-1", &own).0, "symmetric-key");
    assert_eq!(by("K-2", &of_group), ("symmetric-key".to_owned(), "lot-7".to_owned()));
    let listed = world.server_json(&["key", "list"]);
    let used: Vec<_> = listed["keys"].as_array().expect("a list").iter().map(|key| &key["used"]).collect();
    assert_eq!(used, [1, 1], "{listed}");
    // The key of the whole group is of no use on a device.
    let config = world.text("agents/K-2.toml").replace(&of_group, &group_key).replace("K-2", "K-3");
    std::fs::write(world.path("agents/K-3.toml"), config).expect("to write a configuration");
    let refused = world.agent("K-3", &["enroll"]);
    assert!(!refused.status.success() && refused.stderr.contains("key of a whole group"), "{refused:?}");
}

#[test]
fn the_linux_agent_enrolls_by_claim_certificate_and_by_the_token_of_a_group() {
    let claims = world("claim-certificate");
    let _server = claims.serve();
    let batch = ClaimBatch::new("Batch");
    let ca = secret(&claims, "batch-ca.pem", &batch.ca_pem);
    let _batch = claims.server_json(&["batch", "add", &ca, "--group", "lot-7", "--quota", "1"]);
    let certificate = secret(&claims, "claim.pem", &batch.certificate_pem);
    let key = secret(&claims, "claim.key", &batch.key_pem);
    let identity = format!("claim_certificate = {certificate:?}\nclaim_key = {key:?}");
    let found = enrolled(&claims, "C-1", &identity);
    assert_eq!(found, ("claim-certificate".to_owned(), "lot-7".to_owned()));

    let tokens = world("one-time-token");
    let _server = tokens.serve();
    let made = tokens.server_json(&["token", "create", "--group", "lot-8", "--short"]);
    // As somebody types it.
    let typed = made["token"].as_str().expect("a token").to_ascii_lowercase().replace('-', "");
    let file = secret(&tokens, "token", &typed);
    let found = enrolled(&tokens, "T-1", &format!("token_file = {file:?}"));
    assert_eq!(found, ("one-time-token".to_owned(), "lot-8".to_owned()));
}

#[test]
fn the_factorys_devices_enroll_on_linux_and_on_the_bare_metal_stack() {
    for (evidence, kind) in [(Evidence::Symmetric, "symmetric-key"), (Evidence::Claim, "claim-certificate")] {
        let world = World::new(Wishes { devices: 2, evidence, ..Wishes::default() });
        let [linux, bare] = world.devices.as_slice() else { panic!("two devices") };
        let _server = world.serve();
        let _enrolled = world.agent(linux, &["enroll"]).success();
        let folder = world.path(&format!("lot/devices/{bare}"));
        let mut sim = std::process::Command::new(binary("firmware-sim"));
        let _enrolled = run(sim.arg("device").arg("--dir").arg(folder).arg("--enroll")).success();
        for device in [linux, bare] {
            let state = world.server_json(&["device", "show", device]);
            assert_eq!((&state["state"], &state["group"]), (&"enrolled".into(), &LOT_GROUP.into()));
            let serial = state["certificates"][0]["serial"].as_str().expect("a serial");
            assert_eq!(world.server_json(&["cert", "show", serial])["evidence"]["kind"], kind);
        }
    }
}
