//! The counts that triggers keep are those of counting all rows, whatever happens; and a trigger that is missing is
//! noticed by the same comparison.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::{Connection, params};
use shared::UnixTime;

use super::counts::{CERTIFICATES, LIVE, by_state, spread, wanted_renewals};
use super::{SqliteOptions, SqliteStore};
use crate::store::{Counts, Spread, WantedCounts};

/// Within an hour that begins at a multiple of 3,600.
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000 + 1_800);
const CERTIFICATE_STATES: [&str; 5] = ["held", "intent", "issued", "revoked", "voided"];
const DEVICE_STATES: [&str; 6] = ["registered", "held", "enrolled", "suspended", "revoked", "retired"];
/// Ends in the hour of `NOW` before and after it, at its last second, and in others.
const ENDS: [i64; 7] = [-1_801, -1_800, -1, 0, 1_799, 1_800, 5_400];

/// One statement, by numbers that pick from what there is to change.
#[derive(Clone, Copy, Debug)]
enum Step {
    Device { row: u8, state: usize },
    Trust { row: u8, bundle: Option<i64> },
    NoDevice { row: u8 },
    Certificate { row: u8, state: usize, end: usize, issuer: u8 },
    NoCertificate { row: u8 },
    Want { row: u8, told: Option<i64> },
    NoWant { row: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let row = 0_u8..6;
    prop_oneof![
        (row.clone(), 0..6_usize).prop_map(|(row, state)| Step::Device { row, state }),
        (row.clone(), prop::option::of(0_i64..3)).prop_map(|(row, bundle)| Step::Trust { row, bundle }),
        row.clone().prop_map(|row| Step::NoDevice { row }),
        (row.clone(), 0..5_usize, 0..7_usize, 1_u8..3)
            .prop_map(|(row, state, end, issuer)| Step::Certificate { row, state, end, issuer }),
        row.clone().prop_map(|row| Step::NoCertificate { row }),
        (row.clone(), prop::option::of(0_i64..3)).prop_map(|(row, told)| Step::Want { row, told }),
        row.prop_map(|row| Step::NoWant { row }),
    ]
}

fn take(raw: &Connection, step: Step) {
    let done = match step {
        Step::Device { row, state } => raw.execute(
            "INSERT INTO devices (device, state, changed, added) VALUES (?1, ?2, 1, 1) \
             ON CONFLICT DO UPDATE SET state = excluded.state",
            params![row.to_string(), DEVICE_STATES[state]],
        ),
        Step::Trust { row, bundle } => raw.execute(
            "UPDATE devices SET trust_number = ?2 WHERE device = ?1",
            params![row.to_string(), bundle],
        ),
        Step::NoDevice { row } => {
            raw.execute("DELETE FROM devices WHERE device = ?1", params![row.to_string()])
        }
        Step::Certificate { row, state, end, issuer } => {
            let state = CERTIFICATE_STATES[state];
            let (is_out, is_revoked) = (matches!(state, "issued" | "revoked"), state == "revoked");
            let end = i64::try_from(NOW.as_secs()).unwrap() + ENDS[end];
            raw.execute(
                "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
                 recorded, der, revoked, issuer) \
                 VALUES (?1, '0', ?2, zeroblob(65), ?3, ?3, 1, ?4, 1, ?5, ?6, ?7) \
                 ON CONFLICT (serial) DO UPDATE SET state = excluded.state, not_after = excluded.not_after, \
                 der = excluded.der, revoked = excluded.revoked, issuer = excluded.issuer",
                params![
                    [row + 1; 16],
                    state,
                    [row; 32],
                    end,
                    is_out.then_some([0x30_u8]),
                    is_revoked.then_some(1),
                    issuer
                ],
            )
        }
        Step::NoCertificate { row } => {
            raw.execute("DELETE FROM certificates WHERE serial = ?1", params![[row + 1; 16]])
        }
        Step::Want { row, told } => raw.execute(
            "INSERT INTO wanted_renewals (device, since, actor, turn, due, told) VALUES (?1, 1, 'x', 1, 1, ?2) \
             ON CONFLICT DO UPDATE SET told = excluded.told",
            params![row.to_string(), told],
        ),
        Step::NoWant { row } => {
            raw.execute("DELETE FROM wanted_renewals WHERE device = ?1", params![row.to_string()])
        }
    };
    assert!(done.unwrap() <= 1);
}

fn database(folder: &Path) -> Connection {
    let options = SqliteOptions::new(&folder.join("s.sqlite"));
    SqliteStore::open(&options).unwrap().close_blocking();
    let raw = Connection::open(&options.path).unwrap();
    // References are another test's matter; here rows come and go alone.
    raw.pragma_update(None, "foreign_keys", false).unwrap();
    raw.pragma_update(None, "synchronous", "off").unwrap();
    for number in 1_u8..3 {
        let sql = "INSERT INTO issuers (number, sha256, der, added) VALUES (?1, ?2, x'30', 1)";
        raw.execute(sql, params![number, [number; 32]]).unwrap();
    }
    raw
}

type All = (Counts, WantedCounts, Spread);

fn kept(c: &Connection) -> All {
    let mut counts = by_state(c).unwrap();
    counts.certificates.sort_by_key(|(state, _)| state.name());
    (counts, wanted_renewals(c).unwrap(), spread(c, NOW).unwrap())
}

