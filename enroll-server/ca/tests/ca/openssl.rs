//! What openssl makes of everything the CA signs. It has to be there: a check that did not run proves nothing.

use ca::crl::{Issue, Reason, Revoked, make};
use ca::hierarchy::{SERVER_LIFETIME, server_certificate};
use ca::{FileKey, Issued, pem};
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{DAY, Hierarchy, NOW};

/// A directory with the CA's files.
struct Files {
    directory: tempfile::TempDir,
    hierarchy: Hierarchy,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), hierarchy: Hierarchy::new() };
        files.write("root.pem", &pem::certificate(files.hierarchy.root.certificate().der()));
        files.write("issuing.pem", &pem::certificate(files.hierarchy.issuing.certificate().der()));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Runs openssl in the directory; gives success and everything it said.
    fn openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .output()
            .unwrap_or_else(|error| {
                panic!("openssl does not start ({error}); install it: sudo apt-get install -y openssl")
            });
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn verify(&self, more: &str) -> (bool, String) {
        let at = NOW.as_secs();
        self.openssl(&format!("verify -x509_strict -check_ss_sig -attime {at} -CAfile root.pem {more}"))
    }

    fn accepts(&self, more: &str) {
        let (accepted, said) = self.verify(more);
        assert!(accepted, "{more}: {said}");
    }

    fn revoke(&self, revoked: &[&Issued]) {
        let entries = revoked.iter().map(|issued| Revoked {
            serial: issued.serial(),
            at: NOW.before(Duration::from_secs(60)),
            reason: Reason::KeyCompromise,
        });
        let issue = Issue { number: 1 << 40, this_update: NOW, next_update: NOW.after(DAY) };
        let der = make(&self.hierarchy.issuing, issue, entries).unwrap();
        self.write("crl.pem", &pem::crl(&der));
    }
}

#[test]
fn openssl_verifies_the_whole_hierarchy_strictly() {
    let files = Files::new();
    files.accepts("root.pem");
    files.accepts("issuing.pem");
    let device = files.hierarchy.device("SN-0001");
    files.write("device.pem", &pem::certificate(device.der()));
    files.accepts("-untrusted issuing.pem -purpose sslclient device.pem");
    let (as_server, _) = files.verify("-untrusted issuing.pem -purpose sslserver device.pem");
    assert!(!as_server, "a device is no server");

    let key = FileKey::generate().unwrap();
    let names = ["broker.example", "192.0.2.1"];
    let server = server_certificate(&names, &key, &files.hierarchy.issuing, SERVER_LIFETIME, NOW).unwrap();
    files.write("server.pem", &pem::certificate(server.der()));
    let server = "-untrusted issuing.pem -purpose sslserver";
    files.accepts(&format!("{server} -verify_hostname broker.example server.pem"));
    files.accepts(&format!("{server} -verify_ip 192.0.2.1 server.pem"));
    assert!(!files.verify(&format!("{server} -verify_hostname other.example server.pem")).0);
    assert!(!files.verify("-untrusted issuing.pem -purpose sslclient server.pem").0);
    // A device's certificate signs nothing.
    files.write("untrusted.pem", &pem::chain([device.der(), files.hierarchy.issuing.certificate().der()]));
    assert!(files.verify("-untrusted untrusted.pem device.pem").0);
}

#[test]
fn openssl_shows_the_profile() {
    let files = Files::new();
    let device = files.hierarchy.device("SN-0001");
    files.write("device.pem", &pem::certificate(device.der()));
    let (read, text) = files.openssl("x509 -in device.pem -noout -text -nameopt RFC2253");
    assert!(read, "{text}");
    for wanted in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Subject: serialNumber=SN-0001,CN=SN-0001,O=acme",
        "ASN1 OID: prime256v1",
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "X509v3 Key Usage: critical",
        "Digital Signature",
        "TLS Web Client Authentication",
        "URI:urn:dev:os:32473-SN-0001",
        "URI:http://ca.example:8080/crl.der",
        "OCSP - URI:http://ca.example:8080/ocsp",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in:\n{text}");
    }
    assert!(!text.contains("Certificate Sign") && !text.contains("Server Authentication"), "{text}");
    let (_, serial) = files.openssl("x509 -in device.pem -noout -serial");
    assert_eq!(serial.trim(), format!("serial={}", device.serial().to_string().to_uppercase()));
}

#[test]
fn openssl_verifies_the_list_and_goes_by_it() {
    let files = Files::new();
    let (good, bad) = (files.hierarchy.device("SN-0001"), files.hierarchy.device("SN-0002"));
    files.write("good.pem", &pem::certificate(good.der()));
    files.write("bad.pem", &pem::certificate(bad.der()));
    files.revoke(&[&bad]);
    let (_, said) = files.openssl("crl -verify -in crl.pem -CAfile issuing.pem -noout");
    assert!(said.contains("verify OK"), "{said}");
    let (_, text) = files.openssl("crl -in crl.pem -noout -text");
    for wanted in
        ["Version 2 (0x1)", "Key Compromise", "X509v3 CRL Number", "X509v3 Authority Key Identifier"]
    {
        assert!(text.contains(wanted), "no {wanted:?} in:\n{text}");
    }
    let check = "-crl_check -CRLfile crl.pem -untrusted issuing.pem";
    files.accepts(&format!("{check} good.pem"));
    let (accepted, said) = files.verify(&format!("{check} bad.pem"));
    assert!(!accepted && said.contains("certificate revoked"), "{said}");

    // The list of another CA is no list of this one.
    let other = Files::new();
    files.write("crl.pem", &{
        other.revoke(&[]);
        fs::read_to_string(other.path("crl.pem")).unwrap()
    });
    assert!(!files.openssl("crl -verify -in crl.pem -CAfile issuing.pem -noout").1.contains("verify OK"));
}

#[test]
fn openssl_reads_the_key_files() {
    let files = Files::new();
    let key = FileKey::generate().unwrap();
    key.save(&files.path("ca.key")).unwrap();
    let (read, said) = files.openssl("pkey -in ca.key -noout -check");
    assert!(read && said.contains("Key is valid"), "{said}");
    let (made, said) = files.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out made.key");
    assert!(made, "{said}");
    FileKey::load(&files.path("made.key")).unwrap();
}
