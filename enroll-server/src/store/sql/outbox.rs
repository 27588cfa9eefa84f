//! The store as webhooks see it.

use shared::UnixTime;

use super::{SqlStore, webhooks};
use crate::store::{
    CursorStep, EventQuery, Failure, Lag, Lease, Outbox, Parked, Parking, Pending, Replay, Reply,
    WebhookState,
};

impl Outbox for SqlStore {
    fn open_webhook(&self, name: String) -> Reply<'_, ()> {
        self.write(move |c| webhooks::open(c, &name))
    }

    fn webhook(&self, name: String) -> Reply<'_, Option<WebhookState>> {
        self.read(move |c| webhooks::state(c, &name))
    }

    fn lease(&self, name: String, lease: Lease, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| webhooks::lease(c, &name, &lease, now))
    }

    fn release(&self, name: String, owner: String) -> Reply<'_, ()> {
        self.write(move |c| webhooks::release(c, &name, &owner))
    }

    fn pending(&self, query: EventQuery) -> Reply<'_, Pending> {
        self.read(move |c| webhooks::pending(c, &query))
    }

    fn lag(&self, query: EventQuery) -> Reply<'_, Lag> {
        self.read(move |c| webhooks::lag(c, &query))
    }

    fn advance(&self, step: CursorStep, delivered: bool, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| webhooks::advance(c, &step, delivered, now))
    }

    fn failed(&self, step: CursorStep, failure: Failure) -> Reply<'_, bool> {
        self.write(move |c| webhooks::failed(c, &step, &failure))
    }

    fn park(&self, step: CursorStep, failure: Failure) -> Reply<'_, Parking> {
        self.write(move |c| webhooks::park(c, &step, &failure))
    }

    fn parked(&self, name: String, again: bool, limit: u32) -> Reply<'_, Vec<Parked>> {
        self.read(move |c| webhooks::parked(c, &name, again, limit))
    }

    fn sent_again(&self, name: String, event: u64, problem: Option<String>, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| webhooks::sent_again(c, &name, event, problem.as_deref(), now))
    }

    fn replay(&self, name: String, what: Replay) -> Reply<'_, Option<u64>> {
        self.write(move |c| webhooks::replay(c, &name, what))
    }
}
