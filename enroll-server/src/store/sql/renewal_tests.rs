//! Renewals that an operator wants: turns, what ends them, and that one process alone tells devices of them.

use core::time::Duration;

use ca::crl::Reason;
use shared::{DeviceId, UnixTime};

use super::SqlStore;
use crate::store::database::params;
use crate::store::{
    Action, DueRenewal, EventQuery, InventoryEntry, Lease, Page, Renewals as _, Selection, Store as _,
    TellOutcome, Told, Turns,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

on_both!(
    devices_get_their_turns_by_the_rate_over_all_pages,
    who_was_told_is_told_again_later_and_who_comes_online_soon,
    coming_online_is_no_way_around_the_rate,
    what_is_out_of_service_is_not_told,
    one_owner_has_the_lease
);

/// Twenty devices; all but the last two have a certificate.
async fn filled(place: &Place) -> SqlStore {
    let store = place.open();
    let entries = (0..20_u8).map(|number| InventoryEntry {
        device: device(&format!("SN-{number:02}")),
        model: None,
        idevid_sha256: Some([number; 32]),
        group: Some(if number % 2 == 0 { "even" } else { "odd" }.parse().unwrap()),
        tags: Vec::new(),
    });
    store.import(entries.collect(), NOW).await.unwrap();
    let enrolled = store
        .write(|c| Ok(c.execute("UPDATE devices SET state = 'enrolled' WHERE device < 'SN-18'", params![])?));
    assert_eq!(enrolled.await.unwrap(), 18);
    store
}

fn turns(before: u64, rate: &str) -> Turns {
    Turns { begin: NOW, before, rate: Some(rate.parse().unwrap()) }
}

async fn due(store: &SqlStore, at: UnixTime) -> Vec<String> {
    let due = store.due_renewals(at, 100).await.unwrap();
    due.iter().map(|due| due.device.to_string()).collect()
}

fn told(name: &str, outcome: TellOutcome, next: UnixTime) -> Vec<Told> {
    vec![Told { device: device(name), outcome, next }]
}

async fn devices_get_their_turns_by_the_rate_over_all_pages(place: Place) {
    let store = filled(&place).await;
    let (mut page, mut done, mut left) = (Page::first(7), 0, 0);
    let mut last = None;
    loop {
        let wanted = store.want_renewals(Selection::All, turns(done, "2/s"), page, NOW).await.unwrap();
        done += wanted.done;
        left += wanted.left;
        last = wanted.last_turn.or(last);
        let Some(next) = wanted.next else { break };
        page = Page { after: Some(next), limit: 7 };
    }
    assert_eq!((done, left, last), (18, 2, Some(NOW.after(SECOND * 8))));
    for second in 0..9_u32 {
        let count = due(&store, NOW.after(SECOND * second)).await.len();
        assert_eq!(count, 2 * (second as usize + 1), "after {second} s");
    }
    let counts = store.count_wanted_renewals().await.unwrap();
    assert_eq!((counts.wanted, counts.untold), (18, 18));
    let of_group = Some(Selection::Group("odd".parse().unwrap()));
    let page = store.wanted_renewals(of_group, Page::first(4)).await.unwrap();
    assert_eq!((page.renewals.len(), page.next), (4, Some(device("SN-07"))));
    assert_eq!((page.renewals[0].attempts, page.renewals[0].told), (0, None));
    let events = store.events(EventQuery::last(100)).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "renewal-wanted").count(), 18);
}

async fn who_was_told_is_told_again_later_and_who_comes_online_soon(place: Place) {
    let store = filled(&place).await;
    let one = Selection::One(device("SN-01"));
    store.want_renewals(one.clone(), turns(0, "1/s"), Page::first(1), NOW).await.unwrap();
    let found = store.due_renewals(NOW, 10).await.unwrap();
    let expected = DueRenewal { device: device("SN-01"), group: "odd".parse().unwrap(), attempts: 0 };
    assert_eq!(found, [expected]);

    let later = NOW.after(SECOND * 900);
    store.note_told(told("SN-01", TellOutcome::Failed("nobody is there".into()), later), NOW).await.unwrap();
    assert!(due(&store, NOW.after(SECOND * 899)).await.is_empty());
    assert_eq!(due(&store, later).await, ["SN-01"]);
    // It is there now, and was not told yet.
    let online = NOW.after(SECOND * 30);
    let both = vec![device("SN-01"), device("SN-02")];
    assert_eq!(
        store.devices_online(both.clone(), online).await.unwrap(),
        1,
        "of the other nothing is wanted"
    );
    assert_eq!(due(&store, online).await, ["SN-01"]);

    store.note_told(told("SN-01", TellOutcome::Taken, later), online).await.unwrap();
    let again = online.after(SECOND * 10);
    assert_eq!(store.devices_online(both.clone(), again).await.unwrap(), 0, "it was told a moment ago");
    let again = online.after(SECOND * 61);
    assert_eq!(store.devices_online(both, again).await.unwrap(), 1);
    let postponed = TellOutcome::Postponed("the broker is away".into());
    store.note_told(told("SN-01", postponed, later), again).await.unwrap();
    let page = store.wanted_renewals(Some(one.clone()), Page::first(1)).await.unwrap();
    let shown = &page.renewals[0];
    assert_eq!((shown.attempts, shown.told, shown.due), (2, Some(online), later));
    assert_eq!(shown.problem.as_deref(), Some("the broker is away"));

    // Wanted once more: from the beginning.
    store.want_renewals(one, turns(0, "1/s"), Page::first(1), again).await.unwrap();
    assert_eq!(store.count_wanted_renewals().await.unwrap().untold, 1);
}

