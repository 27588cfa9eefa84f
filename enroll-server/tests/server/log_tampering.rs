//! Whoever changes the database or the log behind the server's back is found out, by name.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::cli::on;
use crate::kit::client::http;
use crate::kit::{Site, until};

/// A stopped server with a log, in a folder from which copies are made.
struct Quiet {
    site: Site,
    /// Serial numbers: in force, revoked.
    issued: String,
    revoked: String,
    /// Number of an administrator's event.
    event: i64,
}

impl Quiet {
    async fn new() -> Self {
        let mut site = Site::new().await;
        for id in ["SN-1", "SN-2"] {
            let device = site.device(id).await;
            site.enroll(&device).await;
        }
        let (one, two) = ("SN-1".parse().unwrap(), "SN-2".parse().unwrap());
        site.other_admin().revoke(&two, ca::crl::Reason::KeyCompromise).await.unwrap();
        let serial = async |id| site.admin().certificates(Some(id)).await.unwrap()[0].serial.to_string();
        let (issued, revoked) = (serial(&one).await, serial(&two).await);
        site.logged().await;
        site.stop().await;
        let database = Connection::open(&site.config.files.store).unwrap();
        let event = database
            .query_row("SELECT number FROM events WHERE kind = 'revoked'", [], |row| row.get(0))
            .unwrap();
        Self { site, issued, revoked, event }
    }

    /// A copy of everything, to do harm to. The counted leaves of the stop wait in the table: nothing of them is lost.
    fn copy(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let from = self.site.folder.path().join("server");
        let status = std::process::Command::new("cp").arg("-a").arg(from).arg(folder.path()).status();
        assert!(status.unwrap().success());
        folder
    }
}

fn sql(folder: &Path, text: &str) {
    let database = Connection::open(folder.join("server/store.sqlite")).unwrap();
    // Who tampers is not held up by triggers and constraints.
    let guards = "DROP TRIGGER IF EXISTS events_are_not_changed; DROP TRIGGER IF EXISTS events_are_not_deleted; \
                  PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0;";
    database.execute_batch(&format!("{guards} {text}")).unwrap();
}

