//! Whatever comes in broken gets a 4xx with a stable code, is counted and logged once, and changes nothing. A
//! configuration that cannot be used names file, line and field.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};

use shared::Reject;
use shared::endpoint::{CHALLENGE, ENROLL, RENEW, TRUST};
use shared::message::latest::{EvidenceKind, FreshEvidence, Outcome, RenewRequest};
use tests::harness::device::written;
use tests::harness::{
    ClientKey, Csr, HandDevice, Order, Reply, Wishes, World, certify, certify_by_impostor, client_config,
    connect, http, https, post,
};

#[test]
fn each_broken_request_has_its_refusal_and_changes_nothing() {
    let world = World::new(Wishes { devices: 2, ..Wishes::default() });
    let server = world.serve();
    let before = certificates(&world);
    let mut refused = 0;
    for (name, path, body, expected) in broken_requests(&world) {
        let reply = post(&world, path, &body);
        expect(&name, &reply, expected);
        refused += 1;
    }
    assert_eq!(certificates(&world), before, "a refused request left a certificate");
    assert!(refused > 40);

    // Counted: as many as were sent.
    let metrics = http(world.http_port, "/metrics").text();
    let counted: f64 = metrics
        .lines()
        .filter(|line| {
            !line.starts_with('#') && line.contains("outcome=\"refused\"") && !line.contains("_bucket")
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    assert!(counted >= f64::from(refused), "{refused} refused, {counted} counted\n{metrics}");

    // Logged once: a request that nobody else sends, and its one line.
    let device = HandDevice::load(&world, &world.devices[0]);
    let csr = Csr::new();
    let nonce = device.challenge(&world);
    let evidence = device.evidence_with(&nonce, &csr.point, |claims| claims.swversion = "0.0.1");
    let reply = device.enroll(&world, &device.enroll_request(&csr.der, nonce, &evidence));
    assert_eq!(reply.status, 403);
    let code = rejected(&reply).0;
    let log = server.stop().1;
    let name = Reject::from_code(code).unwrap().name();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains(name) && line.contains(&world.devices[0])).collect();
    assert!(!lines.is_empty(), "{name} of {} is not in the log\n{log}", world.devices[0]);
    let of_old_firmware = lines.iter().filter(|line| line.contains("0.0.1") || lines.len() == 1).count();
    assert_eq!(of_old_firmware, 1, "{lines:#?}");
}

/// Name, endpoint, body and expected refusals.
fn broken_requests(world: &World) -> Vec<(String, &'static str, Vec<u8>, &'static [Reject])> {
    let mut list = Vec::new();
    for vector in malformed() {
        let path = match vector.message.as_str() {
            "challenge-request" => CHALLENGE,
            "enroll-request" => ENROLL,
            _ => continue,
        };
        let expected: &[Reject] = match vector.error.as_str() {
            "unsupported-version" => &[Reject::UnsupportedVersion],
            "too-long" => &[Reject::TooLarge],
            _ => &[Reject::MalformedMessage],
        };
        list.push((vector.name, path, vector.bytes, expected));
    }
    let device = HandDevice::load(world, &world.devices[0]);
    let other = HandDevice::load(world, &world.devices[1]);
    let csr = Csr::new();
    let mut enroll = |name: &str, body: Vec<u8>, expected: &'static [Reject]| {
        list.push((name.to_owned(), ENROLL, body, expected));
    };
    let fresh = || {
        let nonce = device.challenge(world);
        (nonce, device.evidence(&nonce, &csr.point))
    };

    let (nonce, evidence) = fresh();
    enroll("CSR of noise", device.enroll_request(&[7; 200], nonce, &evidence), &[Reject::BadCsr]);
    let (nonce, evidence) = fresh();
    let mut spoiled = csr.der.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let reasons = &[Reject::NoProofOfPossession, Reject::BadCsr];
    enroll("CSR with a spoiled signature", device.enroll_request(&spoiled, nonce, &evidence), reasons);
    let (nonce, evidence) = fresh();
    let other_csr = Csr::new();
    enroll(
        "evidence for another key",
        device.enroll_request(&other_csr.der, nonce, &evidence),
        &[Reject::EvidenceKey],
    );
    let (_, evidence) = fresh();
    let nonce = device.challenge(world);
    enroll(
        "evidence for another nonce",
        device.enroll_request(&csr.der, nonce, &evidence),
        &[Reject::EvidenceNonce],
    );
    let nonce = [9; 32];
    let evidence = device.evidence(&nonce, &csr.point);
    enroll(
        "a nonce that nobody gave",
        device.enroll_request(&csr.der, nonce, &evidence),
        &[Reject::UnknownNonce],
    );
    let nonce = other.challenge(world);
    let evidence = device.evidence(&nonce, &csr.point);
    enroll(
        "another device's nonce",
        device.enroll_request(&csr.der, nonce, &evidence),
        &[Reject::UnknownNonce],
    );
    let (nonce, _) = fresh();
    enroll("evidence of noise", device.enroll_request(&csr.der, nonce, &[7; 300]), &[Reject::BadEvidence]);
    let (nonce, mut evidence) = fresh();
    *evidence.last_mut().unwrap() ^= 1;
    enroll(
        "evidence with a spoiled signature",
        device.enroll_request(&csr.der, nonce, &evidence),
        &[Reject::EvidenceSignature],
    );
    let (nonce, _) = fresh();
    let foreign = other.evidence(&nonce, &csr.point);
    enroll(
        "evidence signed by another device",
        device.enroll_request(&csr.der, nonce, &foreign),
        &[Reject::EvidenceSignature, Reject::EvidenceDevice],
    );
    let (nonce, evidence) = fresh();
    enroll(
        "another device's chain",
        with_chain(&device, &csr, nonce, &evidence, &other.chain),
        &[Reject::EvidenceSignature, Reject::EvidenceDevice, Reject::BadEndorsement],
    );
    let (nonce, evidence) = fresh();
    let noise = [vec![0x30, 3, 2, 1, 0]];
    enroll(
        "a chain of noise",
        with_chain(&device, &csr, nonce, &evidence, &noise),
        &[Reject::BadEndorsement],
    );
    let (nonce, evidence) = fresh();
    let stranger = certify_by_impostor(world, &Order::client(device.id.as_str())).chain;
    enroll(
        "a chain of an unknown maker",
        with_chain(&device, &csr, nonce, &evidence, &stranger),
        &[Reject::UnknownMaker, Reject::BadEndorsement],
    );
    let changed = |change: fn(&mut shared::evidence::Claims<'_>)| {
        let nonce = device.challenge(world);
        let evidence = device.evidence_with(&nonce, &csr.point, change);
        device.enroll_request(&csr.der, nonce, &evidence)
    };
    enroll(
        "changed firmware",
        changed(|claims| claims.measurements[0].digest = [0; 32]),
        &[Reject::FirmwareUnknown],
    );
    enroll(
        "an open debug port",
        changed(|claims| claims.dbgstat = shared::evidence::DebugStatus::Enabled),
        &[Reject::DebugOpen],
    );
    enroll("another UEID", changed(|claims| claims.ueid[5] ^= 1), &[Reject::EvidenceDevice]);
    list.push((
        "renewal without a certificate".into(),
        RENEW,
        device.renew_request(&csr.der),
        &[Reject::NotAuthenticated],
    ));
    list
}

