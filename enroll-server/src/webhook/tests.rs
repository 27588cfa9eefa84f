//! Couriers over a real store and real HTTP: at least once, in order, whatever the receiver does and whenever the
//! courier dies. The planted bug (the cursor moves before the delivery) is found by the same harness.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use shared::{DeviceId, UnixTime};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Backoff, Courier, Filter, Sender, Standing, TRIES, Webhook, new_secret};
use crate::audit::{EventKind, Severity};
use crate::clock::{Clock, SettableClock};
use crate::outgoing::Target;
use crate::receiver::{Behaviour, Received, Receiver};
use crate::store::{EventQuery, NewEvent, Replay, SqlStore, SqliteOptions, Store};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const OK: Behaviour = Behaviour::Status(204);

/// A store, a receiver, and what makes couriers between them.
struct Bench {
    store: Arc<dyn Store>,
    receiver: Receiver,
    clock: SettableClock,
    filter: Filter,
    folder: TempDir,
}

fn webhook(url: &str, folder: &Path, filter: Filter) -> Webhook {
    Webhook {
        name: "alarms".into(),
        target: Target::parse(url).unwrap(),
        secret_file: folder.join("secret"),
        filter,
        ca_file: None,
        timeout: Duration::from_millis(400),
        backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(20) },
    }
}

impl Bench {
    async fn new(script: impl Fn(usize, &serde_json::Value) -> Behaviour + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        new_secret(&folder.path().join("secret")).unwrap();
        let store = SqlStore::sqlite(&SqliteOptions::new(&folder.path().join("s.sqlite"))).unwrap();
        let bench = Self {
            store: Arc::new(store),
            receiver: Receiver::start(script).await,
            clock: SettableClock::new(NOW),
            filter: Filter::default(),
            folder,
        };
        bench.store.open_webhook("alarms".into()).await.unwrap();
        bench
    }

    fn webhook(&self) -> Webhook {
        webhook(&self.receiver.url, self.folder.path(), self.filter.clone())
    }

    fn courier(&self) -> Courier {
        let sender = Sender::new(self.webhook()).unwrap();
        Courier::new(sender, Arc::clone(&self.store), Arc::new(self.clock.clone()))
    }

