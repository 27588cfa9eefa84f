//! The simulated DICE boot: what its keys depend on, and what OpenSSL makes of its certificates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use firmware_sim::dice::{Boot, Code, Mode, Uds, boot};
use firmware_sim::factory::Maker;
use shared::{DeviceId, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

fn codes(application: &str) -> [Code<'_>; 2] {
    [
        Code::of_image("bootloader", "1.0.0", "sim", b"bootloader"),
        Code::of_image("application", "1.2.0", "sim", application.as_bytes()),
    ]
}

fn device(maker: &Maker, uds: &Uds) -> Vec<u8> {
    uds.endorse(&DeviceId::new("SN-1").unwrap(), maker, NOW).unwrap()
}

#[test]
fn keys_follow_from_the_secret_the_firmware_and_the_mode() {
    let maker = Maker::above("Example", 3, NOW).unwrap();
    let (uds, other) = (Uds::from_bytes([7; 32]), Uds::from_bytes([8; 32]));
    let root = device(&maker, &uds);
    let alias = |boot: &Boot| boot.alias.to_bytes();
    let good = boot(&uds, &root, &codes("app"), Mode::Normal).unwrap();
    assert_eq!(good.chain.len(), 4);
    assert_eq!(good.chain.last(), Some(&root));
    let again = boot(&uds, &root, &codes("app"), Mode::Normal).unwrap();
    assert_eq!(alias(&good), alias(&again), "the same firmware gets the same key");
    let changed = boot(&uds, &root, &codes("app with a back door"), Mode::Normal).unwrap();
    let debug = boot(&uds, &root, &codes("app"), Mode::Debug).unwrap();
    let elsewhere = boot(&other, &device(&maker, &other), &codes("app"), Mode::Normal).unwrap();
    for different in [&changed, &debug, &elsewhere] {
        assert_ne!(alias(&good), alias(different));
    }
    assert!(!format!("{uds:?}{good:?}").contains("7, 7"));
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output =
        output.unwrap_or_else(|error| panic!("openssl is needed ({error}): apt-get install openssl"));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_follows_the_chain_and_reads_the_extensions() {
    let folder = tempfile::tempdir().unwrap();
    let maker = Maker::above("Example", 3, NOW).unwrap();
    let uds = Uds::from_bytes([7; 32]);
    let booted = boot(&uds, &device(&maker, &uds), &codes("app"), Mode::Normal).unwrap();
    let pem = |chain: &[Vec<u8>]| ca::pem::chain(chain.iter().map(Vec::as_slice));
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let (alias, above) = booted.chain.split_first().unwrap();
    write("maker.pem", maker.certificate_pem());
    write("alias.pem", pem(core::slice::from_ref(alias)));
    write("above.pem", pem(above));
    write("layer.pem", pem(&above[..1]));
    // OpenSSL does not know the profile's extension, which is critical.
    let verify =
        ["verify", "-x509_strict", "-ignore_critical", "-attime", "1795478400", "-CAfile", "maker.pem"];
    let verdict = openssl(folder.path(), &[&verify[..], &["-untrusted", "above.pem", "alias.pem"]].concat());
    assert!(verdict.contains("alias.pem: OK"), "{verdict}");

    let text = openssl(folder.path(), &["x509", "-in", "layer.pem", "-noout", "-text"]);
    for wanted in ["1.3.6.1.4.1.11129.2.1.24: critical", "2.23.133.5.4.1", "CA:TRUE", "Certificate Sign"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}