/// By going through all rows.
fn counted(c: &Connection) -> All {
    fn rows<T>(c: &Connection, sql: &str, key: impl Fn(&rusqlite::Row<'_>) -> T) -> Vec<(T, u64)> {
        let mut query = c.prepare(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((key(row), u64::try_from(row.get::<_, i64>(1)?).unwrap()));
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }
    let now = NOW.as_secs();
    let mut certificates = rows(c, "SELECT state, count(*) FROM certificates GROUP BY state", |row| {
        super::convert::certificate_state(row).unwrap()
    });
    certificates.sort_by_key(|(state, _)| state.name());
    let counts = Counts {
        devices: rows(c, "SELECT state, count(*) FROM devices GROUP BY state", |row| {
            super::convert::device_state(row).unwrap()
        }),
        certificates,
    };
    let wanted = rows(c, "SELECT told IS NULL, count(*) FROM wanted_renewals GROUP BY 1", |row| {
        row.get::<_, bool>(0).unwrap()
    });
    let untold = wanted.iter().filter(|(untold, _)| *untold).map(|(_, number)| number).sum();
    let wanted = WantedCounts { wanted: wanted.iter().map(|(_, number)| number).sum(), untold };
    let sql =
        "SELECT trust_number, count(*) FROM devices WHERE state IN ('enrolled', 'suspended') GROUP BY 1";
    let trust = rows(c, sql, |row| row.get::<_, Option<i64>>(0).unwrap().map(|n| u64::try_from(n).unwrap()));
    let sql = format!(
        "SELECT issuer, count(*) FROM certificates WHERE state = 'issued' AND not_after >= {now} GROUP BY 1"
    );
    let issuers = rows(c, &sql, |row| super::issuers::number(row, "issuer").unwrap());
    (counts, wanted, Spread { trust, issuers })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_kept_is_what_is_counted(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let raw = database(folder.path());
        for step in steps {
            take(&raw, step);
            prop_assert_eq!(kept(&raw), counted(&raw));
        }
    }
}

/// What needs every trigger.
const HISTORY: [Step; 12] = [
    Step::Device { row: 0, state: 2 },
    Step::Device { row: 1, state: 2 },
    Step::Trust { row: 0, bundle: Some(1) },
    Step::Device { row: 2, state: 0 },
    Step::NoDevice { row: 2 },
    Step::Certificate { row: 0, state: 2, end: 6, issuer: 1 },
    Step::Certificate { row: 1, state: 2, end: 4, issuer: 1 },
    Step::Certificate { row: 1, state: 3, end: 4, issuer: 1 },
    Step::NoCertificate { row: 0 },
    Step::Want { row: 0, told: None },
    Step::Want { row: 0, told: Some(1) },
    Step::NoWant { row: 0 },
];

/// The planted bug: each trigger that keeps the counts is left out in turn.
#[test]
fn a_trigger_that_is_missing_is_found() {
    let triggers = |raw: &Connection| -> Vec<String> {
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '%\\_counted%' ESCAPE '\\'";
        let mut query = raw.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let whole = database(folder.path());
    let names = triggers(&whole);
    assert_eq!(names.len(), 9, "{names:?}");
    let differs = |raw: &Connection| {
        HISTORY.into_iter().any(|step| {
            take(raw, step);
            // A count below zero is refused by the reader, which is found too.
            by_state(raw).is_err()
                || wanted_renewals(raw).is_err()
                || spread(raw, NOW).is_err()
                || kept(raw) != counted(raw)
        })
    };
    assert!(!differs(&whole));
    for name in names {
        let folder = tempfile::tempdir().unwrap();
        let raw = database(folder.path());
        raw.execute(&format!("DROP TRIGGER {name}"), []).unwrap();
        assert!(differs(&raw), "without {name}");
    }
}

#[test]
fn no_scrape_goes_through_all_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let raw = database(folder.path());
    for sql in [CERTIFICATES, LIVE] {
        let mut query = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let numbers = rusqlite::params_from_iter((0..query.parameter_count()).map(|_| 1));
        let rows = query.query_map(numbers, |row| row.get::<_, String>("detail")).unwrap();
        let steps: Vec<String> = rows.map(Result::unwrap).collect();
        let of_certificates: Vec<_> = steps.iter().filter(|step| step.contains("certificates")).collect();
        assert_eq!(of_certificates.len(), 1, "{steps:?}");
        let few = [
            "COVERING INDEX certificates_open",
            "COVERING INDEX certificates_live (issuer=? AND not_after>? AND",
        ];
        assert!(few.iter().any(|few| of_certificates[0].contains(few)), "{steps:?}");
    }
}

/// A database from before has its rows counted when it is brought up to date.
#[test]
fn an_older_database_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let raw = database(folder.path());
    HISTORY.into_iter().for_each(|step| take(&raw, step));
    raw.execute_batch("DROP TABLE counts").unwrap();
    let sql = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema \
               WHERE type = 'trigger' AND name LIKE '%\\_counted%' ESCAPE '\\'";
    let drops: String = raw.query_row(sql, [], |row| row.get(0)).unwrap();
    raw.execute_batch(&drops).unwrap();
    let step = super::migrate::STEPS.iter().find(|step| step.contains("CREATE TABLE counts")).unwrap();
    raw.execute_batch(step).unwrap();
    assert_eq!(kept(&raw), counted(&raw));
    assert_eq!(kept(&raw).0.devices.len(), 1);
}
