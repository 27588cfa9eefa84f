//! The issuing CA's key in a TPM (swtpm): devices enroll with the real programs, the key is nowhere else, and a TPM
//! that goes away costs time and no certificate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tests::harness::measured_boot::Firmware;
use tests::harness::{Swtpm, Wishes, World, binary, peer, run};

const AUTH: &str = "7c1f0ab3d95e4d2f8b60";

/// A TPM that is on.
fn tpm(folder: &Path) -> Swtpm {
    let mut tpm = Swtpm::make_bare(folder);
    tpm.boot(&Firmware::new("1.0.0"));
    tpm
}

fn secret(path: &Path, text: &str) {
    fs::write(path, format!("{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// `enroll-server ca tpm-create`, then a certificate for that key by the root of `world`, in place of the old one.
#[test]
fn init_has_a_tpm_make_the_key_and_devices_enroll_through_its_power_cuts() {
    let folder = TempDir::with_prefix("tpm-ca-").unwrap();
    let mut tpm = tpm(&folder.path().join("tpm"));
    let auth = folder.path().join("issuing.auth");
    secret(&auth, AUTH);
    let world = World::with_init(Wishes { devices: 3, ..Wishes::default() }, |init| {
        init.arg("--tpm").arg(tpm.socket()).arg("--tpm-auth-file").arg(&auth);
    });
    assert!(!world.path("server/issuing-ca.key").exists());
    let blob = world.path("server/issuing-ca.tpm");
    assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!world.text("server/enroll-server.toml").contains(AUTH));

    let server = world.serve();
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();

    // Power cut and on again, without a word to the server.
    tpm.boot(&Firmware::new("1.0.0"));
    let _enrolled = world.agent(&world.devices[1], &["enroll"]).success();

    // While it is off the device is told to come again; the certificate that was recorded then is signed later.
    tpm.turn_off();
    let told = world.agent(&world.devices[2], &["enroll"]).failure();
    assert!(told.contains("unavailable"), "{told}");
    server.wait_for_text("the key cannot be reached");
    tpm.boot(&Firmware::new("1.0.0"));
    let _enrolled = world.agent(&world.devices[2], &["enroll"]).success();
    let issued = world.server_json(&["cert", "list"]);
    let issued =
        issued["certificates"].as_array().unwrap().iter().filter(|one| one["state"] == "issued").count();
    assert_eq!(issued, 3);
    let (status, log) = server.stop();
    assert!(status.success() && !log.contains(AUTH), "{log}");
    let chain = world.path("server/authorities.pem");
    let device = world.path(&format!("agents/{}-export/current/cert.pem", world.devices[0]));
    let mut verify = Command::new(peer("openssl", "openssl"));
    verify.args(["verify", "-x509_strict", "-partial_chain", "-trusted"]).arg(&chain).arg(device);
    let _verified = run(&mut verify).success();

    // Another authorization value, or none: the server says so and does not start.
    secret(&auth, "0000000000000000000000");
    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("does not take the key's authorization value"), "{told}");
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o640)).unwrap();
    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("has mode 0640"), "{told}");
    secret(&auth, AUTH);
    tpm.turn_off();
    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("no TPM answers at") && told.contains("tpm.sock"), "{told}");

    // The file in another TPM.
    let other = self::tpm(&folder.path().join("other"));
    let key = format!("{{ device = {:?}, key = \"issuing-ca.tpm\", auth_file = {auth:?} }}", other.socket());
    world.configure(&[("issuing_key", "tpm", &key)]);
    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("another one made it, or it was cleared since"), "{told}");
}

#[test]
fn a_key_at_a_handle_of_the_tpm_is_taken_if_it_cannot_leave_it() {
    let folder = TempDir::with_prefix("tpm-ca-").unwrap();
    let tpm = tpm(&folder.path().join("tpm"));
    let world = World::new(Wishes::default());
    let transport = format!("swtpm:path={}", tpm.socket().display());
    let tool = |line: &str| {
        for line in [line, "tpm2_flushcontext -t"] {
            let mut words = line.split(' ');
            let mut command = Command::new(peer(words.next().unwrap(), "tpm2-tools"));
            command.args(words).args(["-T", &transport]).current_dir(folder.path());
            let _output = run(&mut command).success();
        }
    };
    tool("tpm2_createprimary -C o -G ecc -c primary.ctx");
    for (name, attributes, handle) in [
        ("leaves", "sensitivedataorigin|userwithauth|sign|noda", "0x81010020"),
        ("stays", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda", "0x81010021"),
        ("locks", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", "0x81010023"),
    ] {
        tool(&format!(
            "tpm2_create -C primary.ctx -G ecc256:ecdsa-sha256 -a {attributes} -u {name}.pub -r {name}.priv"
        ));
        tool(&format!("tpm2_load -C primary.ctx -u {name}.pub -r {name}.priv -c {name}.ctx"));
        tool(&format!("tpm2_evictcontrol -C o -c {name}.ctx {handle}"));
    }
    let key = |handle: &str| format!("{{ device = {:?}, handle = {handle} }}", tpm.socket());
    for (handle, told) in [
        ("0x81010020", "it was not made by the TPM, or can leave it"),
        // Its certificate is another key's.
        ("0x81010021", "the CA's certificate and key do not belong together"),
        ("0x81010022", "no key lies at handle 0x81010022"),
        ("0x81010023", "wrong authorization values count towards the TPM's lockout"),
    ] {
        world.configure(&[("issuing_key", "tpm", &key(handle))]);
        let output = run(&mut world.server_command(&["serve"])).failure();
        assert!(output.contains(told), "{output}");
    }
}

#[test]
fn tpm_create_overwrites_nothing_and_says_what_is_next() {
    let folder = TempDir::with_prefix("tpm-ca-").unwrap();
    let tpm = tpm(&folder.path().join("tpm"));
    let create = || {
        let mut command = Command::new(binary("enroll-server"));
        command.args(["ca", "tpm-create", "--device"]).arg(tpm.socket());
        command.arg("--out").arg(folder.path().join("ca.tpm"));
        run(&mut command)
    };
    let told = create().success();
    assert!(told.contains("[issuing_key]") && told.contains("ca csr"), "{told}");
    let before = fs::read(folder.path().join("ca.tpm")).unwrap();
    assert!(create().failure().contains("exists already"));
    assert_eq!(fs::read(folder.path().join("ca.tpm")).unwrap(), before);
}