    /// A courier that lives until it is aborted: as a process that dies, it gives no lease back.
    fn run(&self, mut courier: Courier) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let pause = courier.round().await;
                tokio::time::sleep(pause).await;
            }
        })
    }

    /// The courier has died, and its lease has run out.
    async fn die(&self, courier: JoinHandle<()>) {
        courier.abort();
        let _aborted = courier.await.is_err();
        self.clock.set(self.clock.now().after(Duration::from_secs(60)));
    }

    async fn add(&self, kind: EventKind, count: usize) {
        for number in 0..count {
            let event = NewEvent::new(self.clock.now(), kind, format!("the {number}th"));
            let event = event.about(&DeviceId::new("SN-1").unwrap());
            self.store.add_event(event, Duration::ZERO).await.unwrap();
        }
    }

    async fn numbers(&self) -> Vec<u64> {
        let events = self.store.events(EventQuery::after(0, 100_000)).await.unwrap();
        let wanted = |event: &crate::store::Event| event.kind != EventKind::WebhookParked.name();
        events.into_iter().filter(wanted).map(|event| event.number).collect()
    }

    async fn standing(&self) -> Standing {
        Standing::read(self.store.as_ref(), &self.webhook()).await.unwrap().unwrap()
    }

    /// Waits until nothing waits any more.
    async fn done(&self) -> Standing {
        self.until("nothing waits", |standing| standing.lag.events == 0).await
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        for _ in 0..1_000 {
            let standing = self.standing().await;
            if wanted(&standing) {
                return standing;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain for: {what}; {:?}", self.standing().await)
    }

    /// Waits until so many requests came.
    async fn requests(&self, count: usize) {
        for _ in 0..1_000 {
            if self.receiver.received().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain for request {count}")
    }
}

#[tokio::test]
async fn every_event_arrives_in_order_whatever_the_receiver_does() {
    let misdeeds = [
        Behaviour::Drop,
        Behaviour::Status(500),
        OK,
        Behaviour::Later(429, "0"),
        Behaviour::Hang,
        OK,
        Behaviour::Status(404),
        Behaviour::Status(301),
        Behaviour::Later(503, "nonsense"),
    ];
    let bench = Bench::new(move |n, _| misdeeds[n % misdeeds.len()]).await;
    bench.add(EventKind::Issued, 6).await;
    let courier = bench.run(bench.courier());
    let standing = bench.done().await;
    courier.abort();
    assert_eq!(bench.receiver.taken(), bench.numbers().await);
    let received = bench.receiver.received();
    assert_eq!(standing.state.delivered, 6);
    assert_eq!(standing.state.failed, received.len() as u64 - 6);
    assert_eq!(standing.state.problem, None, "the last one went well");
    for one in &received {
        // The same event has the same identifier and the same body, however often it is sent.
        for other in &received {
            assert_eq!(one.id == other.id, one.number() == other.number());
            assert!(one.id != other.id || one.raw == other.raw);
        }
    }
}

/// The courier dies at its n-th request, which the receiver has read and not answered; the next one takes over.
/// Gives the events that never arrived.
async fn lost_at_crashes(moves_first: bool) -> Vec<u64> {
    let mut lost = vec![];
    for crash in 0..4 {
        let bench = Bench::new(move |n, _| if n == crash { Behaviour::Hang } else { OK }).await;
        bench.add(EventKind::Held, 4).await;
        let mut courier = bench.courier();
        courier.moves_first = moves_first;
        let courier = bench.run(courier);
        bench.requests(crash + 1).await;
        bench.die(courier).await;
        let courier = bench.run(bench.courier());
        bench.done().await;
        courier.abort();
        let taken = bench.receiver.taken();
        lost.extend(bench.numbers().await.into_iter().filter(|number| !taken.contains(number)));
    }
    lost
}

#[tokio::test]
async fn nothing_is_lost_when_the_courier_dies() {
    assert_eq!(lost_at_crashes(false).await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_cursor_that_moves_before_the_delivery_is_found() {
    assert_eq!(lost_at_crashes(true).await, [1, 2, 3, 4], "the harness finds the planted bug at every event");
}

#[tokio::test]
async fn an_event_that_the_receiver_refuses_for_good_is_parked_and_can_be_sent_again() {
    let poisoned = |_, body: &serde_json::Value| {
        if body["data"]["number"] == 2 { Behaviour::Status(422) } else { OK }
    };
    let bench = Bench::new(poisoned).await;
    bench.add(EventKind::Held, 3).await;
    let courier = bench.run(bench.courier());
    let standing = bench.done().await;
    assert_eq!(bench.receiver.taken(), [1, 3], "the others go on");
    assert_eq!((standing.state.delivered, standing.state.parked), (2, 1));
    let tries = bench.receiver.received().iter().filter(|received| received.number() == 2).count();
    assert_eq!(tries, TRIES as usize);
    let parked = bench.store.parked("alarms".into(), false, 10).await.unwrap();
    assert_eq!((parked[0].event.number, parked[0].problem.as_str()), (2, "status 422"));
    let query = EventQuery { kinds: vec![EventKind::WebhookParked], ..EventQuery::after(0, 10) };
    let said = bench.store.events(query).await.unwrap();
    assert_eq!((said.len(), said[0].reason.as_deref()), (1, Some("alarms")));

    // Not mended yet: it stays parked, after one try.
    assert_eq!(bench.store.replay("alarms".into(), Replay::Parked).await.unwrap(), Some(1));
    let failed = u64::from(TRIES) + 1;
    bench.until("it was sent again", |standing| standing.state.failed == failed).await;
    assert_eq!(bench.standing().await.state.parked, 1);
    assert_eq!(bench.store.parked("alarms".into(), true, 10).await.unwrap(), []);
    bench.receiver.change(|_, _| OK);
    assert_eq!(bench.store.replay("alarms".into(), Replay::Event(2)).await.unwrap(), Some(1));
    bench.until("it is parked no more", |standing| standing.state.parked == 0).await;
    courier.abort();
    assert_eq!(bench.receiver.taken(), [1, 3, 2]);
    assert!(
        bench.receiver.received().iter().all(|received| received.kind() == "held"),
        "no event about itself"
    );
    assert_eq!(bench.store.replay("alarms".into(), Replay::Event(2)).await.unwrap(), Some(0));
    assert_eq!(bench.store.replay("nobody".into(), Replay::Parked).await.unwrap(), None);
}

#[tokio::test]
async fn an_outage_takes_an_event_none_of_its_tries() {
    let tries = TRIES as usize;
    let outage = move |n| match n {
        n if n < tries => Behaviour::Drop,
        n if n < 2 * tries - 1 => Behaviour::Status(422),
        _ => OK,
    };
    let bench = Bench::new(move |n, _| outage(n)).await;
    bench.add(EventKind::Held, 1).await;
    let courier = bench.run(bench.courier());
    let standing = bench.done().await;
    courier.abort();
    assert_eq!((standing.state.delivered, standing.state.parked), (1, 0), "called bad 7 times");
    assert_eq!(bench.receiver.taken(), [1]);

    // Failures in between take nothing off the count either, and the next event has one of its own.
    let bench =
        Bench::new(|n, _| if n % 2 == 0 { Behaviour::Status(503) } else { Behaviour::Status(400) }).await;
    bench.add(EventKind::Held, 2).await;
    let courier = bench.run(bench.courier());
    bench.done().await;
    courier.abort();
    let received = bench.receiver.received();
    for number in [1, 2] {
        let bad = |one: &&Received| one.number() == number && one.behaviour == Behaviour::Status(400);
        assert_eq!(received.iter().filter(bad).count(), tries, "event {number}");
    }
}

#[tokio::test]
async fn an_event_that_was_sent_again_leaves_no_failures_behind() {
    let bench = Bench::new(|_, _| Behaviour::Status(422)).await;
    bench.add(EventKind::Held, 1).await;
    let courier = bench.run(bench.courier());
    bench.until("it is parked", |standing| standing.state.parked == 1).await;
    for (answer, parked) in [(Behaviour::Status(422), 1), (OK, 0)] {
        bench.receiver.change(|_, _| Behaviour::Status(500));
        assert_eq!(bench.store.replay("alarms".into(), Replay::Parked).await.unwrap(), Some(1));
        bench.until("the receiver is ill", |standing| standing.state.attempts > 0).await;
        bench.receiver.change(move |_, _| answer);
        bench.until("it has answered", |standing| standing.state.attempts == 0).await;
        let standing = bench.standing().await;
        assert_eq!((standing.state.parked, standing.state.next_attempt), (parked, None), "{answer:?}");
    }
    courier.abort();
}

#[tokio::test]
async fn a_status_is_an_answer_whatever_becomes_of_the_body_behind_it() {
    for taken in [Behaviour::Long(200), Behaviour::BreakOff(200), Behaviour::Dawdle(200)] {
        let bench = Bench::new(move |_, _| taken).await;
        bench.add(EventKind::Held, 2).await;
        let courier = bench.run(bench.courier());
        let standing = bench.until("two requests", |_| bench.receiver.received().len() >= 2).await;
        assert_eq!(standing.state.failed, 0, "{taken:?}: {:?}", standing.state.problem);
        bench.done().await;
        courier.abort();
        let numbers: Vec<u64> = bench.receiver.received().iter().map(|received| received.number()).collect();
        assert_eq!(numbers, [1, 2], "{taken:?}: each once");
    }
    for refused in [Behaviour::Long(422), Behaviour::BreakOff(422)] {
        let bench = Bench::new(move |_, body| if body["data"]["number"] == 1 { refused } else { OK }).await;
        bench.add(EventKind::Held, 2).await;
        let courier = bench.run(bench.courier());
        let standing = bench.done().await;
        courier.abort();
        assert_eq!((standing.state.delivered, standing.state.parked), (1, 1), "{refused:?}");
        let problem = &bench.store.parked("alarms".into(), false, 10).await.unwrap()[0].problem;
        assert_eq!(problem, "status 422", "{refused:?}");
    }
}

#[tokio::test]
async fn one_delivers_at_a_time_and_another_takes_over() {
    let bench = Bench::new(|_, _| OK).await;
    bench.add(EventKind::Held, 5).await;
    let (first, second) = (bench.run(bench.courier()), bench.run(bench.courier()));
    bench.done().await;
    bench.add(EventKind::Held, 5).await;
    bench.done().await;
    let numbers: Vec<u64> = bench.receiver.received().iter().map(|received| received.number()).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "each once, in order");
    first.abort();
    second.abort();
    // A third one has to wait for the lease of the dead.
    let third = bench.run(bench.courier());
    bench.add(EventKind::Held, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.receiver.received().len(), 10);
    bench.clock.set(NOW.after(Duration::from_secs(60)));
    bench.done().await;
    third.abort();
    assert_eq!(bench.receiver.received().len(), 11);
}

#[tokio::test]
async fn a_lease_of_a_clock_that_was_ahead_does_not_last() {
    let bench = Bench::new(|_, _| OK).await;
    bench.clock.set(NOW.after(Duration::from_secs(10 * 365 * 86_400)));
    let dead = bench.run(bench.courier());
    bench.add(EventKind::Held, 1).await;
    bench.done().await;
    dead.abort();
    bench.clock.set(NOW);
    let courier = bench.run(bench.courier());
    bench.add(EventKind::Held, 1).await;
    bench.done().await;
    courier.abort();
    assert_eq!(bench.receiver.taken(), [1, 2]);
}

#[tokio::test]
async fn a_filter_passes_what_it_names_and_the_cursor_does_not_stay_behind() {
    let mut bench = Bench::new(|_, _| OK).await;
    let kinds = vec![EventKind::Rollback, EventKind::Issued];
    bench.filter = Filter { kinds, severity: Some(Severity::Warning) };
    let courier = bench.run(bench.courier());
    bench.add(EventKind::Issued, 1_100).await;
    bench.add(EventKind::Held, 10).await;
    bench.add(EventKind::Rollback, 2).await;
    bench.add(EventKind::Issued, 1_100).await;
    bench.done().await;
    bench.until("the cursor moves on", |standing| standing.state.cursor > 1_112).await;
    courier.abort();
    assert_eq!(bench.receiver.taken(), [1_111, 1_112]);
    assert_eq!(bench.standing().await.state.delivered, 2);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let bench = Bench::new(|n, _| if n == 0 { Behaviour::Later(503, "1") } else { OK }).await;
    bench.add(EventKind::Held, 1).await;
    let courier = bench.run(bench.courier());
    bench.done().await;
    courier.abort();
    let received = bench.receiver.received();
    assert!(received[1].at - received[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_was_delivered_can_be_sent_again_and_a_new_webhook_begins_with_what_comes() {
    let bench = Bench::new(|_, _| OK).await;
    bench.add(EventKind::Held, 3).await;
    // What waits is not left out by a number that was too high.
    assert_eq!(bench.store.replay("alarms".into(), Replay::From(30)).await.unwrap(), Some(3));
    let courier = bench.run(bench.courier());
    bench.add(EventKind::Approved, 1).await;
    bench.done().await;
    assert_eq!(bench.receiver.taken(), [1, 2, 3, 4]);
    // While a courier has the lease.
    assert_eq!(bench.store.replay("alarms".into(), Replay::From(1)).await.unwrap(), Some(4));
    bench.done().await;
    courier.abort();
    let numbers: Vec<u64> = bench.receiver.received().iter().map(|received| received.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 1, 2, 3, 4]);
    bench.store.open_webhook("alarms".into()).await.unwrap();
    assert_eq!(bench.standing().await.state.cursor, 4, "opening again changes nothing");
    bench.store.open_webhook("other".into()).await.unwrap();
    assert_eq!(bench.store.webhook("other".into()).await.unwrap().unwrap().cursor, 4);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_means_again_and_not_lost() {
    let bench = Bench::new(|_, _| OK).await;
    bench.add(EventKind::Held, 2).await;
    let mut courier = bench.courier();
    // The lease is there before the store is locked.
    courier.round().await;
    assert_eq!(bench.receiver.taken(), [1, 2]);
    bench.add(EventKind::Held, 1).await;
    let holder = rusqlite::Connection::open(bench.folder.path().join("s.sqlite")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let pause = courier.round().await;
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
    assert_eq!(bench.receiver.taken(), [1, 2, 3], "it arrived");
    assert_eq!(bench.standing().await.state.cursor, 2, "and that could not be written down");
    holder.execute_batch("ROLLBACK").unwrap();
    courier.round().await;
    let received = bench.receiver.received();
    assert_eq!(received.len(), 4);
    assert_eq!(received[2].id, received[3].id, "the receiver can tell");
    assert_eq!(bench.standing().await.state.cursor, 3);
}
