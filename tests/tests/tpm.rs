//! Devices with a TPM 2.0, here swtpm: the Linux agent enrolls, logs in at the broker and renews with keys that never
//! leave the TPM.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

use agent::keystore::TpmKeyStore;
use agent::provision::{TpmAttester, TpmIdentity};
use agent::state_dir::StateDir;
use agent::storage::FileStorage;
use agent_core::platform::{AttestError, Attester as _, KeyStore as _, SigningKey as _, Slot};
use rand_core::OsRng;
use serde_json::Value as Json;
use shared::endpoint::{CHALLENGE, ENROLL};
use shared::limits::MAX_REQUEST_LARGE;
use shared::message::latest::{
    Challenge, ChallengeRequest, EnrollRequest, EvidenceKind, FreshEvidence, Kinds, Outcome,
};
use shared::{DeviceId, Reject};
use tests::harness::device::{post, written};
use tests::harness::hand_tpm::HandTpm;
use tests::harness::matrix::Subject as _;
use tests::harness::matrix::{self, Spoil, TpmSubject};
use tests::harness::measured_boot::Firmware;
use tests::harness::tpm_fleet::GOOD;
use tests::harness::{Mosquitto, Process, Site, TpmFleet, Wishes, World, peer, run, until};
use tpm_client::EkKind;

/// What `agent status` says.
fn status(world: &World, fleet: &TpmFleet) -> Json {
    let finished = run(&mut fleet.agent(world, 0, &["status", "--json"]));
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout, finished.stderr))
}

#[test]
fn a_device_with_a_tpm_enrolls_logs_in_and_renews() {
    let broker_port = Mosquitto::port_to_be();
    let world = World::new(Wishes { devices: 1, broker_port, ..Wishes::default() });
    let fleet = TpmFleet::new(&world, 1);
    let site = Site::in_world(world, broker_port, None);
    let mut operator = site.operator();
    let device = &fleet.devices[0];

    let agent = Process::start(&mut fleet.agent(&site.world, 0, &["run"]));
    let topic = |last: &str| format!("devices/{device}/{last}");
    let mut online = |what: &str| {
        operator.message(|found, payload| {
            let status: Json = serde_json::from_slice(payload).ok()?;
            (found == topic("status") && status["status"] == what).then_some(status)
        })
    };
    // Logged in by mutual TLS with a key in the TPM.
    let birth = online("online");
    assert_eq!(birth["device"], device.as_str(), "{}", agent.output());
    let serial = || status(&site.world, &fleet)["identity"]["serial"].clone();
    let first = until("a certificate", || Some(serial()).filter(Json::is_string));

    let renewed = run(&mut fleet.agent(&site.world, 0, &["renew", "--force"]));
    assert!(renewed.status.success(), "{}{}\n{}", renewed.stdout, renewed.stderr, agent.output());
    let second = until("another certificate", || Some(serial()).filter(|found| *found != first));
    assert!(second.is_string(), "{second}");
    let certificates = site.world.server_json(&["cert", "list", "--device", device]);
    assert_eq!(certificates["certificates"].as_array().unwrap().len(), 2, "{certificates}");
}

#[test]
fn evidence_by_tpm_is_refused_for_each_fault() {
    let world = World::new(Wishes::default());
    let mut fleet = TpmFleet::new(&world, 2);
    let _server = world.serve();
    let (subject, other) = (TpmSubject::take(&mut fleet), TpmSubject::take(&mut fleet));
    let mut rows = 0;
    matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "a TPM can have every fault");
}

