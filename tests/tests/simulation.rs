//! The simulation from seeds: net, disk, clocks, deaths. docs/faults.md has the figures.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::env;

use tests::simulation::{Plant, Simulation, Sum};

/// Seeds with every run, and in the long form.
const CI: u64 = 1_000;
const LONG: u64 = 100_000;
/// The long form says so often how far it is.
const PART: u64 = 5_000;
/// The seed to look at, or to begin the long form with.
const SEED: &str = "SIMULATION_SEED";

#[test]
fn nothing_is_lost_with_any_seed() {
    run(0, CI);
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: 100,000 seeds; SIMULATION_SEED=N begins with N"]
fn long_simulation() {
    let first = env::var(SEED).map_or(0, |seed| seed.parse().expect("a seed, which is a number"));
    for first in (first..LONG).step_by(usize::try_from(PART).unwrap()) {
        run(first, PART.min(LONG - first));
    }
}

/// To be run by hand, with a seed that failed: prints what happens.
#[test]
#[ignore = "one seed again: SIMULATION_SEED=N"]
fn replay() {
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| panic!("{SEED} is the seed, a number"));
    let seen = Simulation::new().run(seed, None, true).unwrap_or_else(|found| panic!("{found}"));
    say(&format!("{seen:?}"));
}

#[test]
fn a_seed_gives_the_same_again_event_by_event() {
    let (first, second) = (Simulation::new(), Simulation::new());
    for seed in 0..8 {
        let seen = first.run(seed, None, false).unwrap();
        assert!(seen.events > 30, "{seen:?}");
        assert_eq!(seen, second.run(seed, None, false).unwrap(), "seed {seed}");
    }
    assert_ne!(first.run(1, None, false).unwrap().trace, first.run(2, None, false).unwrap().trace);
}

/// The simulation turns red on each of these.
#[test]
fn planted_defects_are_found_and_their_seeds_find_them_again() {
    let simulation = Simulation::new();
    for plant in [Plant::SignsBeforeRecording, Plant::LosesDatabase, Plant::ErasesKeyEarly] {
        let (seed, found) = simulation.run_all(0, CI, Some(plant)).unwrap_err();
        say(&format!("{plant:?}: seed {seed}: {found}"));
        let again = simulation.run(seed, Some(plant), false).unwrap_err();
        assert_eq!(found.invariant, again.invariant, "{plant:?}: seed {seed}");
        assert!(simulation.run(seed, None, false).is_ok(), "{plant:?}: seed {seed} fails without it");
    }
}

fn run(first: u64, seeds: u64) {
    let found = Simulation::new().run_all(first, seeds, None);
    let Sum { seeds, events, deaths, certificates } = found.unwrap_or_else(|(seed, violation)| {
        panic!(
            "seed {seed}: {violation}\nto see what happens: {SEED}={seed} cargo test -p tests --test simulation -- \
             --ignored --nocapture replay"
        )
    });
    say(&format!(
        "{seeds} seeds from {first}: {events} events, {deaths} deaths of the server, {certificates} certificates"
    ));
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{text}");
    }
}
