//! A disk that is full, or fails, at each operation in turn.

use enroll_server::failpoint::Plant;
use tests::faults::invariants::Invariant;
use tests::faults::{DatabaseErrors, Failed, Failure, IoErrors};

#[test]
fn a_full_disk_loses_nothing_at_any_operation() {
    report(&run(Failure::Full, 1));
}

#[test]
fn a_failing_disk_loses_nothing_at_any_operation() {
    report(&run(Failure::Once, 1));
}

/// Full at every operation of 20 enrollments. To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: some 1,500 operations"]
fn long_io_errors_full() {
    report(&run(Failure::Full, 20));
}

/// Failing once, at every operation of 20 enrollments. To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: some 1,500 operations"]
fn long_io_errors_once() {
    report(&run(Failure::Once, 20));
}

/// Full, and failing once, at every operation of PostgreSQL while two devices enroll. To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: every operation of a database, twice"]
fn long_io_errors_postgresql() {
    for failure in [Failure::Full, Failure::Once] {
        let all =
            DatabaseErrors { failure, enrollments: 2, step: 1, most: 2_000, check_every: 20, plant: None };
        report(&run_postgres(all));
    }
}

/// A few operations of PostgreSQL; `long_io_errors_postgresql` has all of them.
const SOME: DatabaseErrors =
    DatabaseErrors { failure: Failure::Full, enrollments: 1, step: 7, most: 2, check_every: 2, plant: None };

#[test]
fn a_database_whose_disk_is_full_loses_nothing() {
    report(&run_postgres(SOME));
}

/// The harness turns red on a server that goes on after the store has failed.
#[test]
fn an_answer_without_a_stored_certificate_is_found() {
    let plant = Some(Plant::AnswersWithoutStoring);
    let (_, found) = IoErrors { failure: Failure::Full, enrollments: 1, plant }.run().unwrap_err();
    // Nothing else can be done with such a certificate: its renewal is refused already.
    assert!(matches!(found.invariant, Invariant::AnsweredIsStored | Invariant::WayForward), "{found}");
}

/// The same, where it is PostgreSQL that does not take it. To be run by hand: it takes minutes until the disk fails at the
/// right place.
#[test]
#[ignore = "belongs to the long form"]
fn long_io_errors_an_answer_without_a_certificate_in_postgresql_is_found() {
    let plant = Some(Plant::AnswersWithoutStoring);
    let planted =
        DatabaseErrors { failure: Failure::Once, step: 1, most: 2_000, check_every: 1, plant, ..SOME };
    let (_, found) = planted.run().unwrap_err();
    assert!(matches!(found.invariant, Invariant::AnsweredIsStored | Invariant::WayForward), "{found}");
}

fn run_postgres(errors: DatabaseErrors) -> Failed {
    errors.run().unwrap_or_else(|(n, violation)| panic!("operation {n}: {violation}"))
}

fn run(failure: Failure, enrollments: u32) -> Failed {
    let run = IoErrors { failure, enrollments, plant: None }.run();
    run.unwrap_or_else(|(n, violation)| panic!("operation {n}: {violation}"))
}

fn report(Failed { operations, starts, later }: &Failed) {
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{operations} operations failed: {starts} starts, {later} requests told to come later");
    }
}