/// Power fails between challenge and request: the credential of the challenge is still there, and so is the key.
#[tokio::test]
async fn a_device_that_restarts_after_the_challenge_answers_it_all_the_same() {
    let world = World::new(Wishes::default());
    let mut fleet = TpmFleet::new(&world, 1);
    let _server = world.serve();
    let identity = TpmIdentity {
        device: DeviceId::new(&fleet.devices[0]).expect("an identifier"),
        tpm: fleet.tpms[0].tpm(),
        ek: EkKind::Rsa2048,
        certificates: ca::pem::read_certificates(&std::fs::read(fleet.maker.issuer()).expect("a file"))
            .expect("certificates"),
        registers: vec![0, 2, 4, 7],
        event_log: Some(fleet.tpms[0].event_log()),
    };
    let dir = StateDir::open(&world.path("by-hand")).expect("a folder");
    let storage = || FileStorage::new(dir.clone());
    let mut buffer = vec![0; MAX_REQUEST_LARGE];

    let mut before = TpmAttester::new(&identity, storage());
    let length = before.introduce(&mut buffer).expect("an introduction");
    let asked = ChallengeRequest {
        device: identity.device.clone(),
        kinds: Kinds::from_slice(&[before.kind()]).expect("room"),
        introduction: Some(&buffer[..length]),
    };
    let reply = post(&world, CHALLENGE, &written(|out| asked.encode(out)));
    let challenge = Challenge::decode(&reply.body).expect("a challenge");
    let mut keys = TpmKeyStore::new(identity.tpm.clone());
    let key = keys.generate(Slot::A, &mut storage(), &mut OsRng).await.expect("a key");
    before
        .take_credential(&challenge.nonce, challenge.credential.expect("a credential"))
        .expect("to keep it");
    drop((before, key));
    fleet.tpms[0].boot(&Firmware::new(GOOD));

    let mut after = TpmAttester::new(&identity, storage());
    let key = keys.open(Slot::A, &mut storage()).await.expect("a key").expect("the key of before");
    let point = key.public_point();
    // Nothing is kept for a challenge of which it never heard.
    assert_eq!(after.attest(&[0; 32], &point, &mut buffer), Err(AttestError::Kind));
    let length = after.attest(&challenge.nonce, &point, &mut buffer).expect("evidence");
    let device = HandTpm { tpm: identity.tpm.clone(), ek: identity.ek, above: Vec::new() };
    let csr = device.csr_for(key.blob().clone());
    let evidence = FreshEvidence {
        nonce: challenge.nonce,
        kind: EvidenceKind::Tpm2,
        body: &buffer[..length],
        endorsements: after.endorsements(),
    };
    let request = EnrollRequest { device: identity.device.clone(), csr: &csr.der, evidence, trust: None };
    let reply = post(&world, ENROLL, &written(|out| request.encode(out)));
    assert!(matches!(reply.answer().outcome, Outcome::Issued(_)), "{reply:?}");
}

/// As Intel's do from the 11th generation on. Nothing is provisioned on the device.
#[test]
fn the_chain_that_the_maker_left_in_the_tpm_is_sent() {
    let world = World::new(Wishes::default());
    let fleet = TpmFleet::new(&world, 1);
    let _server = world.serve();
    let issuer = ca::pem::read_certificates(&std::fs::read(fleet.maker.issuer()).expect("a file"));
    let issuer = issuer.expect("certificates").remove(0);
    // A chain goes over as many indices as it needs; the last one may be longer than what is left of it.
    let (head, rest) = issuer.split_at(500);
    let transport = format!("swtpm:path={}", fleet.tpms[0].socket().display());
    for (index, content) in [("0x01c00100", head.to_vec()), ("0x01c00101", [rest, &[0xff; 64]].concat())] {
        let file = world.path(index);
        std::fs::write(&file, &content).expect("to write");
        let size = content.len().to_string();
        let attributes = "ppwrite|ppread|ownerread|authread|no_da|platformcreate";
        let file = file.display().to_string();
        for (tool, arguments) in [
            ("tpm2_nvdefine", ["-s", size.as_str(), "-a", attributes].as_slice()),
            ("tpm2_nvwrite", ["-i", file.as_str()].as_slice()),
        ] {
            let mut command = Command::new(peer(tool, "tpm2-tools"));
            command.args([index, "-C", "p", "-T", &transport]).args(arguments);
            let _output = run(&mut command).success();
        }
    }
    let mut enroll = fleet.agent(&world, 0, &["enroll"]);
    let config = world.path(&format!("agents/{}.toml", fleet.devices[0]));
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let without: String = text.lines().filter(|line| !line.starts_with("tpm_certificates")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    );
    assert_ne!(without, text);
    std::fs::write(&config, without).expect("to write");
    let _enrolled = run(&mut enroll).success();
}

/// Genuine in every respect, but not the device of this name.
#[test]
fn another_tpm_under_a_known_name_is_a_conflict() {
    let world = World::new(Wishes::default());
    let mut fleet = TpmFleet::new(&world, 2);
    let _server = world.serve();
    let known = fleet.devices[0].clone();
    fleet.devices[1].clone_from(&known);
    let impostor = TpmSubject::take(&mut fleet);
    let (csr, challenged) = (impostor.csr(), matrix::challenge(&world, &impostor));
    let presented = impostor.present(&challenged, &csr, None);
    let request = matrix::request(&impostor, &csr, &challenged.nonce, &presented);
    let reply = post(&world, ENROLL, &request);
    let Outcome::Rejected(rejected) = reply.answer().outcome else { panic!("{reply:?}") };
    assert_eq!(rejected.reject(), Some(Reject::IdentityConflict));
    let device = world.server_json(&["device", "show", &known]);
    assert_eq!(device["certificates"].as_array().map(Vec::len), Some(0), "{device}");
}