#[test]
fn a_renewal_has_authority_from_its_tls_identity_only() {
    let world = World::new(Wishes { devices: 2, ..Wishes::default() });
    let _server = world.serve();
    let [mine, other] = [&world.devices[0], &world.devices[1]].map(|id| HandDevice::load(&world, id));
    let identities: Vec<ClientKey> = [&mine, &other]
        .iter()
        .map(|device| {
            let csr = Csr::new();
            let reply = device.enroll(&world, &device.good_request(&world, &csr));
            assert_eq!(reply.status, 200, "{reply:?}");
            match reply.answer().outcome {
                Outcome::Issued(issued) => {
                    ClientKey { chain: issued.chain.iter().map(|der| der.to_vec()).collect(), key: csr.key }
                }
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let renew = |identity: &ClientKey, request: &[u8]| {
        https(world.https_port, client_config(&world.root(), Some(identity)), RENEW, Some(request))
    };
    let csr = Csr::new();
    let foreign = renew(&identities[0], &other.renew_request(&csr.der));
    expect("another device's renewal", &foreign, &[Reject::NotYourDevice]);
    // The key of the certificate in use is no new key.
    let nonsense = RenewRequest { device: mine.id.clone(), csr: &[0x30; 90], evidence: None, trust: None };
    expect("a CSR of noise", &renew(&identities[0], &written(|out| nonsense.encode(out))), &[Reject::BadCsr]);
    // A certificate of the right CA that the store does not know.
    let unknown = certify(&world, &Order::client(mine.id.as_str()));
    let reply = renew(&unknown, &mine.renew_request(&csr.der));
    expect(
        "a certificate the store does not know",
        &reply,
        &[Reject::NotAuthenticated, Reject::CertificateRevoked],
    );
    assert_eq!(renew(&identities[0], &mine.renew_request(&csr.der)).status, 200);
    assert_eq!(certificates(&world), 3);
}

#[test]
fn what_is_not_the_protocol_is_refused_too() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let config = || client_config(&world.root(), None);
    let get = |path: &str| https(world.https_port, config(), path, None);
    expect("no such path", &get("/v2/enroll"), &[Reject::NoSuchEndpoint]);
    assert_eq!(get(TRUST).status, 200);
    assert!(matches!(get(ENROLL).status, 404 | 405));

    // More than a request may be, announced and not sent: refused before it is read.
    let mut stream = connect(world.https_port, config());
    let head = format!(
        "POST {ENROLL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cbor\r\nContent-Length: 1000000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");

    // Not even TLS: the connection is closed, and the server goes on.
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", world.https_port)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _closed = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(get(TRUST).status, 200);
}

#[test]
fn configurations_that_cannot_be_used_name_file_line_and_field() {
    let world = World::new(Wishes::default());
    let good = world.text("server/enroll-server.toml");
    let path = world.path("server/enroll-server.toml");
    let shown = path.display().to_string();
    let tell = |text: &str| {
        fs::write(&path, text).unwrap();
        world.server(&["serve"]).failure()
    };
    let broken = good.clone() + "\n[unheard_of]\nfield = 1\n";
    let told = tell(&broken);
    let line = broken.lines().position(|line| line == "[unheard_of]").unwrap() + 1;
    assert!(told.contains(&format!("{shown}:{line}")) && told.contains("unheard_of"), "{told}");

    // Several mistakes are told at once.
    let broken = "tenant = \"two words\"\nnonce_lifetime = \"soon\"\n[listen]\nhttps = 7\n";
    let told = tell(broken);
    for (line, field) in [(1, "tenant"), (2, "nonce_lifetime"), (4, "https")] {
        assert!(told.contains(&format!("{shown}:{line}")) && told.contains(field), "{field}\n{told}");
    }
    let told = tell("tenant = \n");
    assert!(told.contains(&format!("{shown}:1")), "{told}");

    fs::remove_file(&path).unwrap();
    let told = world.server(&["serve"]).failure();
    assert!(told.contains(&shown), "{told}");
    fs::write(&path, &good).unwrap();

    let policy = world.path("server/policy.toml");
    fs::write(&policy, "[certificate]\ndays = 181\n").unwrap();
    let told = world.server(&["serve"]).failure();
    assert!(told.contains("policy.toml:2") && told.contains("days"), "{told}");

    // The agent does the same; its own tests look at every field.
    let told = world.agent(&world.devices[0], &["--server-port", "99999", "status"]).failure();
    assert!(told.contains("server-port"), "{told}");
}

#[test]
fn inventories_with_a_mistake_are_not_imported_at_all() {
    let world = World::new(Wishes::default());
    let before = world.server_json(&["device", "list"]);
    for (name, text, line) in [
        ("identifier", "device,model,idevid_sha256\nGOOD-1,m,\nbad/id,m,\n", "line 3"),
        ("hash", "device,model,idevid_sha256\nGOOD-1,m,12ab\n", "line 2"),
        ("header", "name,model\nGOOD-1,m\n", "line 1"),
        ("twice", "device,model,idevid_sha256\nGOOD-1,m,\nGOOD-1,m,\n", "line 3"),
        ("columns", "device,model,idevid_sha256\nGOOD-1\n", "line 2"),
    ] {
        let file = world.path("inventory-broken.csv");
        fs::write(&file, text).unwrap();
        let told = world.server(&["device", "import", file.to_str().unwrap()]).failure();
        assert!(told.contains(line), "{name}: {told}");
        assert_eq!(world.server_json(&["device", "list"]), before, "{name}");
    }
}

/// Checks a refusal: status, code, a sentence, and that the HTTP status fits the table.
fn expect(name: &str, reply: &Reply, expected: &[Reject]) {
    let (code, message) = rejected(reply);
    let found = Reject::from_code(code).unwrap_or_else(|| panic!("{name}: code {code}"));
    assert!(expected.contains(&found), "{name}: {found} ({message}), expected {expected:?}");
    assert_eq!(reply.status, found.http_status(), "{name}: {found}");
    assert!((400..500).contains(&reply.status), "{name}");
    assert!(message.len() > 10, "{name}: no sentence: {message}");
    assert_eq!(reply.header("content-type"), Some(shared::endpoint::MEDIA_TYPE), "{name}");
}

fn rejected(reply: &Reply) -> (u16, String) {
    match reply.answer().outcome {
        Outcome::Rejected(rejected) => (rejected.code, rejected.message.to_owned()),
        other => panic!("not refused: {other:?}"),
    }
}

fn certificates(world: &World) -> usize {
    world.server_json(&["cert", "list"])["certificates"].as_array().unwrap().len()
}

fn with_chain(
    device: &HandDevice,
    csr: &Csr,
    nonce: [u8; 32],
    evidence: &[u8],
    chain: &[Vec<u8>],
) -> Vec<u8> {
    let endorsements = chain.iter().map(Vec::as_slice).collect();
    let evidence = FreshEvidence { nonce, kind: EvidenceKind::IdevidEat, body: evidence, endorsements };
    let request = shared::message::latest::EnrollRequest {
        device: device.id.clone(),
        csr: &csr.der,
        evidence,
        trust: None,
    };
    written(|out| request.encode(out))
}

struct Malformed {
    name: String,
    message: String,
    error: String,
    bytes: Vec<u8>,
}

/// The vectors that every reader refuses.
fn malformed() -> Vec<Malformed> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/malformed.json");
    let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    file["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| Malformed {
            name: text(&vector["name"]),
            message: text(&vector["message"]),
            error: text(&vector["error"]),
            bytes: hex::decode(text(&vector["hex"])).unwrap(),
        })
        .collect()
}
