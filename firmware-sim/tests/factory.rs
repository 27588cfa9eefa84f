//! The factory's files: what is in them, who may read them, and what OpenSSL says about the certificates.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use firmware_sim::factory::{self, DeviceSettings, Evidence, FactoryError, Order};
use shared::UnixTime;
use shared::keytext::{KeyText, Scope};

const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

fn order(dir: &Path) -> Order {
    Order {
        evidence: Evidence::Idevid,
        group_key: None,
        dir: dir.to_owned(),
        count: 3,
        model: "sim-1".into(),
        maker: "Example Devices".into(),
        version: "1.2.0".into(),
        server: None,
    }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn a_lot_is_complete_and_its_keys_are_private() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    let mut counted = 0;
    let lot = factory::make(&order(&dir), NOW, |made| counted = made).unwrap();
    assert_eq!((lot.devices.len(), counted), (3, 3));

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join("maker/maker-ca.key")), 0o600);
    assert_eq!(mode(&dir.join("maker")), 0o700);
    let inventory = fs::read_to_string(dir.join(factory::INVENTORY)).unwrap();
    let mut lines = inventory.lines();
    assert_eq!(lines.next(), Some("device,model,idevid_sha256"));
    for id in &lot.devices {
        let device = factory::device_dir(&dir, id);
        for secret in ["idevid.key", "flash.img"] {
            assert_eq!(mode(&device.join(secret)), 0o600, "{secret}");
        }
        assert_eq!(mode(&device), 0o700);
        let settings = DeviceSettings::read(&device.join("device.toml")).unwrap();
        assert_eq!(settings.device, id.as_str());
        let line = lines.next().unwrap();
        assert!(line.starts_with(&format!("{id},sim-1,")), "{line}");
        assert_eq!(line.len(), id.as_str().len() + ",sim-1,".len() + 64);
    }
}

#[test]
fn openssl_accepts_the_idevid_chain_as_ieee_802_1ar_wants_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    let lot = factory::make(&order(&dir), NOW, |_| ()).unwrap();
    let ca = dir.join(factory::MAKER_CERTIFICATE);
    let id = lot.devices.first().unwrap();
    let device = factory::device_dir(&dir, id);
    let leaf = device.join("idevid.pem");
    let (ca, leaf) = (ca.to_str().unwrap(), leaf.to_str().unwrap());
    let at = NOW.as_secs().to_string();
    openssl(&["verify", "-x509_strict", "-attime", &at, "-CAfile", ca, leaf]);

    let text = openssl(&["x509", "-in", leaf, "-noout", "-text"]);
    assert!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
    assert!(text.contains(&format!("serialNumber = {id}")), "{text}");
    assert!(text.contains("O = Example Devices"), "{text}");
    assert!(text.contains("Digital Signature"), "{text}");

    // The inventory's hash is that of the key in the certificate, and the private key is its other half.
    let public = openssl(&["x509", "-in", leaf, "-noout", "-pubkey"]);
    let key = device.join("idevid.key");
    assert_eq!(openssl(&["pkey", "-in", key.to_str().unwrap(), "-pubout"]), public);
    let der = home.path().join("spki.der");
    let pem = home.path().join("spki.pem");
    fs::write(&pem, &public).unwrap();
    openssl(&[
        "pkey",
        "-pubin",
        "-in",
        pem.to_str().unwrap(),
        "-outform",
        "DER",
        "-out",
        der.to_str().unwrap(),
    ]);
    let hash = factory::spki_sha256(&fs::read(der).unwrap());
    let inventory = fs::read_to_string(dir.join(factory::INVENTORY)).unwrap();
    assert!(inventory.contains(&format!("{id},sim-1,{hash}")));
}

#[test]
fn a_lot_with_symmetric_keys_has_them_and_nothing_of_its_groups() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    let group = KeyText::new(Scope::Group, [1; 8], [2; 32]);
    let order = Order { evidence: Evidence::Symmetric, group_key: Some(group.clone()), ..order(&dir) };
    let lot = factory::make(&order, NOW, |_| ()).unwrap();
    let mut seen = Vec::new();
    for id in &lot.devices {
        let file = factory::device_dir(&dir, id).join("device.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let key = KeyText::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!((key.scope(), key.kid()), (Scope::Device, group.kid()));
        assert!(key.key() != group.key() && !seen.contains(key.key()), "each device has a key of its own");
        seen.push(*key.key());
    }
    let inventory = fs::read_to_string(dir.join(factory::INVENTORY)).unwrap();
    assert!(inventory.lines().skip(1).all(|line| line.ends_with(",sim-1,")), "{inventory}");
}

#[test]
fn nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    factory::make(&order(&dir), NOW, |_| ()).unwrap();
    let before = fs::read(dir.join("maker/maker-ca.key")).unwrap();
    assert!(matches!(factory::make(&order(&dir), NOW, |_| ()), Err(FactoryError::Exists(_))));
    assert_eq!(fs::read(dir.join("maker/maker-ca.key")).unwrap(), before);
    // Nothing is left of the attempt.
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn an_order_that_cannot_be_carried_out_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("lot");
    let make = |change: fn(&mut Order)| {
        let mut order = order(&dir);
        change(&mut order);
        factory::make(&order, NOW, |_| ()).unwrap_err().to_string()
    };
    // Of symmetric keys: not without the key of a group, not from that of a device, and not for others.
    let key = |scope| Some(KeyText::new(scope, [1; 8], [2; 32]));
    assert!(make(|o| o.evidence = Evidence::Symmetric).contains("enroll-server key create --group"));
    for (evidence, scope) in [(Evidence::Symmetric, Scope::Device), (Evidence::Claim, Scope::Group)] {
        let order = Order { evidence, group_key: key(scope), ..order(&dir) };
        assert!(matches!(factory::make(&order, NOW, |_| ()), Err(FactoryError::GroupKey)), "{evidence:?}");
    }
    assert!(make(|o| o.count = 0).contains("1 to 100000 devices, not 0"));
    assert!(make(|o| o.model = "a,b".into()).starts_with("model has 1 to 32"));
    assert!(make(|o| o.maker = String::new()).starts_with("maker has"));
    assert!(make(|o| o.version = "1.2".into()).contains("'1.2' is not MAJOR.MINOR.PATCH"));
    assert!(!dir.exists());
}
