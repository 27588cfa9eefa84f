//! A CA whose key lies in a PKCS#11 token: SoftHSM2, set up by its own tool.
//!
//! SoftHSM reads where its tokens are from its environment, once a process. So each test runs itself again as a
//! process of its own, with a folder of its own in its environment.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use ca::hierarchy::{ROOT_LIFETIME, issuing_ca, root_ca};
use ca::key::{Pkcs11Key, Pkcs11Uri};
use ca::secret::SecretError;
use ca::{FileKey, Issuer, IssuerKey, KeyError, LdevidProfile, RecordedIntent, Serial, Validity, lint};
use cryptoki::context::Pkcs11;
use shared::{DeviceId, UnixTime};

const PIN: &str = "4711";
const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

#[test]
fn a_key_in_a_token_issues_certificates() {
    let Some(tokens) = Tokens::new("a_key_in_a_token_issues_certificates") else { return };
    let (root, root_key) = root_ca("acme", ROOT_LIFETIME, NOW).unwrap();
    let root = Issuer::new(root, Box::new(root_key)).unwrap();
    let (certificate, key) = issuing_ca("acme", &root, ca::hierarchy::ISSUING_LIFETIME, NOW).unwrap();
    tokens.token("The CA", &key);
    let remote = Pkcs11Key::open(tokens.uri("The%20CA", "object=issuing")).unwrap();
    assert_eq!(remote.public_point(), key.public_point());
    assert!(!format!("{remote:?}").contains(PIN));

    let issuer = Issuer::new(certificate, Box::new(remote)).unwrap();
    let intent = Intent {
        serial: Serial::random().unwrap(),
        device: DeviceId::new("SN-1").unwrap(),
        point: *FileKey::generate().unwrap().public_point(),
        validity: Validity::of_ldevid(NOW, core::time::Duration::from_secs(86_400), issuer.certificate())
            .unwrap(),
    };
    let profile = LdevidProfile::new("acme", 32473).unwrap();
    let issued = issuer.issue(lint(&intent, &profile, issuer.certificate(), NOW).unwrap(), NOW).unwrap();
    assert_eq!(issued.serial(), intent.serial);
}

#[test]
fn a_lost_session_is_opened_again() {
    let Some(tokens) = Tokens::new("a_lost_session_is_opened_again") else { return };
    let key = FileKey::generate().unwrap();
    tokens.token("ca", &key);
    let remote = Pkcs11Key::open(tokens.uri("ca", "id=%01")).unwrap();
    signs(&remote);

    // Logged out by another part of the process.
    let module = Pkcs11::new(module()).unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap().remove(0);
    let session = module.open_ro_session(slot).unwrap();
    session.logout().unwrap();
    signs(&remote);

    // The module is restarted under it: every session is gone.
    drop(session);
    module.finalize().unwrap();
    signs(&remote);

    // Many at once.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| signs(&remote)));
        }
    });
}

#[test]
fn what_is_missing_is_named() {
    let Some(tokens) = Tokens::new("what_is_missing_is_named") else { return };
    let key = FileKey::generate().unwrap();
    tokens.token("ca", &key);
    let open = |uri: Pkcs11Uri| Pkcs11Key::open(uri).unwrap_err();
    assert!(matches!(open(tokens.uri("other", "object=issuing")), KeyError::NotThere { what: "token", .. }));
    assert!(matches!(open(tokens.uri("ca", "object=nobody")), KeyError::NotThere { what: "key", .. }));

    tokens.import("ca", &FileKey::generate().unwrap(), "issuing", "02");
    assert!(matches!(open(tokens.uri("ca", "object=issuing")), KeyError::Ambiguous { what: "key", .. }));
    let one = Pkcs11Key::open(tokens.uri("ca", "object=issuing;id=%01")).unwrap();
    assert_eq!(one.public_point(), key.public_point());

    // Without a login the private key is not to be seen; with a wrong PIN there is no login.
    let module = module();
    let bare = format!("pkcs11:token=ca;id=%01?module-path={}", module.display());
    // The last key of a module that goes ends the login, which holds for the whole process.
    drop(one);
    assert!(matches!(open(bare.parse().unwrap()), KeyError::NotThere { what: "key", .. }));
    fs::write(tokens.path("pin"), "0000").unwrap();
    let wrong = open(tokens.uri("ca", "id=%01"));
    assert!(matches!(wrong, KeyError::Unavailable(_)), "{wrong:?}");
    assert!(!format!("{wrong:?} {wrong}").contains("0000"));
    fs::set_permissions(tokens.path("pin"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        open(tokens.uri("ca", "id=%01")),
        KeyError::Secret(SecretError::Permissions { mode: 0o644, .. })
    ));
    let missing = "pkcs11:token=ca;id=%01?module-path=/nonexistent.so".parse().unwrap();
    assert!(matches!(open(missing), KeyError::Unavailable(_)));
}

#[track_caller]
fn signs(key: &Pkcs11Key) {
    let signature = key.sign(b"message").unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_point());
    public.verify(b"message", &signature).unwrap();
}

/// A folder of tokens.
struct Tokens(PathBuf);

impl Tokens {
    /// `None` in the process that started the test: the test has then run in another one, and passed.
    fn new(test: &str) -> Option<Self> {
        if let Some(folder) = std::env::var_os("TOKENS") {
            return Some(Self(folder.into()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("tokens")).unwrap();
        fs::write(path("softhsm2.conf"), format!("directories.tokendir = {}\n", path("tokens").display()))
            .unwrap();
        fs::write(path("pin"), format!("{PIN}\n")).unwrap();
        fs::set_permissions(path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env("SOFTHSM2_CONF", path("softhsm2.conf"))
            .env("TOKENS", folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success() && told.contains("1 passed"),
            "{told}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new token with this key in it, under the label "issuing" and the identifier 1.
    fn token(&self, label: &str, key: &FileKey) {
        util(&["--init-token", "--free", "--label", label, "--so-pin", "0815", "--pin", PIN]);
        self.import(label, key, "issuing", "01");
    }

    fn import(&self, token: &str, key: &FileKey, name: &str, id: &str) {
        let path = self.path(&format!("{id}.key"));
        key.save(&path).unwrap();
        let file = path.to_str().unwrap();
        util(&["--import", file, "--token", token, "--label", name, "--id", id, "--pin", PIN]);
    }

    fn uri(&self, token: &str, key: &str) -> Pkcs11Uri {
        let (module, pin) = (module(), self.path("pin"));
        let text = format!(
            "pkcs11:token={token};{key}?module-path={}&pin-source=file:{}",
            module.display(),
            pin.display()
        );
        text.parse().unwrap()
    }
}

/// Runs SoftHSM's own tool.
fn util(arguments: &[&str]) {
    let done = Command::new("softhsm2-util").args(arguments).output();
    let done = done.expect("softhsm2-util; to have it: apt-get install softhsm2");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn module() -> PathBuf {
    let places =
        ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib/libsofthsm2.so"];
    let found = places.iter().map(Path::new).find(|path| path.exists());
    found.expect("SoftHSM's module; to have it: apt-get install softhsm2").to_owned()
}

#[derive(Clone, Debug)]
struct Intent {
    serial: Serial,
    device: DeviceId,
    point: [u8; 65],
    validity: Validity,
}

impl RecordedIntent for Intent {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn device(&self) -> &DeviceId {
        &self.device
    }

    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn validity(&self) -> Validity {
        self.validity
    }

    fn distribution_point(&self) -> ca::DistributionPoint {
        ca::DistributionPoint { issuer: 1, partition: 0 }
    }
}
