//! Webhooks' cursors: only the owner of the lease moves one, from where it is; a page ends where its window does.

use core::time::Duration;

use shared::UnixTime;

use super::SqlStore;
use crate::audit::EventKind;
use crate::store::{CursorStep, EventQuery, Failure, Lease, NewEvent, Outbox as _, Store as _, WebhookState};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    a_new_webhook_begins_behind_what_there_is,
    who_gave_the_lease_back_has_none,
    only_the_owner_moves_the_cursor_and_only_from_where_it_is,
    a_page_ends_with_its_last_event_or_with_what_was_looked_at
);

/// A store with three events and a webhook behind them.
async fn filled(place: &Place) -> SqlStore {
    let store = place.open();
    add(&store, 3).await;
    store.open_webhook("hook".into()).await.unwrap();
    store
}

async fn add(store: &SqlStore, count: usize) {
    for _ in 0..count {
        store.add_event(NewEvent::new(NOW, EventKind::Refused, ""), Duration::ZERO).await.unwrap();
    }
}

async fn state(store: &SqlStore) -> WebhookState {
    store.webhook("hook".into()).await.unwrap().unwrap()
}

async fn lease(store: &SqlStore, owner: &str) -> bool {
    let until = NOW.after(Duration::from_secs(60));
    store.lease("hook".into(), Lease { owner: owner.into(), until }, NOW).await.unwrap()
}

fn step(owner: &str, from: u64, to: u64) -> CursorStep {
    CursorStep { webhook: "hook".into(), owner: owner.into(), from, to }
}

async fn a_new_webhook_begins_behind_what_there_is(place: Place) {
    let store = filled(&place).await;
    assert_eq!(state(&store).await.cursor, 3);
    add(&store, 1).await;
    store.open_webhook("hook".into()).await.unwrap();
    assert_eq!(state(&store).await.cursor, 3, "one that is there stays where it is");
    assert_eq!(store.webhook("other".into()).await.unwrap(), None);
}

async fn who_gave_the_lease_back_has_none(place: Place) {
    let store = filled(&place).await;
    assert!(lease(&store, "a").await);
    assert!(!lease(&store, "b").await);
    store.release("hook".into(), "b".into()).await.unwrap();
    assert!(!lease(&store, "b").await, "it was not b's to give");
    assert!(state(&store).await.is_leased_to("a", NOW));
    store.release("hook".into(), "a".into()).await.unwrap();
    assert_eq!(state(&store).await.lease, None);
    assert!(lease(&store, "b").await);
}

async fn only_the_owner_moves_the_cursor_and_only_from_where_it_is(place: Place) {
    let store = filled(&place).await;
    add(&store, 3).await;
    assert!(lease(&store, "a").await);
    let next_attempt = NOW.after(Duration::from_secs(9));
    let failure = || Failure { at: NOW, problem: "it answers 500".into(), next_attempt };
    for stranger in [step("b", 3, 4), step("a", 2, 4)] {
        assert!(!store.advance(stranger.clone(), true, NOW).await.unwrap(), "{stranger:?}");
        assert!(!store.failed(stranger, failure()).await.unwrap());
    }
    let before = state(&store).await;
    assert_eq!((before.cursor, before.delivered, before.failed, before.attempts), (3, 0, 0, 0));
    assert_eq!(before.last_attempt, None, "nothing was noted of what was not done");

    assert!(store.failed(step("a", 3, 4), failure()).await.unwrap());
    let failed = state(&store).await;
    assert_eq!((failed.cursor, failed.failed, failed.attempts), (3, 1, 1));
    assert_eq!(
        (failed.problem.as_deref(), failed.next_attempt),
        (Some("it answers 500"), Some(next_attempt))
    );

    assert!(store.advance(step("a", 3, 4), true, NOW).await.unwrap());
    let moved = state(&store).await;
    assert_eq!((moved.cursor, moved.delivered, moved.attempts), (4, 1, 0));
    assert_eq!((moved.problem, moved.next_attempt, moved.last_delivery), (None, None, Some(NOW)));
    // Past what is none of its events.
    assert!(store.advance(step("a", 4, 5), false, NOW).await.unwrap());
    let passed = state(&store).await;
    assert_eq!((passed.cursor, passed.delivered), (5, 1));
}

async fn a_page_ends_with_its_last_event_or_with_what_was_looked_at(place: Place) {
    let store = filled(&place).await;
    let pending = async |kinds: Vec<EventKind>, limit| {
        let found = store.pending(EventQuery { kinds, ..EventQuery::after(0, limit) }).await.unwrap();
        (found.events.iter().map(|event| event.number).collect::<Vec<_>>(), found.seen)
    };
    store.add_event(NewEvent::new(NOW, EventKind::Issued, ""), Duration::ZERO).await.unwrap();
    let refused = || vec![EventKind::Refused];
    assert_eq!(pending(refused(), 2).await, (vec![1, 2], 2), "there may be more");
    assert_eq!(pending(refused(), 4).await, (vec![1, 2, 3], 4), "what does not fit was looked at too");
    assert_eq!(pending(vec![EventKind::Issued], 1).await, (vec![4], 4));
    assert_eq!(pending(vec![EventKind::Revoked], 1).await, (vec![], 4));
}
