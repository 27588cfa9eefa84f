//! Answers get lost, requests are repeated.

use tests::faults::LostAnswers;
use tests::faults::invariants::Invariant;

const CI: LostAnswers = LostAnswers { intents: 500, lost: 20, seed: 4, forgets: false };

#[test]
fn however_many_answers_are_lost_there_is_one_certificate_for_each_intent() {
    report(CI.run().unwrap_or_else(|violation| panic!("{violation}")));
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: a million lost answers"]
fn long_answers() {
    let long = LostAnswers { intents: 50_000, ..CI };
    report(long.run().unwrap_or_else(|violation| panic!("{violation}")));
}

/// The harness turns red on a store that forgets what it was told.
#[test]
fn a_store_that_forgets_is_found() {
    let found = LostAnswers { intents: 32, lost: 1, forgets: true, ..CI }.run().unwrap_err();
    assert!(matches!(found.invariant, Invariant::SameAgain | Invariant::WayForward), "{found}");
}

fn report(lost: u64) {
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{lost} answers lost");
    }
}
