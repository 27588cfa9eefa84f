//! kill -9 with eight requests in flight.

use enroll_server::failpoint::Plant;
use tests::faults::invariants::Invariant;
use tests::faults::{Killed, Kills, StoreKind};

const SQLITE: Kills = Kills {
    random: 460,
    named: 3,
    log: 3,
    database: 0,
    store: StoreKind::Sqlite,
    check_every: 50,
    seed: 6,
    plant: None,
    dies_with_database: false,
};
const POSTGRES: Kills = Kills {
    random: 40,
    named: 1,
    log: 1,
    database: 3,
    store: StoreKind::Postgres,
    check_every: 25,
    ..SQLITE
};
const LONG: Kills = Kills { random: 10_000, named: 100, log: 10, check_every: 500, ..SQLITE };

#[test]
fn a_server_that_is_killed_at_any_moment_loses_nothing() {
    report(SQLITE);
}

#[test]
fn neither_does_one_on_postgresql_that_is_killed_or_whose_database_is() {
    report(POSTGRES);
}

/// The long form on SQLite. To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: 10,000 deaths"]
fn long_kill_sqlite() {
    report(LONG);
}

/// The long form on PostgreSQL. To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: 10,000 deaths, and 200 of the database"]
fn long_kill_postgresql() {
    report(Kills { database: 200, store: StoreKind::Postgres, ..LONG });
}

/// The harness turns red on a server that signs before the intent is durable.
#[test]
fn a_signature_without_an_intent_is_found() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let plant = Some(Plant::SignsBeforeRecording);
        let kills =
            Kills { random: 0, named: 1, log: 1, database: 0, store, check_every: 1, plant, ..SQLITE };
        let found = kills.run().unwrap_err();
        assert_eq!(found.invariant, Invariant::SignedHasIntent, "{store:?}: {found}");
    }
}

/// The harness turns red on a server that ends where its database does.
#[test]
fn a_server_that_does_not_live_through_the_death_of_its_database_is_found() {
    let kills = Kills { random: 0, named: 0, log: 0, database: 1, dies_with_database: true, ..POSTGRES };
    let found = kills.run().unwrap_err();
    assert_eq!(found.invariant, Invariant::WayForward, "{found}");
}

fn report(kills: Kills) {
    let killed = kills.run().unwrap_or_else(|violation| panic!("{:?}: {violation}", kills.store));
    let Killed { deaths, database, answered, cut, checks } = killed;
    assert!(answered > deaths && cut > deaths && checks > 0, "{killed:?}");
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        let store = kills.store;
        println!(
            "{store:?}: {deaths} deaths, {database} of the database, {answered} requests answered, {cut} cut off, {checks} checks"
        );
    }
}
