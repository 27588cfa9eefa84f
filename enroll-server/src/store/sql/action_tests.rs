//! What operators' actions, labels and imports leave behind: counts over a page, the words of the trail, and who it names.

use core::time::Duration;

use ca::crl::Reason;
use shared::{DeviceId, UnixTime};

use super::SqlStore;
use super::places::{add_certificate, entry};
use crate::audit::{Actor, Caller, EventKind};
use crate::store::database::params;
use crate::store::{
    Action, CertificateState, DeviceState, EventQuery, InventoryEntry, Label, MAX_TAGS, NewEvent, Page,
    Renewals as _, RowOutcome, Selection, Store as _, Tag, Turns,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    an_action_on_many_counts_what_it_ended,
    an_action_says_what_it_did_and_only_once,
    what_is_open_is_given_up_with_its_device,
    labels_say_what_changed,
    a_device_has_as_many_tags_as_it_may_have,
    an_import_says_of_each_fact_what_it_would_do,
    an_event_names_who_caused_it,
    renewals_are_taken_back_page_by_page
);

fn device(number: usize) -> DeviceId {
    entry(number).device
}

/// Devices SN-0 to SN-2, of which each has as many certificates in force as its number says.
async fn filled(place: &Place) -> SqlStore {
    let store = place.open();
    store.import((0..3).map(entry).collect(), NOW).await.unwrap();
    let done = store.write(|c| {
        c.execute("UPDATE devices SET state = 'enrolled' WHERE device <> 'SN-0'", params![])?;
        [("SN-1", 1), ("SN-2", 2), ("SN-2", 3)]
            .into_iter()
            .try_for_each(|(name, number)| add_certificate(c, (name, number, "issued", None)))
    });
    done.await.unwrap();
    store
}

/// The newest events as kind, reason and detail, the last of them first.
async fn said(store: &SqlStore, count: u32) -> Vec<(String, String, String)> {
    let events = store.events(EventQuery::last(count)).await.unwrap();
    events.into_iter().map(|event| (event.kind, event.reason.unwrap_or_default(), event.detail)).collect()
}

async fn act(store: &SqlStore, number: usize, action: Action) -> u64 {
    let one = Selection::One(device(number));
    let carried = store.act(one, action, Page::first(1), NOW).await.unwrap();
    assert_eq!((carried.done, carried.illegal.len()), (1, 0));
    carried.certificates
}

async fn an_action_on_many_counts_what_it_ended(place: Place) {
    let store = filled(&place).await;
    let revoke = Action::Revoke(Reason::KeyCompromise);
    let first = store.act(Selection::All, revoke.clone(), Page::first(2), NOW).await.unwrap();
    assert_eq!((first.done, first.certificates, first.next.clone()), (2, 1, Some(device(1))));
    let page = Page { after: first.next, limit: 2 };
    let rest = store.act(Selection::All, revoke.clone(), page, NOW).await.unwrap();
    assert_eq!((rest.done, rest.certificates, rest.next), (1, 2, None));
    assert_eq!(rest.state, Some(DeviceState::Revoked));
    // In a page that is full to the last device there is no other page.
    let again = store.act(Selection::All, revoke, Page::first(3), NOW).await.unwrap();
    assert_eq!((again.done, again.certificates, again.next), (3, 0, None));
}

async fn an_action_says_what_it_did_and_only_once(place: Place) {
    let store = filled(&place).await;
    let event =
        |kind: &str, reason: &str, detail: &str| (kind.to_owned(), reason.to_owned(), detail.to_owned());
    let group = Selection::One(device(1));
    store.label(group, Label::Group("lot-7".parse().unwrap()), Page::first(1), NOW).await.unwrap();
    assert_eq!(act(&store, 1, Action::Transfer("lot-8".parse().unwrap())).await, 1);
    let detail = "enrolled -> registered: from lot-7 to lot-8; 1 certificates";
    assert_eq!(said(&store, 1).await, [event("device-state-changed", "transfer", detail)]);

    for repeated in [false, true] {
        let count = said(&store, 100).await.len();
        assert_eq!(act(&store, 2, Action::Suspend).await, 0);
        let suspended =
            event("device-state-changed", "suspend", "enrolled -> suspended: its certificates are on hold");
        assert_eq!(said(&store, 1).await, [suspended]);
        assert_eq!(said(&store, 100).await.len(), count + usize::from(!repeated));
    }
    for repeated in [false, true] {
        let count = said(&store, 100).await.len();
        let ended = act(&store, 2, Action::Revoke(Reason::KeyCompromise)).await;
        assert_eq!(ended, if repeated { 0 } else { 2 });
        let revoked =
            event("revoked", "key-compromise", "suspended -> revoked: key-compromise; 2 certificates");
        assert_eq!(said(&store, 1).await, [revoked]);
        assert_eq!(said(&store, 100).await.len(), count + usize::from(!repeated));
    }
    assert_eq!(act(&store, 2, Action::Retire).await, 0);
    assert_eq!(
        said(&store, 1).await,
        [event("device-state-changed", "retire", "revoked -> retired: 0 certificates")]
    );
    // To approve it again is another decision.
    for _ in 0..2 {
        let count = said(&store, 100).await.len();
        act(&store, 0, Action::Approve).await;
        assert_eq!(said(&store, 100).await.len(), count + 1);
    }
}

