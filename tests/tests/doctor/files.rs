//! Files by themselves and beside each other.

use std::fs;
use std::process::Command;

use tests::harness::{peer, run};

use super::shop::{Odd, Shop, doctor, says, text};

#[test]
fn files_are_told_and_held_against_each_other() {
    let shop = Shop::new();
    let (certificate, key) = shop.certify("server", &Odd::default());
    let (other, other_key) = shop.certify("other", &Odd { client: true, ..Odd::default() });
    let ca = shop.path("ca.pem");
    says(&doctor(&[text(&certificate), text(&key), text(&ca)]), "fine");
    says(&doctor(&[text(&other), text(&other_key), text(&ca)]), "fine");
    says(&doctor(&[text(&certificate), text(&other_key)]), "key-mismatch");
    let stranger = Shop::with("Stranger", (-1, 30));
    says(&doctor(&[text(&certificate), text(&stranger.path("ca.pem"))]), "unknown-ca");
    says(&doctor(&[text(&shop.file("notes", "hello"))]), "file-unknown");
    says(&doctor(&["there-is-nothing"]), "file-missing");
    let mut broken = fs::read_to_string(&certificate).unwrap();
    broken.replace_range(40..44, "!!!!");
    says(&doctor(&[text(&shop.file("broken.pem", &broken))]), "certificate-unreadable");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    says(&doctor(&[text(&shop.file("encrypted.key", encrypted))]), "key-unreadable");
}

#[test]
fn revocation_lists_that_ran_out() {
    let shop = Shop::new();
    let server = shop.certify("server", &Odd::default());
    let ca = shop.path("ca.pem");
    let (fresh, stale) = (shop.crl("fresh", (-1, 1)), shop.crl("stale", (-9, -2)));
    says(&doctor(&[text(&fresh), text(&ca)]), "fine");
    says(&doctor(&[text(&stale), text(&ca)]), "crl-stale");
    says(&shop.asks(&server, &[], &["--crl", text(&fresh)]), "fine");
    says(&shop.asks(&server, &[], &["--crl", text(&stale)]), "crl-stale");
}

#[test]
fn signatures_of_others() {
    let shop = Shop::new();
    let ca = shop.path("ca.pem");
    // A list by a CA of the same name.
    let impostor = Shop::new();
    let list = impostor.crl("list", (-1, 1));
    says(&doctor(&[text(&list), text(&ca)]), "signature-wrong");

    // What openssl signed, and what somebody changed then: the last byte is one of the signature.
    let (certificate, key) = shop.certify("server", &Odd::default());
    let request = shop.path("request.der");
    let mut openssl = Command::new(peer("openssl", "openssl"));
    openssl
        .args(["req", "-new", "-subj", "/CN=device", "-outform", "DER", "-key"])
        .arg(&key)
        .arg("-out")
        .arg(&request);
    let _made = run(&mut openssl).success();
    says(&doctor(&[text(&request)]), "fine");
    let change = |mut der: Vec<u8>, name: &str| {
        *der.last_mut().unwrap() ^= 1;
        let path = shop.path(name);
        fs::write(&path, der).unwrap();
        path
    };
    says(&doctor(&[text(&change(fs::read(&request).unwrap(), "changed.der"))]), "signature-wrong");
    let der = ca::pem::read_certificates(&fs::read(&certificate).unwrap()).unwrap().remove(0);
    let changed = change(der, "changed.crt");
    says(&doctor(&[text(&changed), text(&ca)]), "signature-wrong");
    says(&shop.asks(&(changed, key), &[], &[]), "signature-wrong");
}
