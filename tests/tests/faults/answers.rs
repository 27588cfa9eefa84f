//! Answers get lost, requests are repeated.

use tests::faults::invariants::Invariant;
use tests::faults::{LostAnswers, StoreKind};

const CI: LostAnswers =
    LostAnswers { intents: 500, lost: 20, seed: 4, forgets: false, store: StoreKind::Sqlite };

#[test]
fn however_many_answers_are_lost_there_is_one_certificate_for_each_intent() {
    report(LostAnswers { intents: 400, ..CI });
    report(LostAnswers { intents: 100, store: StoreKind::Postgres, ..CI });
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: a million lost answers on each store"]
fn long_answers() {
    report(LostAnswers { intents: 50_000, ..CI });
    report(LostAnswers { intents: 50_000, store: StoreKind::Postgres, ..CI });
}

/// The harness turns red on a store that forgets what it was told.
#[test]
fn a_store_that_forgets_is_found() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let found = LostAnswers { intents: 32, lost: 1, forgets: true, store, ..CI }.run().unwrap_err();
        let lost = matches!(found.invariant, Invariant::SameAgain | Invariant::WayForward);
        assert!(lost, "{store:?}: {found}");
    }
}

fn report(answers: LostAnswers) {
    let store = answers.store;
    let lost = answers.run().unwrap_or_else(|violation| panic!("{store:?}: {violation}"));
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{store:?}: {lost} answers lost");
    }
}
