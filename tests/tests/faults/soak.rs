//! Mixed faults under load for a while.

use core::time::Duration;
use std::env;

use tests::faults::invariants::Invariant;
use tests::faults::{Soak, Soaked, Usage};

const CI: Soak = Soak {
    mixed: Duration::from_secs(14),
    last: Duration::from_secs(14),
    check_every: 2,
    seed: 8,
    leaks: false,
};
/// Minutes of the long form.
const MINUTES: &str = "SOAK_MINUTES";

#[test]
fn mixed_faults_lose_nothing_and_the_server_does_not_grow() {
    report(CI);
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: SOAK_MINUTES=5, or 120"]
fn long_soak() {
    let minutes = env::var(MINUTES).map_or(5, |minutes| minutes.parse().expect("a number of minutes"));
    let half = Duration::from_secs(minutes * 30);
    report(Soak { mixed: half, last: half, check_every: 10, ..CI });
}

/// The harness turns red on a server that keeps something of every certificate.
#[test]
fn a_leak_is_found() {
    let found = Soak { mixed: Duration::ZERO, leaks: true, ..CI }.run().unwrap_err();
    assert_eq!(found.invariant, Invariant::Flat, "{found}");
}

fn report(soak: Soak) {
    let Soaked { kills, answered, lost, disk, clock, revoked, checks, usage: [before, after] } =
        soak.run().unwrap_or_else(|violation| panic!("{violation}"));
    let tell = |usage: Usage| {
        let Usage { resident, descriptors, threads, list } = usage;
        format!("{resident} KiB, {descriptors} descriptors, {threads} threads, {list} KiB of revocation list")
    };
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!(
            "{kills} kills, {answered} requests answered, {lost} lost, {disk} disk faults, {clock} jumps of the clock, \
             {revoked} revocations, {checks} checks; {} after the warm-up, {} at the end",
            tell(before),
            tell(after)
        );
    }
}
