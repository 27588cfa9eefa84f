//! kill -9 with eight requests in flight.

use enroll_server::failpoint::Plant;
use tests::faults::invariants::Invariant;
use tests::faults::{Killed, Kills};

const CI: Kills = Kills { random: 500, named: 3, check_every: 50, seed: 6, plant: None };

#[test]
fn a_server_that_is_killed_at_any_moment_loses_nothing() {
    report(CI.run().unwrap_or_else(|violation| panic!("{violation}")));
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: 10,000 deaths"]
fn long_kill() {
    let long = Kills { random: 10_000, named: 100, check_every: 500, ..CI };
    report(long.run().unwrap_or_else(|violation| panic!("{violation}")));
}

/// The harness turns red on a server that signs before the intent is durable.
#[test]
fn a_signature_without_an_intent_is_found() {
    let plant = Some(Plant::SignsBeforeRecording);
    let found = Kills { random: 0, named: 1, check_every: 1, plant, ..CI }.run().unwrap_err();
    assert_eq!(found.invariant, Invariant::SignedHasIntent, "{found}");
}

fn report(Killed { deaths, answered, cut, checks }: Killed) {
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{deaths} deaths, {answered} requests answered, {cut} cut off, {checks} checks");
    }
}
