//! A disk that is full, or fails, at each operation in turn.

use enroll_server::failpoint::Plant;
use tests::faults::invariants::Invariant;
use tests::faults::{Failed, Failure, IoErrors};

#[test]
fn a_full_disk_loses_nothing_at_any_operation() {
    report(&run(Failure::Full, 1));
}

#[test]
fn a_failing_disk_loses_nothing_at_any_operation() {
    report(&run(Failure::Once, 1));
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: every operation of 20 enrollments, full and failing"]
fn long_io_errors() {
    report(&run(Failure::Full, 20));
    report(&run(Failure::Once, 20));
}

/// The harness turns red on a server that goes on after the store has failed.
#[test]
fn an_answer_without_a_stored_certificate_is_found() {
    let plant = Some(Plant::AnswersWithoutStoring);
    let (_, found) = IoErrors { failure: Failure::Full, enrollments: 1, plant }.run().unwrap_err();
    // Nothing else can be done with such a certificate: its renewal is refused already.
    assert!(matches!(found.invariant, Invariant::AnsweredIsStored | Invariant::WayForward), "{found}");
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
