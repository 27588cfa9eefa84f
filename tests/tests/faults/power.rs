//! Lost power: what was not synced is gone, the last page is torn.

use enroll_server::failpoint::Plant;
use tests::faults::invariants::Invariant;
use tests::faults::{Cut, Loss, Recording};

#[test]
fn no_loss_of_power_loses_what_was_answered() {
    let recording = Recording::new(50, None);
    let mut cuts: Vec<_> = recording.at_every_sync(Loss::All).collect();
    cuts.extend(recording.at_every_sync(Loss::Torn).step_by(8));
    cuts.extend(
        (0..)
            .zip(recording.at_every_sync(Loss::Some(0)).step_by(8))
            .map(|(seed, cut)| Cut { loss: Loss::Some(seed), ..cut }),
    );
    report(&recording, recording.cut_at(cuts).unwrap_or_else(|found| panic!("{found:?}")));
}

#[test]
fn no_second_loss_of_power_while_the_server_comes_up_loses_anything() {
    let recording = Recording::new(3, None);
    let twice = recording.cut_twice(some(&recording), None);
    report(&recording, twice.unwrap_or_else(|found| panic!("{found:?}")));
}

/// A few losses of power, and all that leave an intent open.
fn some(recording: &Recording) -> Vec<Cut> {
    let open = recording.with_open_intents(Loss::All);
    open.chain(recording.at_every_sync(Loss::All).step_by(13)).collect()
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: every sync of the starts after every loss of power"]
fn long_power_twice() {
    let recording = Recording::new(20, None);
    for loss in [Loss::All, Loss::Torn, Loss::Some(7)] {
        let cuts = recording.at_every_sync(loss).collect();
        report(&recording, recording.cut_twice(cuts, None).unwrap_or_else(|found| panic!("{found:?}")));
    }
}

/// The harness turns red on a start that is only right once: an intent that it has tried to finish is not tried again.
#[test]
fn a_recovery_that_is_right_only_once_is_found() {
    let recording = Recording::new(3, None);
    let (_, found) = recording.cut_twice(some(&recording), Some(Plant::RecoversOnce)).unwrap_err();
    assert!(matches!(found.invariant, Invariant::NothingOpen), "{found}");
}

/// To be run by hand: docs/faults.md.
#[test]
#[ignore = "the long form: more than 5,000 states of the disk"]
fn long_power() {
    let recording = Recording::new(200, None);
    let mut cuts: Vec<_> = recording.at_every_sync(Loss::All).collect();
    cuts.extend(recording.at_every_sync(Loss::Torn));
    for round in 0.. {
        if cuts.len() > 5_000 {
            break;
        }
        cuts.extend(
            (round * 10_000..)
                .zip(recording.at_every_sync(Loss::Some(0)))
                .map(|(seed, cut)| Cut { loss: Loss::Some(seed), ..cut }),
        );
    }
    report(&recording, recording.cut_at(cuts).unwrap_or_else(|found| panic!("{found:?}")));
}

/// The harness turns red on a store that answers before it has synced. Where the log had published what was lost, the
/// server itself notices that its database is older, and signs nothing.
#[test]
fn a_commit_without_a_sync_is_found() {
    let found = planted(Plant::CommitsWithoutSync);
    assert!(matches!(found, Invariant::AnsweredIsStored | Invariant::WayForward), "{found:?}");
}

/// The harness turns red on a server that signs before the intent is durable.
#[test]
fn a_signature_before_its_intent_is_found() {
    let found = planted(Plant::SignsBeforeRecording);
    assert_eq!(found, Invariant::SignedHasIntent);
}

fn planted(plant: Plant) -> Invariant {
    let recording = Recording::new(5, Some(plant));
    let cuts = recording.at_every_sync(Loss::All).collect();
    recording.cut_at(cuts).unwrap_err().1.invariant
}

fn report(recording: &Recording, cuts: usize) {
    #[expect(clippy::print_stdout, reason = "the figures of docs/faults.md")]
    {
        println!("{cuts} states of the disk, of a recording of {} operations", recording.len());
    }
}
