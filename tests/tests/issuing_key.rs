//! Where the issuing CA's key may lie: in an encrypted file, in a PKCS#11 token (SoftHSM2), behind a command
//! (openssl). Each time a device enrolls with the real programs, and the key is nowhere else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::harness::{Finished, Wishes, World, peer, run};

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn an_encrypted_key_issues_with_its_passphrase_only() {
    let world = World::new(Wishes::default());
    let key = world.path("server/issuing-ca.key");
    let _encrypted = openssl(&world, &["pkcs8", "-topk8", "-scrypt", "-in"], &key, &["-out", "locked.key"]);
    fs::rename(world.path("locked.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("issuing-ca.key") && told.contains("passphrase"), "{told}");
    let told = run(world.server_command(&["serve"]).env("ENROLL_SERVER_PASSPHRASE", "wrong")).failure();
    assert!(told.contains("the passphrase is wrong") && !told.contains("horse"), "{told}");

    let server = world.serve_by(world.server_command(&["serve"]).env("ENROLL_SERVER_PASSPHRASE", PASSPHRASE));
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();
    let log = server.stop().1;
    assert!(!log.contains(PASSPHRASE), "{log}");

    secret(&world.path("server/passphrase"), PASSPHRASE);
    world.configure(&[("issuing_key", "passphrase_file", "\"passphrase\"")]);
    let _server = world.serve();
    fs::set_permissions(world.path("server/passphrase"), fs::Permissions::from_mode(0o640)).unwrap();
    let told = run(&mut world.server_command(&["serve"])).failure();
    assert!(told.contains("passphrase has mode 0640"), "{told}");
}

#[test]
fn init_encrypts_what_can_issue() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passphrase");
    secret(&file, PASSPHRASE);
    let directory = folder.path().join("server");
    let mut init = Command::new(tests::harness::binary("enroll-server"));
    init.args(["init", "--tenant", "Acme", "--host", "localhost", "--encrypt-keys"]);
    init.arg("--passphrase-file").arg(&file).arg("--dir").arg(&directory);
    let _made = run(&mut init).success();
    for name in ["root-ca.key", "issuing-ca.key", "trust-signer.key"] {
        let text = fs::read_to_string(directory.join(name)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{name}: {text}");
    }
    assert!(
        fs::read_to_string(directory.join("server.key")).unwrap().starts_with("-----BEGIN PRIVATE KEY-----")
    );
}

#[test]
fn a_key_in_a_token_issues() {
    let world = World::new(Wishes::default());
    let file = |name: &str| world.path(name).to_str().unwrap().to_owned();
    fs::create_dir(world.path("tokens")).unwrap();
    fs::write(world.path("softhsm2.conf"), format!("directories.tokendir = {}\n", file("tokens"))).unwrap();
    secret(&world.path("pin"), "4711");
    let util = |arguments: &[&str]| {
        let mut command = Command::new(peer("softhsm2-util", "softhsm2"));
        let _done = run(command.args(arguments).env("SOFTHSM2_CONF", file("softhsm2.conf"))).success();
    };
    util(&["--init-token", "--free", "--label", "ca", "--so-pin", "0815", "--pin", "4711"]);
    let key = file("server/issuing-ca.key");
    util(&["--import", &key, "--token", "ca", "--label", "issuing", "--id", "01", "--pin", "4711"]);
    fs::remove_file(&key).unwrap();

    let module = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("SoftHSM's module; to have it: apt-get install softhsm2");
    let uri = format!("pkcs11:token=ca;object=issuing?module-path={module}&pin-source=file:{}", file("pin"));
    world.configure(&[("issuing_key", "pkcs11", &format!("{uri:?}"))]);
    let server = || {
        let mut command = world.server_command(&["serve"]);
        command.env("SOFTHSM2_CONF", file("softhsm2.conf"));
        command
    };
    let running = world.serve_by(&mut server());
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();
    let (status, log) = running.stop();
    assert!(status.success() && !log.contains("4711"), "{log}");

    // Without the right PIN there is no server.
    fs::write(world.path("pin"), "0000").unwrap();
    let told = run(&mut server()).failure();
    assert!(told.contains("the key cannot be reached"), "{told}");
}

#[test]
fn a_command_issues() {
    let world = World::new(Wishes::default());
    let key: PathBuf = world.path("elsewhere.key");
    fs::rename(world.path("server/issuing-ca.key"), &key).unwrap();
    let command = format!("[\"openssl\", \"dgst\", \"-sha256\", \"-sign\", {:?}]", key.to_str().unwrap());
    world.configure(&[("issuing_key", "command", &command)]);
    let _server = world.serve();
    let _enrolled = world.agent(&world.devices[0], &["enroll"]).success();

    // The key behind the command is exchanged: what it signs goes nowhere.
    let serials = || world.server_json(&["cert", "list"])["certificates"].as_array().map_or(0, Vec::len);
    assert_eq!(serials(), 1);
    let _made = openssl(
        &world,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"],
        &key,
        &[],
    );
    let _erased = world.agent(&world.devices[0], &["reset", "--yes"]).success();
    let told = world.agent(&world.devices[0], &["enroll"]);
    assert!(!told.status.success(), "{told:?}");
    let issued = world.server_json(&["cert", "list"]);
    let issued =
        issued["certificates"].as_array().unwrap().iter().filter(|one| one["state"] == "issued").count();
    assert_eq!(issued, 1, "a certificate by another key was kept");
}

fn secret(path: &Path, text: &str) {
    fs::write(path, format!("{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn openssl(world: &World, before: &[&str], path: &Path, after: &[&str]) -> Finished {
    let mut command = Command::new(peer("openssl", "openssl"));
    command.current_dir(world.path("")).args(before).arg(path).args(after);
    if before.contains(&"-topk8") {
        command.args(["-passout", &format!("pass:{PASSPHRASE}")]);
    }
    let finished = run(&mut command);
    assert!(finished.status.success(), "{finished:?}");
    finished
}