/// A device whose turn has not come is not told before, whatever it does.
async fn coming_online_is_no_way_around_the_rate(place: Place) {
    let store = filled(&place).await;
    store.want_renewals(Selection::All, turns(0, "1/m"), Page::first(100), NOW).await.unwrap();
    let all: Vec<_> = (0..20).map(|number| device(&format!("SN-{number:02}"))).collect();
    let soon = NOW.after(SECOND);
    store.devices_online(all, soon).await.unwrap();
    assert_eq!(due(&store, soon).await, ["SN-00"]);
    assert!(store.snapshot(&device("SN-00"), soon).await.unwrap().renewal_wanted);
    assert!(!store.snapshot(&device("SN-01"), soon).await.unwrap().renewal_wanted, "nor by an answer");
}

async fn what_is_out_of_service_is_not_told(place: Place) {
    let store = filled(&place).await;
    store.want_renewals(Selection::All, turns(0, "1000/s"), Page::first(100), NOW).await.unwrap();
    let act = async |name: &str, action: Action| {
        store.act(Selection::One(device(name)), action, Page::first(1), NOW).await.unwrap()
    };
    act("SN-01", Action::Suspend).await;
    act("SN-02", Action::Revoke(Reason::KeyCompromise)).await;
    act("SN-03", Action::Retire).await;
    let names = due(&store, NOW).await;
    for gone in ["SN-01", "SN-02", "SN-03", "SN-18"] {
        assert!(!names.contains(&gone.to_owned()), "{gone}");
    }
    assert_eq!(store.count_wanted_renewals().await.unwrap().wanted, 16, "the suspended one comes back");

    let odd = Selection::Group("odd".parse().unwrap());
    let cancelled = store.unwant_renewals(odd, Page::first(100), NOW).await.unwrap();
    assert_eq!((cancelled.done, cancelled.left), (8, 2));
    assert_eq!(store.count_wanted_renewals().await.unwrap().wanted, 8);
    let events = store.events(EventQuery::last(100)).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "renewal-unwanted").count(), 8);
}

async fn one_owner_has_the_lease(place: Place) {
    let store = filled(&place).await;
    let lease = |owner: &str, secs: u32| Lease { owner: owner.into(), until: NOW.after(SECOND * secs) };
    assert!(store.lease_work("renewals", lease("a", 10), NOW).await.unwrap());
    assert!(!store.lease_work("renewals", lease("b", 10), NOW).await.unwrap());
    assert!(store.lease_work("other", lease("b", 10), NOW).await.unwrap());
    assert!(store.lease_work("renewals", lease("a", 20), NOW.after(SECOND * 9)).await.unwrap());
    assert!(!store.lease_work("renewals", lease("b", 30), NOW.after(SECOND * 19)).await.unwrap());
    assert!(store.lease_work("renewals", lease("b", 30), NOW.after(SECOND * 20)).await.unwrap());
    store.release_work("renewals", "a".into()).await.unwrap();
    assert!(!store.lease_work("renewals", lease("a", 40), NOW.after(SECOND * 21)).await.unwrap());
    store.release_work("renewals", "b".into()).await.unwrap();
    assert!(store.lease_work("renewals", lease("a", 40), NOW.after(SECOND * 21)).await.unwrap());
    // Given by a clock that was years ahead.
    assert!(store.lease_work("renewals", lease("a", 100_000_000), NOW.after(SECOND * 22)).await.unwrap());
    assert!(store.lease_work("renewals", lease("b", 60), NOW.after(SECOND * 23)).await.unwrap());
}
