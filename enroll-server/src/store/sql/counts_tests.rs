//! The counts that triggers keep are those of counting all rows, whatever happens; and a trigger that is missing is
//! noticed by the same comparison.

use proptest::prelude::*;
use shared::UnixTime;

use super::SqlStore;
use super::counts::{CERTIFICATES, LIVE, by_state, spread, wanted_renewals};
use crate::store::database::{Connection, Row, params};
use crate::store::migrate::STEPS;
use crate::store::{Counts, Place, Spread, StoreError, WantedCounts};

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
             ON CONFLICT (device) DO UPDATE SET state = excluded.state",
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
                 VALUES (?1, '0', ?2, ?8, ?3, ?3, 1, ?4, 1, ?5, ?6, ?7) \
                 ON CONFLICT (serial) DO UPDATE SET state = excluded.state, not_after = excluded.not_after, \
                 der = excluded.der, revoked = excluded.revoked, issuer = excluded.issuer",
                params![
                    [row + 1; 16],
                    state,
                    [row; 32],
                    end,
                    is_out.then_some([0x30_u8]),
                    is_revoked.then_some(1_i64),
                    issuer,
                    [0_u8; 65]
                ],
            )
        }
        Step::NoCertificate { row } => {
            raw.execute("DELETE FROM certificates WHERE serial = ?1", params![[row + 1; 16]])
        }
        Step::Want { row, told } => raw.execute(
            "INSERT INTO wanted_renewals (device, since, actor, turn, due, told) VALUES (?1, 1, 'x', 1, 1, ?2) \
             ON CONFLICT (device) DO UPDATE SET told = excluded.told",
            params![row.to_string(), told],
        ),
        Step::NoWant { row } => {
            raw.execute("DELETE FROM wanted_renewals WHERE device = ?1", params![row.to_string()])
        }
    };
    assert!(done.unwrap() <= 1);
}

/// A store in which rows come and go alone: references are another test's matter.
fn database(place: &Place) -> SqlStore {
    let store = place.open();
    match place {
        Place::Sqlite(_) => {}
        Place::Postgres { .. } => {
            let done = place.sql(
                "ALTER TABLE certificates DROP CONSTRAINT certificates_device_fkey; \
                 ALTER TABLE wanted_renewals DROP CONSTRAINT wanted_renewals_device_fkey",
            );
            assert_eq!(done, "");
        }
    }
    store
}

fn fill(c: &Connection) {
    if matches!(c, Connection::Sqlite(_)) {
        c.execute("PRAGMA defer_foreign_keys = on", params![]).unwrap();
    }
    for number in 1_u8..3 {
        let sql = "INSERT INTO issuers (number, sha256, der, added) VALUES (?1, ?2, ?3, 1)";
        c.execute(sql, params![number, [number; 32], [0x30_u8]]).unwrap();
    }
}

/// Runs `check` in a change that is undone.
fn in_change(store: &SqlStore, check: impl Fn(&Connection) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let undone = runtime.block_on(store.write(move |c| {
        fill(c);
        check(c);
        Err::<(), _>(StoreError::Busy)
    }));
    assert_eq!(undone, Err(StoreError::Busy), "the check panicked");
}

type All = (Counts, WantedCounts, Spread);

fn kept(c: &Connection) -> All {
    let mut counts = by_state(c).unwrap();
    counts.certificates.sort_by_key(|(state, _)| state.name());
    counts.devices.sort_by_key(|(state, _)| state.name());
    (counts, wanted_renewals(c).unwrap(), spread(c, NOW).unwrap())
}