async fn what_is_open_is_given_up_with_its_device(place: Place) {
    for action in [Action::Suspend, Action::Deny("no".into()), Action::Retire, Action::Return] {
        let store = filled(&place).await;
        let open = store.write(|c| {
            c.execute("UPDATE devices SET state = 'held' WHERE device = 'SN-2'", params![])?;
            c.execute("UPDATE certificates SET state = 'held', der = NULL WHERE device = 'SN-2'", params![])?;
            let sql = "UPDATE certificates SET state = 'intent' WHERE serial = ?1";
            c.execute(sql, params![[3_u8; 16]])
        });
        open.await.unwrap();
        act(&store, 2, action.clone()).await;
        let certificates = store.certificates(Some(device(2)), 9).await.unwrap();
        let states: Vec<_> = certificates.iter().map(|certificate| certificate.state).collect();
        assert_eq!(states, [CertificateState::Voided; 2], "{action:?}");
        assert_eq!(store.open_intents().await.unwrap().len(), 0);
        let gone = store.write(|c| {
            c.execute("DELETE FROM certificates", params![])?;
            c.execute("DELETE FROM devices", params![])
        });
        gone.await.unwrap();
    }
}

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

async fn labels_say_what_changed(place: Place) {
    let store = filled(&place).await;
    let events = said(&store, 100).await.len();
    let label = async |label, page| store.label(Selection::All, label, page, NOW).await.unwrap();
    let group = || Label::Group("lot-7".parse().unwrap());
    let first = label(group(), Page::first(2)).await;
    assert_eq!((first.seen, first.changed, first.next.clone()), (2, 2, Some(device(1))));
    let again = label(group(), Page::first(3)).await;
    assert_eq!((again.seen, again.changed, again.next), (3, 1, None), "two were there");
    assert_eq!(said(&store, 100).await.len(), events + 3);
    assert_eq!(said(&store, 1).await[0].2, "from group default to lot-7");

    let add = Label::Tags { remove: vec![], add: tags(&["b", "a", "b"]) };
    assert_eq!(label(add.clone(), Page::first(3)).await.changed, 3);
    assert_eq!(label(add, Page::first(3)).await.changed, 0);
    assert_eq!(said(&store, 1).await[0].2, "tags added: a b");
    let swap = Label::Tags { remove: tags(&["a", "b", "x"]), add: tags(&["b", "c"]) };
    assert_eq!(label(swap, Page::first(3)).await.changed, 3);
    let told: Vec<_> = said(&store, 2).await.into_iter().map(|(kind, _, detail)| (kind, detail)).collect();
    let labelled = |detail: &str| ("labelled".to_owned(), detail.to_owned());
    assert_eq!(told, [labelled("tags added: c"), labelled("tags removed: a")]);
}

async fn a_device_has_as_many_tags_as_it_may_have(place: Place) {
    let store = filled(&place).await;
    let names: Vec<Tag> = (0..MAX_TAGS).map(|number| format!("t{number}").parse().unwrap()).collect();
    let label = async |remove: &[Tag], add: &[Tag]| {
        let label = Label::Tags { remove: remove.to_vec(), add: add.to_vec() };
        store.label(Selection::One(device(0)), label, Page::first(1), NOW).await.unwrap()
    };
    let other = tags(&["other"]);
    assert_eq!(label(&[], &names).await.changed, 1);
    assert_eq!(label(&[], &other).await.full, ["SN-0"]);
    assert_eq!(label(&names[..1], &other).await.changed, 1, "one in the place of another");
    assert_eq!(label(&other, &tags(&["a", "b"])).await.full, ["SN-0"]);
    let there = store.device(&device(0)).await.unwrap().unwrap().tags;
    assert_eq!((there.len(), there.contains(&other[0])), (MAX_TAGS, true), "what it had, it has");
}

