//! Rollovers as they are written down: one at a time, each step with its words, and what it leaves behind.

use shared::UnixTime;

use super::SqlStore;
use super::places::{add_certificate, add_device};
use crate::rollover::{Order, Step};
use crate::store::{EventQuery, NewRollover, RolloverStore as _, SignedBundle, Store as _, TakeStep, Taken};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    a_rollover_is_written_down_with_its_bundle,
    what_leaves_nobody_behind_is_not_forced,
    who_is_left_behind_is_counted_in_the_trail
);

fn new(bundle: Option<u64>) -> NewRollover {
    let bundle = bundle.map(|number| SignedBundle { number, signed: vec![1] });
    NewRollover { plan: "{}".into(), issuer: [7; 32], bundle, detail: "to a new CA".into() }
}

async fn kinds(store: &SqlStore) -> Vec<String> {
    let events = store.events(EventQuery::after(0, 20)).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

async fn a_rollover_is_written_down_with_its_bundle(place: Place) {
    let store = place.open();
    assert_eq!(store.begin_rollover(new(Some(5)), NOW).await.unwrap(), Some(1));
    assert_eq!(store.begin_rollover(new(None), NOW).await.unwrap(), None, "one is under way");
    let all = store.rollovers().await.unwrap();
    let [rollover] = &all[..] else { panic!("{all:?}") };
    assert_eq!((rollover.number, rollover.step, rollover.bundle), (1, Step::Prepared, Some(5)));
    assert_eq!((rollover.begun, rollover.changed), (NOW, NOW));
    assert_eq!(kinds(&store).await, ["trust-bundle-published", "ca-rollover-started"]);

    let abort = TakeStep { number: 1, order: Order::Abort, bundle: None, force: false };
    assert_eq!(store.take_step(abort, NOW).await.unwrap(), Taken::Done { left_behind: 0 });
    assert_eq!(store.begin_rollover(new(Some(5)), NOW).await.unwrap(), Some(2), "that bundle is there");
    assert_eq!(store.begin_rollover(new(None), NOW).await.unwrap(), None);
    let unknown = TakeStep { number: 9, order: Order::Abort, bundle: None, force: false };
    assert_eq!(store.take_step(unknown, NOW).await.unwrap(), Taken::Changed);
    let bundles: Vec<_> = store.rollovers().await.unwrap().into_iter().map(|found| found.bundle).collect();
    assert_eq!(bundles, [Some(5), Some(5)]);
}

async fn what_leaves_nobody_behind_is_not_forced(place: Place) {
    let store = place.open();
    store.begin_rollover(new(None), NOW).await.unwrap();
    let other = TakeStep {
        number: 1,
        order: Order::Switch,
        bundle: Some(SignedBundle { number: u64::MAX, signed: vec![2] }),
        force: true,
    };
    assert_eq!(store.take_step(other.clone(), NOW).await.unwrap(), Taken::Changed);
    let switch = TakeStep { bundle: None, ..other };
    assert_eq!(store.take_step(switch, NOW).await.unwrap(), Taken::Done { left_behind: 0 });
    assert_eq!(kinds(&store).await, ["ca-rollover-started", "ca-rollover-switched"]);
    assert_eq!(store.rollovers().await.unwrap()[0].step, Step::Switched);
}

async fn who_is_left_behind_is_counted_in_the_trail(place: Place) {
    let store = place.open();
    let filled = store.write(|c| {
        add_device(c, "SN-1", "enrolled")?;
        add_certificate(c, ("SN-1", 1, "issued", None))
    });
    filled.await.unwrap();
    store.begin_rollover(new(Some(5)), NOW).await.unwrap();
    let switch = |force| TakeStep { number: 1, order: Order::Switch, bundle: None, force };
    let taken = store.take_step(switch(false), NOW).await.unwrap();
    assert!(matches!(taken, Taken::NotYet(_)), "{taken:?}");
    assert_eq!(store.take_step(switch(true), NOW).await.unwrap(), Taken::Done { left_behind: 1 });
    assert_eq!(kinds(&store).await[2..], ["ca-rollover-switched", "ca-rollover-forced"]);
    let said = store.events(EventQuery::last(1)).await.unwrap().remove(0).detail;
    assert_eq!(said, "rollover 1: switch leaves 1 devices behind");
}
