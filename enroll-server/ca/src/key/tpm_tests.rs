use super::{IssuerKey as _, KeyError, TpmKey, TpmKeyError, TpmPlace, attribute, fit, make_tpm_key};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tpm_client::Tpm;

const AUTH: &str = "0123456789abcdef";

/// swtpm with a state of its own. Off when dropped.
struct Simulator {
    folder: PathBuf,
    process: Child,
}

impl Simulator {
    fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let process = Self::run(folder);
        let simulator = Self { folder: folder.to_owned(), process };
        simulator.wait();
        simulator
    }

    fn run(folder: &Path) -> Child {
        let socket = folder.join("tpm.sock");
        _ = fs::remove_file(&socket);
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"]);
        command.arg(format!("dir={}", folder.display()));
        command.arg("--server").arg(format!("type=unixio,path={}", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("swtpm; to have it: apt-get install swtpm")
    }

    fn wait(&self) {
        for _ in 0..500 {
            // The socket is there before anyone listens.
            if UnixStream::connect(self.path()).is_ok() {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "the other process says nothing while it starts")]
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("swtpm does not listen");
    }

    /// Killed, as a power cut would, and on again.
    fn reset(&mut self) {
        self.stop();
        self.process = Self::run(&self.folder);
        self.wait();
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.join("tpm.sock")
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn verify(key: &TpmKey, message: &[u8]) {
    let signature = key.sign(message).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_point()).verify(message, &signature).unwrap();
}

#[test]
fn a_key_is_made_by_a_tpm_and_signs_there_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut simulator = Simulator::start(&folder.path().join("tpm"));
    let (file, auth) = (folder.path().join("ca.tpm"), folder.path().join("auth"));
    secret(&auth, &format!("{AUTH}\n"));
    let point = make_tpm_key(&simulator.path(), Some(&auth), &file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let twice = make_tpm_key(&simulator.path(), Some(&auth), &file);
    assert!(matches!(twice, Err(KeyError::Exists { .. })), "{twice:?}");

    let place = TpmPlace::File(file.clone());
    let mut key = TpmKey::open(&simulator.path(), place.clone(), Some(&auth)).unwrap();
    assert_eq!(*key.public_point(), point);
    verify(&key, b"message");
    assert!(!format!("{key:?}").contains(AUTH));

    // Without its authorization value, or with another one, there is no key.
    let without = TpmKey::open(&simulator.path(), place.clone(), None);
    assert!(matches!(without, Err(KeyError::Tpm(TpmKeyError::Authorization))), "{without:?}");
    secret(&auth, "fedcba9876543210");
    let wrong = TpmKey::open(&simulator.path(), place.clone(), Some(&auth));
    assert!(matches!(wrong, Err(KeyError::Tpm(TpmKeyError::Authorization))), "{wrong:?}");
    secret(&auth, "too short");
    let short = TpmKey::open(&simulator.path(), place.clone(), Some(&auth));
    assert!(matches!(short, Err(KeyError::Tpm(TpmKeyError::AuthLength { found: 9, .. }))), "{short:?}");
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(TpmKey::open(&simulator.path(), place.clone(), Some(&auth)), Err(KeyError::Secret(_))));

    // A power cut costs nothing, whether or not the connection is kept.
    simulator.reset();
    verify(&key, b"after the first reset");
    key.keeps = true;
    verify(&key, b"and kept");
    simulator.reset();
    verify(&key, b"after the second reset");
    simulator.stop();
    assert!(matches!(key.sign(b"while it is off"), Err(KeyError::Unavailable(_))));
    simulator.reset();
    verify(&key, b"when it is on again");
    drop(key);

    // Another TPM has no use for the file.
    let other = Simulator::start(&folder.path().join("other"));
    secret(&auth, AUTH);
    let foreign = TpmKey::open(&other.path(), place, Some(&auth));
    assert!(matches!(foreign, Err(KeyError::Tpm(TpmKeyError::Foreign { .. }))), "{foreign:?}");
    secret(&file, "-----BEGIN TPM2 KEY BLOB-----\nAAAA\n-----END TPM2 KEY BLOB-----\n");
    let damaged = TpmKey::open(&other.path(), TpmPlace::File(file), None);
    assert!(matches!(damaged, Err(KeyError::Tpm(TpmKeyError::NotABlob { .. }))), "{damaged:?}");
    let nothing = TpmKey::open(&other.path(), TpmPlace::Handle(0x8101_0020), None);
    assert!(matches!(nothing, Err(KeyError::Unavailable(_))), "{nothing:?}");
    let nobody = TpmKey::open(&folder.path().join("nobody"), TpmPlace::Handle(0x8101_0020), None);
    assert!(matches!(nobody, Err(KeyError::Unavailable(_))), "{nobody:?}");
}

#[test]
fn each_attribute_that_guards_the_ca_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&folder.path().join("tpm"));
    let public = Tpm::new(&simulator.path()).make_key().unwrap().public;
    fit(&public).unwrap();
    let with = |change: fn(u32) -> u32| {
        // Type and name algorithm stand before them.
        let mut public = public.clone();
        let attributes = u32::from_be_bytes(public[4..8].try_into().unwrap());
        public[4..8].copy_from_slice(&change(attributes).to_be_bytes());
        fit(&public)
    };
    for (change, told) in [
        ((|a| a & !attribute::NO_DA) as fn(u32) -> u32, "lockout"),
        (|a| a & !attribute::OF_THIS_TPM, "can leave it"),
        (|a| a & !attribute::USER_WITH_AUTH, "by a policy"),
        (|a| a | attribute::DECRYPT, "more than that"),
        (|a| a | attribute::RESTRICTED, "more than that"),
    ] {
        let found = with(change);
        assert!(matches!(found, Err(TpmKeyError::Unfit { lacks }) if lacks.contains(told)), "{found:?}");
    }
}