async fn an_import_says_of_each_fact_what_it_would_do(place: Place) {
    let store = place.open();
    let known =
        |number| InventoryEntry { idevid_sha256: Some([number; 32]), model: Some("m".into()), ..entry(1) };
    store
        .import(vec![entry(0), known(1), InventoryEntry { idevid_sha256: Some([2; 32]), ..entry(2) }], NOW)
        .await
        .unwrap();
    let preview = async |entry: InventoryEntry| store.preview(vec![entry]).await.unwrap().remove(0);
    let conflict = |outcome: RowOutcome| match outcome {
        RowOutcome::Conflict { column, .. } => column,
        other => panic!("{other:?}"),
    };
    // Each alone completes, and nothing new is unchanged.
    let group = |name: &str| Some(name.parse().unwrap());
    for new in [
        InventoryEntry { idevid_sha256: Some([9; 32]), ..entry(0) },
        InventoryEntry { model: Some("m".into()), ..entry(0) },
        InventoryEntry { group: group("lot-7"), ..entry(0) },
        InventoryEntry { tags: tags(&["a"]), ..entry(0) },
    ] {
        assert_eq!(preview(new.clone()).await, RowOutcome::Completed, "{new:?}");
    }
    for same in [entry(0), entry(1), known(1), InventoryEntry { group: group("default"), ..entry(0) }] {
        assert_eq!(preview(same.clone()).await, RowOutcome::Unchanged, "{same:?}");
    }
    assert_eq!(preview(entry(7)).await, RowOutcome::Added);
    assert_eq!(conflict(preview(known(9)).await), "idevid_sha256");
    assert_eq!(conflict(preview(known(2)).await), "idevid_sha256", "that of another device");
    let model = InventoryEntry { model: Some("n".into()), ..entry(1) };
    assert_eq!(conflict(preview(model).await), "model");

    // A device is moved by an import while it is in the default group and has not begun its life.
    let moved = InventoryEntry { group: group("lot-7"), ..entry(0) };
    store.import(vec![moved], NOW).await.unwrap();
    assert_eq!(conflict(preview(InventoryEntry { group: group("lot-8"), ..entry(0) }).await), "group");
    let begun =
        store.write(|c| c.execute("UPDATE devices SET state = 'enrolled' WHERE device = 'SN-1'", params![]));
    begun.await.unwrap();
    assert_eq!(conflict(preview(InventoryEntry { group: group("lot-8"), ..entry(1) }).await), "group");

    let many: Vec<Tag> = (0..MAX_TAGS).map(|number| format!("t{number}").parse().unwrap()).collect();
    let with = |tags: &[Tag]| InventoryEntry { tags: tags.to_vec(), ..entry(1) };
    store.import(vec![with(&many[..2])], NOW).await.unwrap();
    assert_eq!(preview(with(&many)).await, RowOutcome::Completed, "as many as it may have");
    let more: Vec<_> = many[1..].iter().cloned().chain(tags(&["other"])).collect();
    assert_eq!(conflict(preview(with(&more)).await), "tags");
}

async fn an_event_names_who_caused_it(place: Place) {
    let store = place.open();
    let operator = Caller {
        actor: Actor::Operator("ada(1000)@host".into()),
        source: Some("local".into()),
        action: Some("device suspend".into()),
    };
    let event = || NewEvent::new(NOW, EventKind::Refused, "");
    let by = store.acting_as(operator);
    by.add_event(event(), Duration::ZERO).await.unwrap();
    by.add_event(event().by(Actor::Operator("ada(1000)@host".into())), Duration::ZERO).await.unwrap();
    by.add_event(event().by(Actor::Device), Duration::ZERO).await.unwrap();
    store.add_event(event(), Duration::ZERO).await.unwrap();
    let events = store.events(EventQuery::after(0, 10)).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.actor.as_str(), event.source.as_deref(), event.action.as_deref()))
        .collect();
    let ada = ("operator:ada(1000)@host", Some("local"), Some("device suspend"));
    // What a device caused meanwhile was not done by the operator.
    assert_eq!(told, [ada, ada, ("device", None, None), ("system", None, None)]);
    let salts: std::collections::BTreeSet<_> =
        events.iter().map(|event| event.salt.clone().unwrap()).collect();
    assert_eq!((salts.len(), salts.first().unwrap().len()), (4, 16), "each has a salt of its own");
}

async fn renewals_are_taken_back_page_by_page(place: Place) {
    let store = filled(&place).await;
    let turns = Turns { begin: NOW, before: 0, rate: None };
    store.want_renewals(Selection::All, turns, Page::first(3), NOW).await.unwrap();
    let first = store.unwant_renewals(Selection::All, Page::first(2), NOW).await.unwrap();
    assert_eq!(
        (first.done, first.left, first.next.clone()),
        (1, 1, Some(device(1))),
        "SN-0 has no certificate"
    );
    let page = Page { after: first.next, limit: 2 };
    let rest = store.unwant_renewals(Selection::All, page, NOW).await.unwrap();
    assert_eq!((rest.done, rest.left, rest.next), (1, 0, None));
}