/// By going through all rows.
fn counted(c: &Connection) -> All {
    fn rows<T>(c: &Connection, sql: &str, key: impl Fn(&Row<'_>) -> T) -> Vec<(T, u64)> {
        let mut query = c.prepare_cached(sql).unwrap();
        let row = |row: &Row<'_>| Ok((key(row), u64::try_from(row.get::<_, i64>(1)?).unwrap()));
        query.query_map(params![], row).unwrap()
    }
    let now = NOW.as_secs();
    let mut certificates = rows(c, "SELECT state, count(*) FROM certificates GROUP BY state", |row| {
        super::convert::certificate_state(row).unwrap()
    });
    certificates.sort_by_key(|(state, _)| state.name());
    let mut devices = rows(c, "SELECT state, count(*) FROM devices GROUP BY state", |row| {
        super::convert::device_state(row).unwrap()
    });
    devices.sort_by_key(|(state, _)| state.name());
    let counts = Counts { devices, certificates };
    let wanted = rows(c, "SELECT told IS NULL, count(*) FROM wanted_renewals GROUP BY 1", |row| {
        row.get::<_, bool>(0).unwrap()
    });
    let untold = wanted.iter().filter(|(untold, _)| *untold).map(|(_, number)| number).sum();
    let wanted = WantedCounts { wanted: wanted.iter().map(|(_, number)| number).sum(), untold };
    let sql = "SELECT trust_number, count(*) FROM devices WHERE state IN ('enrolled', 'suspended') \
         OR (state = 'held' AND trust_number IS NOT NULL) GROUP BY 1 \
         ORDER BY coalesce(trust_number, -1)";
    let trust = rows(c, sql, |row| row.get::<_, Option<i64>>(0).unwrap().map(|n| u64::try_from(n).unwrap()));
    let sql = format!(
        "SELECT issuer, count(*) FROM certificates WHERE state = 'issued' AND not_after >= {now} GROUP BY 1 ORDER BY 1"
    );
    let issuers = rows(c, &sql, |row| super::issuers::number(row, "issuer").unwrap());
    (counts, wanted, Spread { trust, issuers })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_kept_is_what_is_counted(steps in proptest::collection::vec(step(), 1..60)) {
        let store = database(&Place::sqlite());
        in_change(&store, move |c| check(c, steps.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn what_postgres_keeps_is_what_is_counted(steps in proptest::collection::vec(step(), 1..60)) {
        let store = database(&Place::postgres());
        in_change(&store, move |c| check(c, steps.clone()));
    }
}

fn check(c: &Connection, steps: Vec<Step>) {
    for step in steps {
        take(c, step);
        assert_eq!(kept(c), counted(c));
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
    for (place, names) in [
        (Place::sqlite(), "SELECT name, '' AS of FROM sqlite_schema WHERE type = 'trigger'"),
        (
            Place::postgres(),
            "SELECT tgname::text AS name, ' ON ' || tgrelid::regclass::text AS of FROM pg_trigger WHERE NOT tgisinternal",
        ),
    ] {
        let store = database(&place);
        in_change(&store, move |c| {
            let mut query = c.prepare_cached(names).unwrap();
            let triggers = query.query_map(params![], |row| Ok((row.get("name")?, row.get("of")?))).unwrap();
            let triggers: Vec<(String, String)> = triggers
                .into_iter()
                .filter(|(name, _): &(String, String)| name.contains("_counted"))
                .collect();
            assert_eq!(triggers.len(), 9, "{triggers:?}");
            assert!(!differs(c));
            for (name, of) in triggers {
                c.execute("SAVEPOINT whole", params![]).unwrap();
                clear(c);
                c.execute(&format!("DROP TRIGGER {name}{of}"), params![]).unwrap();
                assert!(differs(c), "without {name}");
                c.execute("ROLLBACK TO whole", params![]).unwrap();
            }
        });
    }
}

fn clear(c: &Connection) {
    for table in ["certificates", "wanted_renewals", "devices", "counts"] {
        c.execute(&format!("DELETE FROM {table}"), params![]).unwrap();
    }
}

fn differs(c: &Connection) -> bool {
    HISTORY.into_iter().any(|step| {
        take(c, step);
        // A count below zero is refused by the reader, which is found too.
        by_state(c).is_err()
            || wanted_renewals(c).is_err()
            || spread(c, NOW).is_err()
            || kept(c) != counted(c)
    })
}

#[test]
fn no_scrape_goes_through_all_certificates() {
    let place = Place::sqlite();
    for sql in [CERTIFICATES, LIVE] {
        let steps = place.plan(sql);
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
    let place = Place::sqlite();
    let store = database(&place);
    in_change(&store, |c| {
        HISTORY.into_iter().for_each(|step| take(c, step));
        c.execute_batch("DROP TABLE counts").unwrap();
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '%\\_counted%' ESCAPE '\\'";
        let mut query = c.prepare_cached(sql).unwrap();
        for name in query.query_map(params![], |row| row.get::<_, String>(0)).unwrap() {
            c.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        let step = STEPS.iter().find(|step| step.contains("CREATE TABLE counts")).unwrap();
        c.execute_batch(step).unwrap();
        assert_eq!(kept(c), counted(c));
        assert_eq!(kept(c).0.devices.len(), 1);
    });
}
