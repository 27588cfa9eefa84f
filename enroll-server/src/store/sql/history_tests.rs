//! What a request costs the database: a device's next one does not become slower with each that it made before, and none looks
//! into lists.

use super::actions::{GRANT, PUT, STANDING};
use super::complete::{ASKED, OTHERS};
use super::facts::ELSEWHERE;
use super::issue::REPLACED;
use super::quota::taken_text;
use super::read::{ISSUED, newest_of_device};
use super::revoke::IN_FORCE;
use crate::store::Place;

/// Whatever is asked about a device's certificates is answered by those in the state that is asked about, or by the one row of
/// a serial number.
#[test]
fn no_request_goes_through_all_certificates_of_its_device() {
    let place = Place::sqlite();
    let newest = newest_of_device();
    for sql in [STANDING, ASKED, OTHERS, ELSEWHERE, REPLACED, IN_FORCE, ISSUED, &newest] {
        let steps = place.plan(sql);
        let of_device: Vec<_> = steps.iter().filter(|step| step.contains("certificates_by_device")).collect();
        assert!(!of_device.is_empty(), "{steps:?}");
        for step in of_device {
            assert!(step.contains("INDEX certificates_by_device (device=? AND state=?)"), "{steps:?}");
        }
    }
}

/// A quota is counted by those that have a place and those that are about to: not by all devices of the group.
#[test]
fn a_quota_does_not_go_through_all_devices_of_its_group() {
    let steps = Place::sqlite().plan(&taken_text());
    let of = |index: &str| steps.iter().filter(|step| step.contains(index)).count();
    assert_eq!((of("INDEX devices_by_group_enrolled"), of("INDEX certificates_open")), (1, 1), "{steps:?}");
    assert!(!steps.iter().any(|step| step.contains("devices_by_group ")), "{steps:?}");
}

/// SQLite fills a table with a list of three or more in each statement that has to look into it, which took a tenth of an
/// enrollment.
#[test]
fn no_request_looks_into_a_list() {
    let place = Place::sqlite();
    for sql in [STANDING, ASKED, ELSEWHERE, ISSUED] {
        assert_eq!(place.tables_made(sql), 0, "{sql}");
    }
    // That of the trigger, for devices that are suspended or come back.
    assert_eq!((place.tables_made(PUT), place.tables_made(GRANT)), (1, 1));
    assert_eq!(place.tables_made("SELECT ?1 IN ('a', 'b', 'c')"), 1, "the plant");

    let Place::Sqlite(folder) = &place else { unreachable!() };
    let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE type IN ('table', 'index') \
               AND tbl_name IN ('devices', 'certificates', 'appraisals', 'log_leaves') AND sql LIKE '% IN (%,%,%)%'";
    let mut query = raw.prepare(sql).unwrap();
    let lists = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for text in lists.map(Result::unwrap) {
        for list in text.split(" IN (").skip(1) {
            let (members, _) = list.split_once(')').unwrap();
            assert!(members.split(',').count() < 3, "{text}");
        }
    }
}

/// The conditions hold as they were.
#[test]
fn a_word_that_is_none_of_its_column_is_not_taken() {
    let place = Place::sqlite();
    place.open().close_blocking();
    let Place::Sqlite(folder) = &place else { unreachable!() };
    let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
    raw.execute_batch(
        "INSERT INTO devices (device, state, changed, added) VALUES ('SN-1', 'registered', 1, 1); \
         INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, recorded) \
         VALUES (zeroblob(16), 'SN-1', 'intent', zeroblob(65), zeroblob(32), zeroblob(32), 1, 2, 1); \
         INSERT INTO appraisals (at, device, class, asked, ruled, by_candidate, rules) \
         VALUES (1, 'SN-1', 0, 'enroll', 'accepted', 0, '[]'); \
         INSERT INTO log_leaves (position, kind, event) VALUES (0, 'event', 1)",
    )
    .unwrap();
    for (table, column) in [
        ("devices", "state"),
        ("certificates", "state"),
        ("certificates", "via"),
        ("appraisals", "asked"),
        ("appraisals", "ruled"),
        ("appraisals", "other_ruled"),
        ("log_leaves", "kind"),
    ] {
        let error =
            raw.execute(&format!("UPDATE {table} SET {column} = 'other'"), []).unwrap_err().to_string();
        assert!(error.contains("CHECK constraint failed"), "{table}.{column}: {error}");
    }
}
