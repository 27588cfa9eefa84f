//! Revocation as relying parties see it: openssl fetches the list that a certificate names and asks by OCSP, curl asks
//! by GET, Mosquitto reads the complete lists.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::harness::{Finished, Mosquitto, Process, Site, Wishes, World, http, peer, run, until};

/// A world whose certificates say where they are revoked; each has a list of its own.
fn world(devices: u32, broker_port: u16) -> World {
    let world = World::new(Wishes { devices, broker_port, ..Wishes::default() });
    let port = world.http_port;
    world.configure(&[
        ("certificates", "crl_url", &format!("\"http://localhost:{port}/crl/{{issuer}}/{{partition}}.crl\"")),
        ("certificates", "ocsp_url", &format!("\"http://localhost:{port}/ocsp\"")),
        ("crl", "partition_size", "1"),
    ]);
    world
}

struct Fleet {
    world: World,
    _server: Process,
}

impl Fleet {
    /// Three devices with certificates, the second one revoked.
    fn new() -> Self {
        let world = world(3, 9);
        let server = world.serve();
        for device in &world.devices {
            let _enrolled = world.agent(device, &["enroll"]).success();
        }
        let before = world.text("server/crl.pem");
        let revoked = ["device", "revoke", &world.devices[1], "--reason", "key-compromise"];
        let _done = world.server(&revoked).success();
        until("a new revocation list", || (world.text("server/crl.pem") != before).then_some(()));
        Self { world, _server: server }
    }

    fn certificate(&self, number: usize) -> PathBuf {
        self.world.path(&format!("agents/{}-export/current/cert.pem", self.world.devices[number]))
    }

    fn server(&self, name: &str) -> PathBuf {
        self.world.path(&format!("server/{name}"))
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}/{path}", self.world.http_port)
    }

    /// A list by its number, fetched and turned into PEM.
    fn list(&self, number: u32) -> String {
        let reply = until("the list", || {
            let reply = http(self.world.http_port, &format!("/crl/1/{number}.crl"));
            (reply.status == 200).then_some(reply)
        });
        ca::pem::crl(&reply.body)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.world.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn verify(&self, number: usize, more: &[&str], lists: Option<&Path>) -> Finished {
        let mut command = openssl(&["verify", "-x509_strict", "-crl_check", "-purpose", "sslclient"]);
        command.args(more).arg("-CAfile").arg(self.server("root-ca.crt"));
        command.arg("-untrusted").arg(self.server("issuing-ca.crt"));
        if let Some(lists) = lists {
            command.arg("-CRLfile").arg(lists);
        }
        run(command.arg(self.certificate(number)))
    }

    fn ocsp(&self, issuer: &str, arguments: &[&str], certificates: &[usize]) -> Finished {
        let mut command = openssl(&["ocsp", "-issuer"]);
        command.arg(self.server(issuer)).arg("-CAfile").arg(self.server("authorities.pem")).args(arguments);
        for number in certificates {
            command.arg("-cert").arg(self.certificate(*number));
        }
        run(&mut command)
    }
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new(peer("openssl", "openssl"));
    command.args(arguments);
    command
}

#[test]
fn openssl_goes_by_the_list_that_a_certificate_names() {
    let fleet = Fleet::new();
    // Found by the address in the certificate, and nothing else.
    let _ok = fleet.verify(0, &["-crl_download"], None).success();
    let told = fleet.verify(1, &["-crl_download"], None).failure();
    assert!(told.contains("certificate revoked"), "{told}");

    let lists: Vec<String> = (1..=3).map(|number| fleet.list(number)).collect();
    let files: Vec<PathBuf> =
        lists.iter().enumerate().map(|(n, list)| fleet.file(&format!("{n}.pem"), list)).collect();
    for number in [0, 2] {
        let _ok = fleet.verify(number, &[], Some(&files[number])).success();
    }
    let told = fleet.verify(1, &[], Some(&files[1])).failure();
    assert!(told.contains("certificate revoked"), "{told}");
    // An empty list of another distribution point clears nobody.
    for other in [0, 2] {
        let told = fleet.verify(1, &[], Some(&files[other])).failure();
        assert!(!told.contains("certificate revoked") && told.contains("CRL"), "{told}");
    }
    // In one file, in whatever order, with the complete list or without.
    let (backwards, complete) = (lists.iter().rev().cloned().collect(), fleet.world.text("server/crl.pem"));
    for (name, text) in [
        ("all", lists.concat()),
        ("backwards", backwards),
        ("complete", complete.clone()),
        ("complete-first", complete.clone() + &lists.concat()),
        ("complete-last", lists.concat() + &complete),
    ] {
        let file = fleet.file(&format!("{name}.pem"), text);
        for number in [0, 2] {
            let _ok = fleet.verify(number, &[], Some(&file)).success();
        }
        let told = fleet.verify(1, &[], Some(&file)).failure();
        assert!(told.contains("certificate revoked"), "{name}: {told}");
    }
}

