//! Kills the process at every named place of an issuance and looks at what is left: a certificate that was
//! signed is always in the store, and the device gets exactly one.
//!
//! The page cache survives a kill, so this shows the order of the steps, not that they were synced.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ca::Serial;
use shared::message::latest::EnrollRequest;

use super::tests::new_server;
use super::{Issuance, Outcome};
use crate::admin::Admin;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failpoint::{Failpoint, Hook, Plant};
use crate::kit::{Maker, Operational};
use crate::startup;
use crate::store::CertificateState;

const FOLDER: &str = "CRASH_TEST_FOLDER";
const PLACE: &str = "CRASH_TEST_PLACE";
const PLANTED: &str = "CRASH_TEST_PLANTED";
const PLACES: [&str; 4] = ["appraised", "recorded", "signed", "completed"];

#[test]
fn no_certificate_is_orphaned_wherever_the_process_dies() {
    for place in PLACES {
        let found = crash_and_recover(place, false);
        assert_eq!(found, Ok(()), "killed at {place}");
    }
}

/// The planted bug: were a certificate signed before its record is durable, the test above would be red.
#[test]
fn signing_before_the_record_is_durable_is_found() {
    let found = crash_and_recover("signed", true);
    assert!(found.is_err(), "the planted bug was not found");
}

fn name(place: Failpoint) -> &'static str {
    match place {
        Failpoint::Appraised => "appraised",
        Failpoint::Recorded(_) => "recorded",
        Failpoint::Signed(_) => "signed",
        Failpoint::Completed(_) => "completed",
        Failpoint::LogTiles(_) | Failpoint::LogSigned(_) | Failpoint::LogPublished(_) => "log",
    }
}

fn crash_and_recover(place: &str, planted: bool) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    new_server(folder.path(), "");
    crash(folder.path(), place, planted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(look(folder.path()))
}

fn crash(folder: &Path, place: &str, planted: bool) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "issuance::crash_tests::child", "--ignored", "--nocapture"]);
    child.env(FOLDER, folder).env(PLACE, place).env(PLANTED, planted.to_string());
    let ended = child.output().unwrap();
    assert_eq!(ended.status.signal(), Some(6), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A profile that changed while the server was down changes nothing about what was recorded before.
#[test]
fn what_was_recorded_is_signed_whatever_the_profile_says_by_then() {
    let folder = tempfile::tempdir().unwrap();
    new_server(folder.path(), "");
    let profile = folder.path().join("server/profile.toml");
    std::fs::write(&profile, "[subject]\norganizational_unit = \"before {group}\"\n").unwrap();
    crash(folder.path(), "recorded", false);
    std::fs::write(&profile, "[subject]\norganizational_unit = \"after {group}\"\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (issuance, admin) = open(folder.path(), Hook::default()).await;
        assert_eq!(issuance.recover().await.unwrap().finished, 1);
        let certificates = admin.certificates(None).await.unwrap();
        let der = certificates[0].der.clone().unwrap();
        let has = |text: &str| der.windows(text.len()).any(|found| found == text.as_bytes());
        assert!(has("before default") && !has("after default"));
        look(folder.path()).await.unwrap();
    });
}

/// Starts again and looks at what the killed process left.
async fn look(folder: &Path) -> Result<(), String> {
    let (issuance, admin) = open(folder, Hook::default()).await;
    issuance.recover().await.unwrap();
    assert!(issuance.store().open_intents().await.unwrap().is_empty(), "an intent is still open");

    let witnessed = std::fs::read_to_string(folder.join("signed")).unwrap_or_default();
    for serial in witnessed.lines() {
        let serial: Serial = serial.parse().unwrap();
        if issuance.store().certificate(serial).await.unwrap().is_none() {
            return Err(format!("{serial} was signed and is not in the store"));
        }
    }
    // The device never got its answer: it sends the same request again, and once more.
    let body = std::fs::read(folder.join("request")).unwrap();
    let request = EnrollRequest::decode(&body).unwrap();
    let first = issuance.enroll(&request).await.unwrap();
    assert!(matches!(first, Outcome::Granted(_)));
    assert_eq!(issuance.enroll(&request).await.unwrap(), first);
    let certificates = admin.certificates(None).await.unwrap();
    let issued = certificates.iter().filter(|found| found.state == CertificateState::Issued).count();
    if issued != 1 || certificates.len() != 1 {
        return Err(format!("{issued} of {} certificates issued for one request", certificates.len()));
    }
    Ok(())
}

async fn open(folder: &Path, hook: Hook) -> (Issuance, Admin) {
    let config = Config::load(&folder.join("server/enroll-server.toml")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuance = startup::open(&config, &clock, hook).await.unwrap().issuance;
    let admin = Admin::new(Arc::clone(issuance.store()), clock);
    (issuance, admin)
}

/// The process that is killed. A witness of its own notes every signature before anything else can happen.
#[test]
#[ignore = "run by crash_and_recover, in a process of its own"]
fn child() {
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let wanted = std::env::var(PLACE).unwrap();
    let witness = folder.join("signed");
    let mut hook = Hook::new(move |place| {
        if let Failpoint::Signed(serial) = place {
            let mut file = OpenOptions::new().create(true).append(true).open(&witness).unwrap();
            writeln!(file, "{serial}").unwrap();
            file.sync_all().unwrap();
        }
        if name(place) == wanted {
            std::process::abort();
        }
    });
    if std::env::var(PLANTED).unwrap() == "true" {
        hook = hook.with_plant(Plant::SignsBeforeRecording);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (issuance, admin) = open(&folder, hook).await;
        let maker = Maker::new("Example Maker");
        admin.add_maker(&maker.pem).await.unwrap();
        let device = maker.device("SN-1");
        admin.import_devices(&device.inventory()).await.unwrap();
        let lifetime = core::time::Duration::from_secs(300);
        let made = issuance.parts.nonces.make(&device.id, issuance.now(), lifetime);
        let body = device.enroll(made.unwrap().0, &Operational::new().csr);
        std::fs::write(folder.join("request"), &body).unwrap();
        let outcome = issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await;
        panic!("not killed: {outcome:?}");
    });
}
