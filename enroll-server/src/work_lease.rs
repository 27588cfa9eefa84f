//! The lease by which one of several replicas does a work.

use core::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::issuance::chain;
use crate::random;
use crate::store::{Lease, Store, StoreError};

/// One who asks for the lease of a work, and makes it longer while it works.
#[derive(Debug)]
pub(crate) struct WorkLease {
    work: &'static str,
    owner: String,
    /// When the lease was last taken.
    taken: Option<Instant>,
}

/// How long a lease lasts, and how soon it is made longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) lasts: Duration,
    pub(crate) renewed_after: Duration,
}

impl WorkLease {
    /// Of `work`, under a name of its own. Two that share a name, for want of randomness, both work: what a lease keeps
    /// apart has to bear being done twice.
    pub(crate) fn new(work: &'static str) -> Self {
        Self { work, owner: random::name(), taken: None }
    }

    /// Whether the work is this one's to do.
    ///
    /// # Errors
    /// Where the store fails; the next call asks again.
    pub(crate) async fn keep(
        &mut self,
        term: Term,
        store: &dyn Store,
        clock: &dyn Clock,
    ) -> Result<bool, StoreError> {
        if self.taken.is_some_and(|at| at.elapsed() < term.renewed_after) {
            return Ok(true);
        }
        let now = clock.now();
        let lease = Lease { owner: self.owner.clone(), until: now.after(term.lasts) };
        let held = store.lease_work(self.work, lease, now).await?;
        self.taken = held.then(Instant::now);
        Ok(held)
    }

    /// Lets another one work at once.
    pub(crate) async fn give_back(self, store: &dyn Store) {
        if self.taken.is_some()
            && let Err(error) = store.release_work(self.work, self.owner).await
        {
            tracing::debug!(error = chain(&error), "the lease was not given back; it runs out");
        }
    }
}
