//! Reference values from the maker to the device: imported at the command line while the server runs, versions that
//! take each other's place, and what must not come back.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::Encoder;
use minicbor::data::Tag;
use serde_json::Value;
use shared::Reject;

use crate::kit::device::{Device, Maker, Operational};
use crate::kit::{Site, assert_refused, issued, until};

const NEW: [u8; 32] = [0xbb; 32];

/// The program on the database of a server that runs.
fn on(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
    command.env_remove("RUST_LOG").env_remove("ENROLL_SERVER_CONFIG").stdin(Stdio::null());
    command.arg("--config").arg(site.folder.path().join("server/enroll-server.toml"));
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn json(site: &Site, arguments: &[&str]) -> Value {
    let output = on(site, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn fails(site: &Site, arguments: &[&str], code: i32, because: &str) {
    let output = on(site, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(because), "{told}");
}

fn file(site: &Site, name: &str, content: impl AsRef<[u8]>) -> String {
    let path: PathBuf = site.folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn written(write: impl FnOnce(&mut Encoder<&mut [u8]>)) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let mut encoder = Encoder::new(buffer.as_mut_slice());
    write(&mut encoder);
    let left = encoder.into_writer().len();
    buffer.truncate(2048 - left);
    buffer
}

/// A CoRIM with one CoMID: the application of `model`, version 1.3.0, with `digest`.
fn corim(tag_version: u64, model: &str, digest: &[u8; 32]) -> Vec<u8> {
    let comid = written(|e| {
        // tag-identity, then triples: one reference triple of a class and a measurement.
        e.map(2).unwrap().u8(1).unwrap().map(2).unwrap();
        e.u8(0).unwrap().str("sensor firmware").unwrap().u8(1).unwrap().u64(tag_version).unwrap();
        e.u8(4).unwrap().map(1).unwrap().u8(0).unwrap().array(1).unwrap().array(2).unwrap();
        e.map(1).unwrap().u8(0).unwrap().map(1).unwrap().u8(2).unwrap().str(model).unwrap();
        e.array(1).unwrap().map(2).unwrap().u8(0).unwrap().str("application").unwrap();
        e.u8(1).unwrap().map(2).unwrap();
        e.u8(0).unwrap().map(1).unwrap().u8(0).unwrap().str("1.3.0").unwrap();
        e.u8(2).unwrap().array(1).unwrap().array(2).unwrap().u8(1).unwrap().bytes(digest).unwrap();
    });
    written(|e| {
        e.tag(Tag::new(501)).unwrap().map(2).unwrap().u8(0).unwrap().str("release 1.3").unwrap();
        e.u8(1).unwrap().array(1).unwrap().tag(Tag::new(506)).unwrap().bytes(&comid).unwrap();
    })
}

/// The signed form (draft-ietf-rats-corim, section 4.2).
fn signed(key: &rcgen::KeyPair, payload: &[u8]) -> Vec<u8> {
    let meta = written(|e| {
        e.map(1).unwrap().u8(0).unwrap().map(1).unwrap().u8(0).unwrap().str("Example Maker").unwrap();
    });
    let protected = written(|e| {
        e.map(3).unwrap().u8(1).unwrap().i8(-7).unwrap().u8(3).unwrap().str("application/rim+cbor").unwrap();
        e.u8(8).unwrap().bytes(&meta).unwrap();
    });
    let message = written(|e| {
        e.array(4).unwrap().str("Signature1").unwrap().bytes(&protected).unwrap();
        e.bytes(&[]).unwrap().bytes(payload).unwrap();
    });
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
    written(|e| {
        e.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap();
        e.bytes(payload).unwrap().bytes(signature.as_ref()).unwrap();
    })
}

fn with_new_firmware(mut device: Device) -> Device {
    (device.digest, device.version) = (NEW, "1.3.0");
    device
}

/// A device of the site's maker that runs the new firmware.
async fn updated(site: &Site, id: &str) -> Device {
    with_new_firmware(site.device(id).await)
}

#[tokio::test]
async fn firmware_that_only_a_manifest_knows_enrolls_until_it_is_withdrawn() {
    assert_eq!(Reject::FirmwareUnknown.code(), 52);
    let site = Site::new().await;
    let (first, second) = (updated(&site, "SN-1").await, updated(&site, "SN-2").await);
    assert_refused(&site.try_enroll(&first).await.0, Reject::FirmwareUnknown);

    let key = rcgen::KeyPair::generate().unwrap();
    let public = file(&site, "release.pem", key.public_key_pem());
    let manifest = file(&site, "release.corim", signed(&key, &corim(1, "sensor-a", &NEW)));
    let import = ["reference", "import", manifest.as_str()];
    fails(&site, &import, 1, "no release key of any maker is registered");
    fails(&site, &["maker", "release-key", "Nobody", &public], 4, "there is no maker 'Nobody'");
    assert_eq!(json(&site, &["maker", "release-key", "Example Maker", &public])["maker"], "Example Maker");

    let planned = json(&site, &[import.as_slice(), &["--dry-run"]].concat());
    assert_eq!((&planned["dry_run"], &planned["sets"][0]["change"]), (&true.into(), &"added".into()));
    assert_refused(&site.try_enroll(&first).await.0, Reject::FirmwareUnknown);

    let imported = json(&site, &import);
    assert_eq!(imported["sets"][0], planned["sets"][0]);
    assert_eq!(
        (&imported["maker"], &imported["authority"]["kind"], &imported["manifest"]),
        (&"Example Maker".into(), &"release-key".into(), &"release 1.3".into())
    );
    // The server that runs judges by it at once.
    // What explains a request knows what the server that runs knows.
    let request = first.enroll(site.nonce(&first.id).await, &Operational::new().csr);
    let request = file(&site, "request.cbor", request);
    let explained = json(&site, &["policy", "explain", "--evidence", &request]);
    assert_eq!(
        (&explained["outcome"], &explained["rule"]),
        (&"accepted".into(), &Value::Null),
        "{explained}"
    );
    let (reply, _) = site.try_enroll(&first).await;
    let _certificate = issued(&reply.answer());
    // What was refused for want of the manifest would be accepted now, by the same policy.
    let policy = site.config.files.policy.to_str().unwrap();
    let replay = || on(&site, &["policy", "replay", "--since", "1h", "--policy", policy, "--json"]);
    // Refusals are written to the record in the background.
    until("a change by the policy's replay", async || replay().status.code() == Some(5)).await;
    let replay: Value = serde_json::from_slice(&replay().stdout).unwrap();
    let change = &replay["changes"][0];
    assert_eq!(
        (&change["before"]["rule"], &change["after"]["outcome"], &replay["now_refused"]),
        (&"measurements".into(), &"accepted".into(), &0.into()),
        "{replay}"
    );
    // The same digest on a device of another maker is not good, and neither is another model's.
    let stranger = Maker::new("Other Maker");
    site.admin().add_maker(&stranger.pem).await.unwrap();
    let theirs = with_new_firmware(stranger.device("SN-9"));
    site.admin().import_devices(&theirs.inventory()).await.unwrap();
    assert_refused(&site.try_enroll(&theirs).await.0, Reject::FirmwareUnknown);

    let withdrawn = json(&site, &["reference", "withdraw", "sensor firmware", "--reason", "a hole"]);
    assert_eq!((&withdrawn["withdrawn"], &withdrawn["version"]), (&"sensor firmware".into(), &1.into()));
    assert_refused(&site.try_enroll(&second).await.0, Reject::FirmwareUnknown);
    fails(&site, &["reference", "withdraw", "sensor firmware"], 4, "there is no set");

    // What was withdrawn does not come back by itself; a newer version does.
    fails(&site, &import, 1, "\"sensor firmware\" version 1 was withdrawn");
    let newer = file(&site, "newer.corim", signed(&key, &corim(2, "sensor-a", &NEW)));
    assert_eq!(json(&site, &["reference", "import", &newer])["sets"][0]["change"], "added");
    let (reply, _) = site.try_enroll(&second).await;
    let _certificate = issued(&reply.answer());
    let found = json(&site, &["reference", "find", "--digest", &hex::encode(NEW)]);
    let states: Vec<_> = found.as_array().unwrap().iter().map(|row| row["set"]["state"].clone()).collect();
    assert_eq!(states, ["withdrawn", "active"]);

    let events = json(&site, &["event", "list", "--count", "50"]);
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    for kind in ["release-key-added", "reference-values-imported", "reference-values-withdrawn"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn values_for_another_model_are_not_good() {
    let site = Site::new().await;
    let device = updated(&site, "SN-1").await;
    let other = file(&site, "other.corim", corim(0, "sensor-b", &NEW));
    let unsigned = ["reference", "import", other.as_str(), "--maker", "Example Maker"];
    fails(&site, &unsigned, 1, "the file is not signed");
    let imported = json(&site, &[unsigned.as_slice(), &["--unsigned"]].concat());
    assert_eq!(imported["authority"]["kind"], "operator");
    assert_refused(&site.try_enroll(&device).await.0, Reject::FirmwareUnknown);
}

/// A release list whose content differs by `n`.
fn list(n: u8, about: &str) -> String {
    format!("{about}component,version,digest\napplication,1.{n}.0,{}\n", hex::encode([n; 32]))
}

struct Lists<'s> {
    site: &'s Site,
}

impl Lists<'_> {
    fn import(&self, content: &str, more: &[&str]) -> Result<(String, Value), String> {
        let path = file(self.site, "sensor-a.csv", content);
        let fixed = ["reference", "import", &path, "--unsigned", "--maker", "Example Maker", "--json"];
        let output = on(self.site, &[fixed.as_slice(), more].concat());
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let set = &report["sets"][0];
        Ok((format!("{} {} {}", set["name"], set["version"], set["change"]).replace('"', ""), report))
    }

    #[track_caller]
    fn becomes(&self, content: &str, more: &[&str], wanted: &str) {
        assert_eq!(self.import(content, more).map(|(set, _)| set), Ok(wanted.into()));
    }

    #[track_caller]
    fn refused(&self, content: &str, more: &[&str], because: &str) {
        let told = self.import(content, more).unwrap_err();
        assert!(told.contains(because), "{told}");
    }
}

#[tokio::test]
async fn versions_take_each_others_place_and_old_ones_do_not_come_back() {
    let site = Site::new().await;
    let lists = Lists { site: &site };
    // A list that says no number gets the next one, and is known again by its content.
    lists.becomes(&list(1, ""), &[], "sensor-a 1 added");
    lists.becomes(&list(1, ""), &[], "sensor-a 1 unchanged");
    lists.becomes(&list(2, ""), &[], "sensor-a 2 superseded");
    lists.refused(&list(1, ""), &[], "\"sensor-a\" version 1 is older than version 2");
    // With a number of its own.
    lists.becomes(&list(7, "# release: 7\n"), &[], "sensor-a 7 superseded");
    lists.refused(&list(6, "# release: 6\n"), &[], "version 6 is older than version 7");
    lists.refused(&list(8, "# release: 7\n"), &[], "version 7 was imported before with another content");
    lists.refused(
        &list(8, "# release: 8\n"),
        &["--release", "9"],
        "the list says release 8; --release says 9",
    );
    lists.refused(&list(8, "# name: x\n"), &["--set", "y"], "the list is named \"x\"; --set says \"y\"");
    lists.becomes(&list(6, "# release: 6\n"), &["--force"], "sensor-a 6 superseded");
    lists.becomes(&list(7, "# release: 7\n"), &[], "sensor-a 7 superseded");
    lists.becomes(&list(1, "# name: other\n"), &["--release", "3"], "other 3 added");

    let all = json(&site, &["reference", "list", "--all"]);
    let rows: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["name"], row["version"], row["state"]).replace('"', ""))
        .collect();
    assert_eq!(
        rows,
        [
            "other 3 active",
            "sensor-a 7 active",
            "sensor-a 7 superseded",
            "sensor-a 6 superseded",
            "sensor-a 2 superseded",
            "sensor-a 1 superseded",
        ]
    );
    let shown = json(&site, &["reference", "show", "sensor-a"]);
    assert_eq!((&shown["version"], &shown["known_good"][0]["version"]), (&7.into(), &"1.7.0".into()));
    assert_eq!(json(&site, &["reference", "list"]).as_array().unwrap().len(), 2);
    fails(&site, &["reference", "show", "nothing"], 4, "there is no set of reference values 'nothing'");
}

#[tokio::test]
async fn a_dry_run_and_a_refusal_change_nothing() {
    let site = Site::new().await;
    let lists = Lists { site: &site };
    lists.becomes(&list(1, ""), &["--dry-run"], "sensor-a 1 added");
    assert_eq!(json(&site, &["reference", "list", "--all"]), Value::Array(vec![]));
    lists.refused("component,digest\na,00\nb\n", &[], "line 2, column 3: found 2 characters");
    lists.refused("component,digest\na,00\nb\n", &[], "line 3, column 1: found 1 fields; wanted 2");
    assert_eq!(json(&site, &["reference", "list", "--all"]), Value::Array(vec![]));
    let corim = file(&site, "a.corim", corim(0, "m", &NEW));
    let named = ["reference", "import", &corim, "--unsigned", "--maker", "Example Maker", "--set", "x"];
    fails(&site, &named, 1, "a CoRIM names and numbers its sets itself");
    fails(&site, &["reference", "find", "--digest", "00"], 1, "64, 96 or 128 hexadecimal digits");
    fails(&site, &["reference", "import", "/nowhere", "--unsigned"], 1, "cannot be read");
}

#[tokio::test]
async fn a_list_is_signed_with_openssl() {
    let site = Site::new().await;
    let folder: &Path = site.folder.path();
    let openssl = |arguments: &str| {
        let done = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
        let done =
            done.unwrap_or_else(|error| panic!("openssl: {error}; install it: apt-get install openssl"));
        assert!(done.status.success(), "{done:?}");
    };
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    openssl("pkey -in key.pem -pubout -out key.pub.pem");
    let path = file(&site, "sensor-a.csv", list(1, "# release: 1\n"));
    openssl("dgst -sha256 -sign key.pem -out sensor-a.csv.sig sensor-a.csv");
    let of = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (public, signature) = (of("key.pub.pem"), of("sensor-a.csv.sig"));
    let key = json(&site, &["maker", "release-key", "Example Maker", &public])["sha256"].clone();
    let import = ["reference", "import", path.as_str(), "--signature", signature.as_str()];
    let report = json(&site, &import);
    assert_eq!((&report["authority"]["sha256"], &report["maker"]), (&key, &"Example Maker".into()));

    // Another's key, a changed file, a removed key.
    file(&site, "sensor-a.csv", list(2, "# release: 2\n"));
    fails(&site, &import, 1, "made by none of the 1 release keys that fit");
    openssl("dgst -sha256 -sign key.pem -out sensor-a.csv.sig sensor-a.csv");
    let key = key.as_str().unwrap().to_owned();
    assert_eq!(json(&site, &["maker", "release-keys"])[0]["sha256"], key.as_str());
    assert_eq!(json(&site, &["maker", "remove-release-key", &key])["removed"], key.as_str());
    fails(&site, &import, 1, "no release key of any maker is registered");
    fails(&site, &["maker", "remove-release-key", &key], 4, "there is no release key");
    // It counts again where it is added again, and never for another maker.
    site.admin().add_maker(&Maker::new("Other Maker").pem).await.unwrap();
    fails(
        &site,
        &["maker", "release-key", "Other Maker", &public],
        1,
        "registered for maker \"Example Maker\"",
    );
    json(&site, &["maker", "release-key", "Example Maker", &public]);
    assert_eq!(json(&site, &import)["sets"][0]["change"], "superseded");
}

#[tokio::test]
async fn sets_of_one_name_are_told_apart_by_their_maker() {
    let site = Site::new().await;
    site.admin().add_maker(&Maker::new("Other Maker").pem).await.unwrap();
    let path = file(&site, "sensor-a.csv", list(1, ""));
    for maker in ["Example Maker", "Other Maker"] {
        json(&site, &["reference", "import", &path, "--unsigned", "--maker", maker]);
    }
    fails(&site, &["reference", "withdraw", "sensor-a"], 1, "say which with --maker");
    let withdrawn = json(&site, &["reference", "withdraw", "sensor-a", "--maker", "Other Maker"]);
    assert_eq!(withdrawn["maker"], "Other Maker");
    assert_eq!(json(&site, &["reference", "list"])[0]["maker"], "Example Maker");
}