/// What the audit finds: names and subjects.
fn findings(folder: &Path, arguments: &[&str]) -> Vec<(String, String)> {
    let arguments = [["audit", "verify", "--json"].as_slice(), arguments].concat();
    let output = on(folder, &arguments);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let good = report["good"].as_bool().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(output.status.code(), Some(if good { 0 } else { 6 }), "{report}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = report["findings"].as_array().unwrap();
    found.iter().map(|one| (text(&one["finding"]), text(&one["subject"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_row_is_found_and_named() {
    let quiet = Box::pin(Quiet::new()).await;
    assert_eq!(findings(quiet.copy().path(), &[]), []);
    let (issued, revoked, event) = (&quiet.issued, &quiet.revoked, quiet.event);
    let forged = "7f".repeat(16);
    let named_event = format!("event {event}");
    let other_maker = "7f".repeat(32);
    let row = |serial: &str| format!("WHERE serial = x'{serial}'");
    let forge = format!(
        "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, recorded, der) \
         SELECT x'{forged}', device, state, point, randomblob(32), randomblob(32), not_before, not_after, recorded, der \
         FROM certificates {}",
        row(issued)
    );
    let cases: Vec<(&str, String, &str, &str)> = vec![
        (
            "der",
            format!("UPDATE certificates SET der = x'3000' {}", row(issued)),
            "certificate-differs",
            issued,
        ),
        (
            "device",
            format!("UPDATE certificates SET device = 'SN-2' {}", row(issued)),
            "column-differs",
            issued,
        ),
        (
            "life",
            format!("UPDATE certificates SET not_after = not_after + 1 {}", row(issued)),
            "column-differs",
            issued,
        ),
        (
            "key",
            format!("UPDATE certificates SET key_sha256 = randomblob(32) {}", row(issued)),
            "column-differs",
            issued,
        ),
        ("issuer", format!("UPDATE certificates SET issuer = 9 {}", row(issued)), "column-differs", issued),
        (
            "voided",
            format!("UPDATE certificates SET state = 'voided', der = NULL {}", row(issued)),
            "certificate-missing",
            issued,
        ),
        (
            "un-revoked",
            format!(
                "UPDATE certificates SET state = 'issued', revoked = NULL, reason = NULL {}",
                row(revoked)
            ),
            "revocation-missing",
            revoked,
        ),
        (
            "revoked behind the log",
            format!(
                "UPDATE certificates SET state = 'revoked', revoked = 1, reason = 'unspecified' {}",
                row(issued)
            ),
            "revocation-not-logged",
            issued,
        ),
        (
            "revoked at another time",
            format!("UPDATE certificates SET revoked = revoked - 3600 {}", row(revoked)),
            "revocation-differs",
            revoked,
        ),
        (
            "revoked for another reason",
            format!("UPDATE certificates SET reason = 'superseded' {}", row(revoked)),
            "revocation-differs",
            revoked,
        ),
        ("deleted", format!("DELETE FROM certificates {}", row(issued)), "certificate-missing", issued),
        ("forged", forge, "certificate-not-logged", &forged),
        (
            "event changed",
            format!("UPDATE events SET actor = 'operator:other(0)@host' WHERE number = {event}"),
            "event-differs",
            &named_event,
        ),
        (
            "event's origin changed",
            format!("UPDATE events SET source = '192.0.2.1:1' WHERE number = {event}"),
            "event-differs",
            &named_event,
        ),
        (
            "event deleted",
            format!("DELETE FROM events WHERE number = {event}"),
            "event-missing",
            &named_event,
        ),
        (
            "event made up",
            "INSERT INTO events (number, at, kind, severity, actor, detail) \
             VALUES (9999, 1, 'approved', 'notice', 'system', '')"
                .to_owned(),
            "event-not-logged",
            "event 9999",
        ),
        (
            "put back into service",
            "UPDATE devices SET state = 'registered' WHERE device = 'SN-2'".to_owned(),
            "device-state-differs",
            "SN-2",
        ),
        ("forgotten", "DELETE FROM devices WHERE device = 'SN-2'".to_owned(), "device-state-differs", "SN-2"),
        (
            "on another list",
            format!("UPDATE certificates SET crl_partition = 7 {}", row(revoked)),
            "column-differs",
            revoked,
        ),
        (
            "maker let in",
            format!(
                "INSERT INTO makers (sha256, name, der, added) VALUES (x'{}', 'Other', x'3000', 1)",
                "7f".repeat(32)
            ),
            "trust-not-logged",
            &other_maker,
        ),
        (
            "release key let in",
            format!(
                "INSERT INTO release_keys (sha256, maker, spki, added) VALUES (x'{}', 'Other', x'3000', 1)",
                "7f".repeat(32)
            ),
            "trust-not-logged",
            &other_maker,
        ),
        (
            "token let in",
            format!(
                "INSERT INTO tokens (sha256, id, created, expires) VALUES (x'{}', '7f7f7f7f7f7f', 1, 4000000000)",
                "7f".repeat(32)
            ),
            "grant-not-logged",
            "7f7f7f7f7f7f",
        ),
        (
            "leaves swapped",
            "UPDATE log_leaves SET serial = x'00' WHERE kind = 'issued'".to_owned(),
            "order-differs",
            "",
        ),
    ];
    for (name, text, kind, subject) in cases {
        let folder = quiet.copy();
        sql(folder.path(), &text);
        let found = findings(folder.path(), &[]);
        let expected = |one: &(String, String)| one.0 == kind && (subject.is_empty() || one.1 == subject);
        assert!(found.iter().any(expected), "{name}: {found:?}");
        // Nothing but what was touched is named: the row, or for a forged or moved one what it was copied from.
        let touched = [issued.as_str(), revoked, &forged, subject];
        assert!(
            subject.is_empty() || found.iter().all(|one| touched.contains(&one.1.as_str())),
            "{name}: {found:?}"
        );
        assert!(
            name == "forged" || subject.is_empty() || found.iter().all(|one| one.1 == subject),
            "{name}: {found:?}"
        );
    }
}

/// The one file below `folder` whose path begins so.
fn file(folder: &Path, begin: &str) -> PathBuf {
    let parent = folder.join("server/log").join(begin);
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    entries.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_the_log_is_found_and_named() {
    let mut quiet = Box::pin(Quiet::new()).await;
    let early = quiet.copy();
    let kept = quiet.site.folder.path().join("kept.checkpoint");
    std::fs::copy(early.path().join("server/log/checkpoint"), &kept).unwrap();
    let kept = kept.to_str().unwrap();
    quiet.site.start().await;
    let device = quiet.site.device("SN-3").await;
    quiet.site.enroll(&device).await;
    let size = quiet.site.logged().await;
    quiet.site.stop().await;
    let bend = |path: PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    assert_eq!(findings(quiet.copy().path(), &["--from", kept]), []);

    let folder = quiet.copy();
    bend(file(folder.path(), "tile/0/000.p"));
    let found = findings(folder.path(), &[]);
    assert!(
        found.iter().any(|one| one.0 == "tile-differs" && one.1.starts_with("tile/0/000.p/")),
        "{found:?}"
    );

    let folder = quiet.copy();
    bend(file(folder.path(), "tile/entries/000.p"));
    let found = findings(folder.path(), &[]);
    assert!(found.iter().any(|one| one.0 == "root-differs"), "{found:?}");

    let folder = quiet.copy();
    std::fs::remove_file(file(folder.path(), "tile/entries/000.p")).unwrap();
    let found = findings(folder.path(), &[]);
    assert!(found.iter().any(|one| one.0 == "tile-missing"), "{found:?}");

    // Cut short: an older checkpoint, which the log itself bears out.
    let folder = quiet.copy();
    std::fs::copy(kept, folder.path().join("server/log/checkpoint")).unwrap();
    let found = findings(folder.path(), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "log-shorter");

    // A checkpoint of another key.
    let folder = quiet.copy();
    let note = std::fs::read_to_string(folder.path().join("server/log/checkpoint")).unwrap();
    let bent = note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size - 1), 1);
    std::fs::write(folder.path().join("server/log/checkpoint"), bent).unwrap();
    assert_eq!(findings(folder.path(), &[]), [("checkpoint".to_owned(), "checkpoint".to_owned())]);

    // Database and log from before, together: only the checkpoint that an auditor kept tells.
    let late = quiet.copy();
    let later = late.path().join("server/log/checkpoint");
    let found = findings(early.path(), &["--from", later.to_str().unwrap()]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "not-consistent");
    assert_eq!(findings(early.path(), &[]), []);

    // The database from before, with the log as it is.
    for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        let _gone = std::fs::remove_file(late.path().join("server").join(name)).is_ok();
    }
    std::fs::copy(early.path().join("server/store.sqlite"), late.path().join("server/store.sqlite")).unwrap();
    let found = findings(late.path(), &[]);
    assert!(found.iter().any(|one| one.0 == "database-older"), "{found:?}");
    assert!(found.iter().any(|one| one.0 == "certificate-missing"), "{found:?}");
}

/// A server that is started on a database from a backup signs no checkpoint, says so, and goes on enrolling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_a_backup_stops_the_log_and_the_newer_one_can_be_put_back() {
    let mut quiet = Box::pin(Quiet::new()).await;
    let backup = quiet.copy();
    let store = quiet.site.config.files.store.clone();
    quiet.site.start().await;
    let device = quiet.site.device("SN-3").await;
    quiet.site.enroll(&device).await;
    quiet.site.logged().await;
    quiet.site.stop().await;
    let newer = std::fs::read(&store).unwrap();
    let checkpoint = std::fs::read(quiet.site.config.transparency.folder.join("checkpoint")).unwrap();
    std::fs::copy(backup.path().join("server/store.sqlite"), &store).unwrap();
    quiet.site.start().await;
    let ready = http(quiet.site.http(), "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("signing: nothing is signed until an operator"), "{}", ready.text());
    let _another = quiet.site.device("SN-4").await;
    let events = quiet.site.admin().events(100).await.unwrap();
    let restored: Vec<_> = events.iter().filter(|event| event.kind == "database-restored").collect();
    assert_eq!(restored.len(), 1);
    assert_eq!(restored[0].severity, "critical");
    assert!(restored[0].detail.contains("older than what was published"), "{}", restored[0].detail);
    quiet.site.stop().await;
    // However far the old database has grown meanwhile.
    quiet.site.start().await;
    assert_eq!(http(quiet.site.http(), "/readyz").await.status, 503);
    assert_eq!(std::fs::read(quiet.site.config.transparency.folder.join("checkpoint")).unwrap(), checkpoint);
    quiet.site.stop().await;
    // The newer database is put back.
    std::fs::write(&store, newer).unwrap();
    quiet.site.start().await;
    // It does not know the numbers of the lists that were made meanwhile: that, too, is for an operator to decide.
    assert_eq!(http(quiet.site.http(), "/readyz").await.status, 503);
    quiet.site.admin().accept_restored("the newer database was put back".to_owned()).await.unwrap();
    quiet.site.logged().await;
    until("the server is ready", async || http(quiet.site.http(), "/readyz").await.status == 200).await;
    quiet.site.stop().await;
    assert_eq!(findings(quiet.site.folder.path(), &[]), []);
}
