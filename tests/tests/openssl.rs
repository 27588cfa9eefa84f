//! OpenSSL accepts what the CA makes, strictly, and speaks TLS with the server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::harness::{Finished, Wishes, World, peer, run, until};

#[test]
fn certificates_and_revocation_lists_pass_the_strict_checks() {
    let world = World::new(Wishes { devices: 2, ..Wishes::default() });
    let _server = world.serve();
    for device in &world.devices {
        let _enrolled = world.agent(device, &["enroll"]).success();
    }
    let [good, revoked] = [&world.devices[0], &world.devices[1]];
    let before = world.text("server/crl.pem");
    let _done = world.server(&["device", "revoke", revoked]).success();
    until("a new revocation list", || (world.text("server/crl.pem") != before).then_some(()));

    let root = world.path("server/root-ca.crt");
    let issuing = world.path("server/issuing-ca.crt");
    let crl = world.path("server/crl.pem");
    let verify = |purpose: &str, certificate: &Path, more: &[&Path]| {
        let mut command =
            openssl(&["verify", "-x509_strict", "-policy_check", "-purpose", purpose, "-CAfile"]);
        command.arg(&root);
        for (flag, path) in ["-untrusted", "-CRLfile"].iter().zip(more) {
            command.arg(flag).arg(path);
        }
        if more.len() == 2 {
            command.arg("-crl_check");
        }
        run(command.arg(certificate))
    };
    let leaf = |device: &str| world.path(&format!("agents/{device}-export/current/cert.pem"));

    let _ok = verify("sslclient", &leaf(good), &[&issuing, &crl]).success();
    let told = verify("sslclient", &leaf(revoked), &[&issuing, &crl]).failure();
    assert!(told.contains("certificate revoked"), "{told}");
    // A device's certificate is good for nothing else.
    for purpose in ["sslserver", "smimesign"] {
        let _told = verify(purpose, &leaf(good), &[&issuing]).failure();
    }
    let _ok = verify("sslserver", &world.path("server/server.crt"), &[&issuing]).success();
    let _ok = verify("any", &issuing, &[]).success();
    let _ok = verify("any", &root, &[]).success();

    let told = run(openssl(&["crl", "-noout", "-verify", "-CAfile"]).arg(&issuing).arg("-in").arg(&crl));
    assert!(told.status.success() && told.stderr.contains("verify OK"), "{told:?}");
    let der =
        run(openssl(&["crl", "-noout", "-text", "-inform", "DER", "-in"]).arg(world.path("server/crl.der")));
    let text = der.success();
    assert!(text.contains("Version 2") && text.contains("X509v3 CRL Number"), "{text}");
}

#[test]
fn certificates_say_what_the_profile_says() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let certificate = world.path(&format!("agents/{device}-export/current/cert.pem"));
    let text = run(openssl(&["x509", "-noout", "-text", "-in"]).arg(certificate)).success();
    for wanted in [
        &format!("CN = {device}"),
        &format!("serialNumber = {device}"),
        "O = Example",
        &format!("URI:urn:dev:os:32473-{device}"),
        "TLS Web Client Authentication",
        "Digital Signature",
        "ecdsa-with-SHA256",
        "NIST CURVE: P-256",
        "Version: 3",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    for unwanted in ["CA:TRUE", "Server Authentication", "Certificate Sign", "DNS:", "IP Address:"] {
        assert!(!text.contains(unwanted), "{unwanted}\n{text}");
    }
}

#[test]
fn s_client_speaks_with_the_server_by_tls_1_3_and_nothing_older() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let current = world.path(&format!("agents/{device}-export/current"));

    let said = s_client(&world, &current, &["-tls1_3"]);
    assert!(said.stdout.contains("Verify return code: 0 (ok)"), "{said:?}");
    assert!(said.stdout.contains("TLSv1.3"), "{said:?}");
    assert!(said.stdout.contains("Peer signature type: ECDSA"), "{said:?}");
    assert!(said.stdout.contains("HTTP/1.1 200"), "{said:?}");

    let said = s_client(&world, &current, &["-tls1_3", "-groups", "P-256"]);
    assert!(said.stdout.contains("Server Temp Key: ECDH, prime256v1"), "{said:?}");
    // A client that offers both first groups gets P-256, the one group that small devices have.
    let said = s_client(&world, &current, &["-tls1_3", "-groups", "X25519:P-256"]);
    assert!(said.stdout.contains("Verify return code: 0 (ok)"), "{said:?}");
    let said = s_client(&world, &current, &["-tls1_2"]);
    assert!(!said.stdout.contains("HTTP/1.1") && said.stderr.contains("alert protocol version"), "{said:?}");
    let said = s_client(&world, &current, &["-tls1_3", "-groups", "P-384"]);
    assert!(!said.stdout.contains("HTTP/1.1"), "{said:?}");
}

/// Fetches the trust bundle with the device's identity.
fn s_client(world: &World, identity: &Path, arguments: &[&str]) -> Finished {
    let mut command =
        openssl(&["s_client", "-verify_return_error", "-ign_eof", "-servername", "localhost", "-CAfile"]);
    command.arg(world.path("server/root-ca.crt"));
    command.args(["-verify_hostname", "localhost", "-connect", &format!("localhost:{}", world.https_port)]);
    command.arg("-cert").arg(identity.join("cert.pem")).arg("-key").arg(identity.join("key.pem"));
    command.arg("-cert_chain").arg(identity.join("chain.pem")).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let request = b"GET /v1/trust HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // A handshake that fails closes the pipe before the request is written.
    let _written = child.stdin.take().unwrap().write_all(request);
    let output = child.wait_with_output().unwrap();
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new(peer("openssl", "openssl"));
    command.args(arguments);
    command
}

#[test]
fn the_recorded_csr_and_certificates_are_read_by_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, tests::exchange::bytes(name)).unwrap();
        path
    };
    let csr = run(openssl(&["req", "-noout", "-verify", "-inform", "DER", "-in"]).arg(file("csr")));
    assert!(csr.status.success() && csr.stderr.contains("verify OK"), "{csr:?}");
    for name in ["maker_ca", "idevid", "root_ca", "issuing_ca", "server_certificate"] {
        let _ok = run(openssl(&["x509", "-noout", "-inform", "DER", "-in"]).arg(file(name))).success();
    }
}
