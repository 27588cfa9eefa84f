//! The log as an auditor has it: over HTTP, at the command line, with openssl.

use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use transparency::{
    Checkpoint, Field, Hash, Leaf, MemoryTree, ProofFile, VerifierKey, commitment, leaf_hash, root,
    verify_inclusion,
};

use crate::cli::{error, json, on};
use crate::kit::client::http;
use crate::kit::{Site, until};

/// The command line on the site's own files, from another thread: the server has to answer meanwhile.
async fn run(site: &Site, arguments: &[&str]) -> Output {
    let folder = site.folder.path().to_owned();
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let run = move || on(&folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn vkey(site: &Site) -> VerifierKey {
    let text = std::fs::read_to_string(site.folder.path().join("server/log.vkey")).unwrap();
    text.trim().parse().unwrap()
}

/// A server with an enrolled, a revoked and a twice enrolled device.
async fn busy() -> Site {
    let site = Site::new().await;
    for id in ["SN-1", "SN-2", "SN-3"] {
        let device = site.device(id).await;
        site.enroll(&device).await;
        if id == "SN-3" {
            site.enroll(&device).await;
        }
    }
    let revoked = run(&site, &["device", "revoke", "SN-2", "--reason", "key-compromise"]).await;
    assert!(revoked.status.success(), "{}", error(&revoked));
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_verifies_the_log_from_its_files_and_over_http() {
    let site = Box::pin(busy()).await;
    let size = site.logged().await;
    let kept = site.folder.path().join("kept.checkpoint");
    std::fs::write(&kept, http(site.http(), "/log/checkpoint").await.body).unwrap();
    let kept = kept.to_str().unwrap().to_owned();
    let before = json(&run(&site, &["audit", "verify", "--json"]).await);
    assert_eq!(
        (&before["good"], &before["waiting"], &before["log"]["size"]),
        (&true.into(), &0.into(), &size.into())
    );
    let leaves = &before["log"]["leaves"];
    assert_eq!(
        (&leaves["issued"], &leaves["revoked"], &leaves["discarded"]),
        (&4.into(), &2.into(), &0.into())
    );

    let device = site.device("SN-4").await;
    site.enroll(&device).await;
    let grown = site.logged().await;
    let https = format!("https://localhost:{}/log", site.https().port());
    let plain = format!("http://{}/log", site.http());
    for address in [&https, &plain] {
        let arguments = ["audit", "verify", "--json", "--from", &kept, "--url", address];
        let after = json(&run(&site, &arguments).await);
        let consistency = &after["log"]["consistency"];
        assert_eq!((&consistency["from"], &consistency["to"]), (&size.into(), &grown.into()));
        assert_eq!((&after["good"], &after["findings"]), (&true.into(), &Value::Array(vec![])));
    }
    let alone = json(&run(&site, &["audit", "verify", "--json", "--log-only"]).await);
    assert_eq!(alone["database"], "not compared");
    // A checkpoint of another log is no evidence of anything.
    let other = Site::new().await;
    other.logged().await;
    let foreign = other.config.transparency.folder.join("checkpoint");
    let refused = run(&site, &["audit", "verify", "--from", foreign.to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(error(&refused).contains("the earlier checkpoint cannot be taken"), "{}", error(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiles_are_served_as_the_specification_asks() {
    let site = Box::pin(busy()).await;
    let size = site.logged().await;
    let checkpoint = http(site.http(), "/log/checkpoint").await;
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert_eq!(Checkpoint::open(&checkpoint.body, &vkey(&site)).unwrap().size, size);
    let tile = http(site.http(), &format!("/log/tile/0/000.p/{size}")).await;
    assert_eq!(tile.body.len() as u64, size * 32);
    assert_eq!(tile.header("content-type"), Some("application/octet-stream"));
    assert_eq!(tile.header("cache-control"), Some("public, max-age=31536000, immutable"));
    for path in [
        "/log/tile/0/001",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/entries/../../../log.key",
        "/log/tile/entries/%2e%2e/%2e%2e/%2e%2e/log.key",
        "/log/tile/",
        "/log/log.key",
        "/log/",
    ] {
        let reply = http(site.http(), path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("PRIVATE"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_and_an_export_stand_by_themselves() {
    let site = Box::pin(busy()).await;
    site.logged().await;
    let (key, folder) = (vkey(&site), site.folder.path().to_owned());
    for certificate in site.admin().certificates(None).await.unwrap() {
        let serial = certificate.serial.to_string();
        let proved = json(&run(&site, &["audit", "inclusion", &serial, "--json"]).await);
        let leaf = hex::decode(proved["leaf"].as_str().unwrap()).unwrap();
        let Ok(Leaf::Issued { certificate: der, issuer, .. }) = Leaf::decode(&leaf) else {
            panic!("{leaf:x?}")
        };
        assert_eq!(Some(der), certificate.der.as_deref());
        let pem = std::fs::read(&site.config.files.issuing_certificate).unwrap();
        let ca = ca::pem::read_certificates(&pem).unwrap().remove(0);
        assert_eq!(issuer, aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &ca).as_ref());
        let text = run(&site, &["audit", "inclusion", &serial]).await.stdout;
        let proof: ProofFile = String::from_utf8(text).unwrap().parse().unwrap();
        proof.verify(&leaf_hash(&leaf), &key).unwrap();
    }
    let unknown = run(&site, &["audit", "inclusion", &"7f".repeat(16)]).await;
    assert_eq!(unknown.status.code(), Some(4));

    let file = folder.join("log.ndjson");
    let written = json(&run(&site, &["audit", "export", "--json", "--out", file.to_str().unwrap()]).await);
    let lines: Vec<Value> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(written["lines"], lines.len());
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let hash = |value: &Value| Hash(bytes(value).try_into().unwrap());
    assert_eq!(lines[0]["vkey"], key.to_string());
    let checkpoint = Checkpoint::open(lines[0]["note"].as_str().unwrap().as_bytes(), &key).unwrap();
    let (mut leaves, mut events) = (0, 0);
    for line in &lines[1..] {
        if line["type"] == "leaf" {
            let proof: Vec<Hash> = line["proof"].as_array().unwrap().iter().map(hash).collect();
            let leaf = leaf_hash(&bytes(&line["leaf"]));
            assert_eq!(leaf, hash(&line["hash"]));
            let index = line["index"].as_u64().unwrap();
            verify_inclusion(&leaf, index, checkpoint.size, &proof, &checkpoint.root).unwrap();
            leaves += 1;
        } else {
            let logged = &lines[1 + usize::try_from(line["index"].as_u64().unwrap()).unwrap()];
            let leaf = bytes(&logged["leaf"]);
            let at = Leaf::decode(&leaf).unwrap().at();
            assert_eq!(commitment_of(line, at), logged["commitment"]);
            assert_eq!(line["at"], logged["at"]);
            events += 1;
        }
    }
    assert_eq!(leaves, checkpoint.size);
    assert!(events >= 10, "{events}");
    // The operator's revocation says who, what and from where.
    let revoked = lines.iter().find(|line| line["type"] == "event" && line["kind"] == "revoked").unwrap();
    assert!(revoked["actor"].as_str().unwrap().starts_with("operator:"), "{revoked}");
    let action = revoked["action"].as_str().unwrap();
    assert!(
        action.starts_with("enroll-server --config ")
            && action.ends_with(" device revoke SN-2 --reason key-compromise"),
        "{revoked}"
    );
    assert!(
        ["local", "ssh:"].iter().any(|place| revoked["source"].as_str().unwrap().starts_with(place)),
        "{revoked}"
    );
}

/// The commitment as docs/log.md describes it, from the fields of an export.
fn commitment_of(line: &Value, at: u64) -> String {
    let text = |name: &str| line[name].as_str();
    let evidence = text("evidence_sha256").map(|digits| hex::decode(digits).unwrap());
    let salt = hex::decode(text("salt").unwrap()).unwrap();
    assert_eq!(salt.len(), 16);
    let fields = [
        Field::Number(line["number"].as_u64().unwrap()),
        Field::Number(at),
        Field::from(text("kind")),
        Field::from(text("severity")),
        Field::from(text("device")),
        Field::from(text("reason")),
        Field::from(evidence.as_deref()),
        Field::from(text("actor")),
        Field::from(text("source")),
        Field::from(text("action")),
        Field::from(text("detail")),
    ];
    hex::encode(commitment(&salt, &fields))
}

/// The signature by a program that is not ours, from the bytes that docs/log.md names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_verifies_the_checkpoint() {
    let site = Box::pin(busy()).await;
    site.logged().await;
    let folder = site.folder.path();
    let note = http(site.http(), "/log/checkpoint").await.text();
    let (text, signatures) = note.rsplit_once("\n\n").unwrap();
    let signature = STANDARD.decode(signatures.trim_end().rsplit(' ').next().unwrap()).unwrap();
    let vkey = std::fs::read_to_string(folder.join("server/log.vkey")).unwrap();
    let key = STANDARD.decode(vkey.trim_end().splitn(3, '+').nth(2).unwrap()).unwrap();
    // RFC 8410, section 4: the SubjectPublicKeyInfo of an Ed25519 key.
    let spki = [hex::decode("302a300506032b6570032100").unwrap(), key[key.len() - 32..].to_vec()].concat();
    std::fs::write(folder.join("key.der"), spki).unwrap();
    std::fs::write(folder.join("signature"), &signature[signature.len() - 64..]).unwrap();
    let verify = |text: &str| {
        std::fs::write(folder.join("text"), text).unwrap();
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "key.der"]);
        command.args(["-sigfile", "signature", "-in", "text"]).current_dir(folder);
        command.output().expect("openssl is missing: apt install openssl")
    };
    let good = verify(&format!("{text}\n"));
    assert!(good.status.success(), "{good:?}");
    assert!(!verify(&format!("{text}x\n")).status.success());
}

/// A database from before the log: what happened then comes first in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_before_the_log_is_logged_at_the_first_start() {
    let mut site = Box::pin(busy()).await;
    site.stop().await;
    let database = rusqlite::Connection::open(&site.config.files.store).unwrap();
    // Back to the state before the step of the log, then that step's own statement that fills it.
    let migration = include_str!("../../src/store/migrations/0014_log.sql");
    let (_, fill) = migration.split_once("-- What happened before there was a log comes first.").unwrap();
    database.execute_batch("DELETE FROM log_leaves; UPDATE log_head SET size = 0, note = NULL;").unwrap();
    database.execute_batch(fill).unwrap();
    drop(database);
    std::fs::remove_dir_all(&site.config.transparency.folder).unwrap();
    site.start().await;
    assert_eq!(http(site.http(), "/readyz").await.text().lines().last(), Some("log: ok"));
    site.logged().await;
    let report = json(&run(&site, &["audit", "verify", "--json"]).await);
    assert_eq!((&report["good"], &report["log"]["leaves"]["issued"]), (&true.into(), &4.into()));
    assert_eq!(report["log"]["leaves"]["revoked"], 2);
}

/// The disk with the log's files is lost: a server that runs makes them again, of the same leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_files_are_lost_is_written_again() {
    let mut site = Box::pin(busy()).await;
    site.logged().await;
    let kept = site.folder.path().join("kept.checkpoint");
    std::fs::write(&kept, http(site.http(), "/log/checkpoint").await.body).unwrap();
    site.stop().await;
    std::fs::remove_dir_all(&site.config.transparency.folder).unwrap();
    site.start().await;
    until("the log is there again", async || http(site.http(), "/readyz").await.status == 200).await;
    site.logged().await;
    let report = json(&run(&site, &["audit", "verify", "--json", "--from", kept.to_str().unwrap()]).await);
    assert_eq!((&report["good"], &report["findings"]), (&true.into(), &Value::Array(vec![])));
}

/// Where the key is lost there is nothing wrong with the leaves: another key signs what the lost one did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_key_is_lost_goes_on_with_its_leaves_under_another_one() {
    let mut site = Box::pin(busy()).await;
    site.logged().await;
    site.stop().await;
    let folder = site.folder.path().join("server");
    let path = |name: &str| folder.join(name);
    let before = vkey(&site);
    let last = std::fs::read(path("log/checkpoint")).unwrap();
    let last = Checkpoint::open(&last, &before).unwrap();
    for name in ["log.key", "log.vkey"] {
        std::fs::remove_file(path(name)).unwrap();
    }
    std::fs::rename(path("log/checkpoint"), path("log/checkpoint.lost-key")).unwrap();
    let database = rusqlite::Connection::open(&site.config.files.store).unwrap();
    database.execute("UPDATE log_head SET note = NULL", []).unwrap();
    drop(database);
    site.start().await;
    let device = site.device("SN-9").await;
    site.enroll(&device).await;
    let size = site.logged().await;
    assert_ne!(vkey(&site), before);
    let found = json(&run(&site, &["audit", "verify", "--json"]).await);
    assert_eq!((&found["good"], &found["log"]["size"]), (&true.into(), &size.into()), "{found}");
    // Its beginning is the log that the lost key signed.
    let tile = http(site.http(), &format!("/log/tile/0/000.p/{size}")).await.body;
    let mut tree = MemoryTree::default();
    for hash in tile.chunks_exact(32).take(usize::try_from(last.size).unwrap()) {
        tree.push(Hash(hash.try_into().unwrap()));
    }
    assert!(size > last.size && root(&tree, last.size).unwrap() == last.root);
}
