//! Makers' revocation lists, made by OpenSSL, taken in beside a running server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use shared::Reject;
use x509_parser::prelude::FromDer as _;

use crate::kit::device::{Device, Maker};
use crate::kit::{Site, assert_refused, identity};

/// A maker's CA as OpenSSL runs one: a folder with certificate, key, and the index of what was revoked.
struct OpensslCa(PathBuf);

impl OpensslCa {
    fn new(folder: &Path, maker: &Maker) -> Self {
        std::fs::create_dir(folder).unwrap();
        let config = "[ca]\ndefault_ca = maker\n[maker]\ndatabase = index.txt\ncrlnumber = number.txt\n\
                      default_md = sha256\ncrl_extensions = extensions\n\
                      [extensions]\nauthorityKeyIdentifier = keyid:always\n";
        for (name, text) in [
            ("ca.pem", maker.pem.as_str()),
            ("ca.key", &maker.key_pem()),
            ("ca.conf", config),
            ("index.txt", ""),
            ("index.txt.attr", "unique_subject = no\n"),
            ("number.txt", "01\n"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder.to_owned())
    }

    /// The next list; it revokes these devices too.
    fn list(&self, name: &str, devices: &[&Device]) -> PathBuf {
        let path = self.0.join("index.txt");
        let mut index = std::fs::read_to_string(&path).unwrap();
        for device in devices {
            let (_, certificate) =
                x509_parser::certificate::X509Certificate::from_der(&device.idevid).unwrap();
            let serial = hex::encode_upper(certificate.raw_serial());
            index.push_str(&format!(
                "R\t491231235959Z\t261001000000Z,keyCompromise\t{serial}\tunknown\t/CN=x\n"
            ));
        }
        std::fs::write(path, index).unwrap();
        let output = Command::new("openssl")
            .args(["ca", "-gencrl", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key"])
            .args(["-crlhours", "2", "-out", name])
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("openssl is needed ({error}): apt-get install openssl"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.0.join(name)
    }
}

fn maker_command(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-server"));
    command.arg("--config").arg(site.folder.path().join("server/enroll-server.toml")).arg("maker");
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

fn take_in(site: &Site, list: &Path) -> Output {
    maker_command(site, &["crl", "Example Maker", list.to_str().unwrap(), "--json"])
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_running_server_goes_by_the_newest_list() {
    let mut site = Site::new().await;
    let (good, bad) = (site.device("SN-1").await, site.device("SN-2").await);
    let openssl = OpensslCa::new(&site.folder.path().join("maker"), &site.maker);
    let (empty, second) = (openssl.list("1.pem", &[]), openssl.list("2.pem", &[&bad]));
    assert_eq!(json(&take_in(&site, &empty))["revoked"], 0);
    let (reply, key) = site.try_enroll(&bad).await;
    identity(&reply, &key);

    let taken = take_in(&site, &second);
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!((&json(&taken)["number"], &json(&taken)["revoked"]), (&"2".into(), &1.into()));
    assert_refused(&site.try_enroll(&bad).await.0, Reject::EndorsementRevoked);
    let (reply, key) = site.try_enroll(&good).await;
    identity(&reply, &key);

    // The number does not go back, and the same list again changes nothing.
    let older = take_in(&site, &empty);
    assert_eq!(older.status.code(), Some(1));
    let text = String::from_utf8(older.stderr).unwrap();
    assert!(text.contains("list 1 is older than the one that is held, 2"), "{text}");
    assert!(take_in(&site, &second).status.success());
    site.start().await;
    assert_refused(&site.try_enroll(&bad).await.0, Reject::EndorsementRevoked);
    let lists = json(&maker_command(&site, &["crls", "--json"]));
    assert_eq!((&lists[0]["maker"], &lists[0]["current"]), (&"Example Maker".into(), &true.into()));
    let kinds: Vec<_> = site.admin().events(20).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "maker-crl").count(), 2, "{kinds:?}");
}

#[tokio::test]
async fn where_the_policy_wants_a_list_a_stale_one_refuses_for_the_moment() {
    let site = Site::with(|config| {
        let policy = std::fs::read_to_string(&config.files.policy).unwrap();
        std::fs::write(&config.files.policy, format!("{policy}\n[evidence]\ncrl = \"require\"\n")).unwrap();
    })
    .await;
    let device = site.device("SN-1").await;
    assert_refused(&site.try_enroll(&device).await.0, Reject::RevocationUnknown);
    let openssl = OpensslCa::new(&site.folder.path().join("maker"), &site.maker);
    let list = openssl.list("1.pem", &[]);
    assert!(take_in(&site, &list).status.success());
    // The site's clock stands where the site began; openssl's list begins when it was made, perhaps seconds later.
    site.later(core::time::Duration::from_secs(60));
    site.enroll(&device).await;
    site.later(core::time::Duration::from_secs(3 * 3600));
    assert_refused(&site.try_enroll(&device).await.0, Reject::RevocationUnknown);
}

#[tokio::test]
async fn what_is_no_list_of_the_maker_is_not_taken_in() {
    let site = Site::new().await;
    let folder = site.folder.path();
    let stranger = OpensslCa::new(&folder.join("stranger"), &Maker::new("Example Maker"));
    let other = OpensslCa::new(&folder.join("other"), &Maker::new("Other"));
    let (of_stranger, of_other) = (stranger.list("1.pem", &[]), other.list("1.pem", &[]));
    let certificate = folder.join("stranger/ca.pem");
    for (list, wanted) in [
        (&of_stranger, "does not verify under its issuer's key"),
        (&of_other, "issued by none of the maker's CAs"),
        (&certificate, "does not hold one revocation list"),
    ] {
        let output = take_in(&site, list);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(wanted), "{text}");
    }
    let unknown = maker_command(&site, &["crl", "Nobody", of_other.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(4));
}