#[test]
fn openssl_reads_a_list_and_verifies_it() {
    let fleet = Fleet::new();
    let list = fleet.file("list.pem", fleet.list(2));
    let mut command = openssl(&["crl", "-noout", "-text", "-verify", "-CAfile"]);
    let told = run(command.arg(fleet.server("issuing-ca.crt")).arg("-in").arg(&list));
    assert!(told.stderr.contains("verify OK"), "{told:?}");
    let text = told.success();
    for wanted in [
        "Version 2",
        "ecdsa-with-SHA256",
        "X509v3 CRL Number",
        "X509v3 Authority Key Identifier",
        "X509v3 Issuing Distribution Point: critical",
        &format!("URI:{}", fleet.url("crl/1/2.crl")),
        "Only User Certificates",
        "Key Compromise",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert_eq!(text.matches("Serial Number").count(), 1, "{text}");
    let complete = run(openssl(&["crl", "-noout", "-text", "-in"]).arg(fleet.server("crl.pem"))).success();
    assert!(!complete.contains("Issuing Distribution Point"), "{complete}");
    let certificate = run(openssl(&["x509", "-noout", "-text", "-in"]).arg(fleet.certificate(1))).success();
    assert_eq!(certificate.matches("Full Name").count(), 1, "one distribution point\n{certificate}");
    assert!(certificate.contains(&format!("OCSP - URI:{}", fleet.url("ocsp"))), "{certificate}");
}

#[test]
fn openssl_asks_by_ocsp() {
    let fleet = Fleet::new();
    let url = fleet.url("ocsp");
    let with_nonce = fleet.ocsp("issuing-ca.crt", &["-url", &url], &[0]);
    assert!(with_nonce.stderr.contains("Response verify OK"), "{with_nonce:?}");
    assert!(!with_nonce.stderr.contains("no nonce"), "the nonce came back: {with_nonce:?}");
    assert!(with_nonce.stdout.contains("cert.pem: good"), "{with_nonce:?}");
    for hash in ["-sha1", "-sha256"] {
        let told = fleet.ocsp("issuing-ca.crt", &["-no_nonce", "-text", "-url", &url, hash], &[0, 1, 2]);
        assert!(told.stderr.contains("Response verify OK"), "{told:?}");
        let text = told.success();
        assert_eq!(
            (text.matches("cert.pem: good").count(), text.matches("cert.pem: revoked").count()),
            (2, 1)
        );
        for wanted in
            ["Reason: keyCompromise", "OCSP Signing", "OCSP No Check", "Responder Id", "Next Update"]
        {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }
    // A certificate of another CA than the one that is named, and one that this CA signed for a server.
    let stranger = fleet.ocsp("root-ca.crt", &["-url", &url], &[0]);
    let told = format!("{}{}", stranger.stdout, stranger.stderr);
    assert!(told.contains("unauthorized (6)"), "{told}");
    let server = fleet.server("server.crt");
    let of_server = fleet.ocsp("issuing-ca.crt", &["-url", &url, "-cert", server.to_str().unwrap()], &[]);
    assert!(of_server.stdout.contains("server.crt: unknown"), "{of_server:?}");
    // The responder is believed for certificates of its CA only because that CA signed it.
    let mut command = openssl(&["ocsp", "-no_nonce", "-url", &url, "-issuer"]);
    command.arg(fleet.server("issuing-ca.crt")).arg("-CAfile").arg(fleet.certificate(0));
    let told = run(command.arg("-cert").arg(fleet.certificate(0)));
    assert!(told.stderr.contains("Response Verify Failure"), "{told:?}");
}

#[test]
fn a_revocation_is_in_the_next_ocsp_answer() {
    let fleet = Fleet::new();
    let url = fleet.url("ocsp");
    let ask = || fleet.ocsp("issuing-ca.crt", &["-no_nonce", "-url", &url], &[2]).success();
    assert!(ask().contains(": good"), "and the answer is kept");
    let _done = fleet.world.server(&["device", "revoke", &fleet.world.devices[2]]).success();
    assert!(ask().contains(": revoked"));
}

#[test]
fn curl_asks_by_get() {
    let fleet = Fleet::new();
    let (question, answer) = (fleet.world.path("question.der"), fleet.world.path("answer.der"));
    let written = ["-no_nonce", "-reqout", question.to_str().unwrap()];
    let _written = fleet.ocsp("issuing-ca.crt", &written, &[1]);
    let base64 = run(openssl(&["base64", "-A", "-in"]).arg(&question)).success();
    let escaped = base64.trim().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for text in [base64.trim(), &escaped] {
        let mut curl = Command::new(peer("curl", "curl"));
        curl.args(["--silent", "--show-error", "--fail", "--path-as-is", "--include", "--output"])
            .arg(&answer);
        let _fetched = run(curl.arg(fleet.url(&format!("ocsp/{text}")))).success();
        let whole = fs::read(&answer).unwrap();
        let end = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&whole[..end]).to_lowercase();
        for wanted in
            ["content-type: application/ocsp-response", "cache-control: max-age=", "etag: \"", "expires: "]
        {
            assert!(head.contains(wanted), "{wanted}\n{head}");
        }
        fs::write(&answer, &whole[end..]).unwrap();
        let told = fleet.ocsp("issuing-ca.crt", &["-no_nonce", "-respin", answer.to_str().unwrap()], &[1]);
        assert!(told.stderr.contains("Response verify OK"), "{told:?}");
        assert!(told.stdout.contains("cert.pem: revoked"), "{told:?}");
    }
}

#[test]
fn mosquitto_goes_by_the_complete_lists_whatever_list_a_certificate_names() {
    let port = Mosquitto::port_to_be();
    let site = Site::in_world(world(2, port), port, None);
    site.refuses_who_is_revoked();
}
