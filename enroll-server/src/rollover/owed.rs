//! The hooks that are owed: what they tell of has changed, and they have not done their work since.
//!
//! They run one after the other beside the follower, which waits for none. What is owed is in no file: a server that starts
//! owes every hook of `[[tls_files]]` once, and the list that a start makes runs that of the lists.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::hook;
use crate::issuance::chain;
use crate::serve::stopped;

/// What is owed to whom.
#[derive(Debug)]
pub(super) struct Owed {
    config: Arc<Config>,
    /// From when on each hook is to be run: that of the lists, then those of `[[tls_files]]` in their order.
    due: Mutex<Vec<Option<Instant>>>,
    wake: Notify,
}

impl Owed {
    /// What a server owes that starts: a hook may have failed before it ended, or it died before one.
    pub(super) fn at_start(config: Arc<Config>) -> Self {
        let due =
            core::iter::once(None).chain(config.tls_files.iter().map(|_| Some(Instant::now()))).collect();
        Self { config, due: Mutex::new(due), wake: Notify::new() }
    }

    /// The certificate of `[[tls_files]]` with this name is another one. A name that has no hook is owed none.
    pub(super) fn owe(&self, name: &str) {
        if let Some(index) = self.config.tls_files.iter().position(|file| file.name == name) {
            self.set(index + 1, Some(Instant::now()));
        }
    }

    /// The CAs for brokers are others: every broker has to read them.
    pub(super) fn owe_all(&self) {
        self.with(|due| due.fill(Some(Instant::now())));
    }

    /// Has what is due run, beside the caller.
    pub(super) fn settle(&self) {
        self.wake.notify_one();
    }

    /// Runs hooks, until `stop`.
    pub(super) async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = self.wake.notified() => {}
            }
            self.pay(&stop).await;
        }
    }

    /// Runs every hook that is due.
    async fn pay(&self, stop: &watch::Receiver<bool>) {
        for index in 0..=self.config.tls_files.len() {
            if *stop.borrow() {
                return;
            }
            if self.is_due(index) {
                // Before it runs: what changes while it runs, it may not have seen.
                self.set(index, None);
                if !self.run_hook(index).await {
                    let again = Instant::now() + hook::AGAIN;
                    self.with(|due| due.get_mut(index).map(|due| *due.get_or_insert(again)));
                }
            }
        }
    }

    /// Runs a hook; says whether it has done its work, as one does that is not there.
    async fn run_hook(&self, index: usize) -> bool {
        let file = index.checked_sub(1).and_then(|index| self.config.tls_files.get(index));
        let (name, command) = match file {
            Some(file) => (file.name.as_str(), hook::silent(&file.hook)),
            None => ("crl", hook::of_lists(&self.config.crl)),
        };
        let Some(command) = command else { return true };
        let done = hook::run(command, hook::LIMIT).await;
        if let Err(error) = &done {
            let again = hook::AGAIN.as_secs();
            tracing::warn!(name, again, error = chain(error), "a hook did not do its work, and is run again");
        }
        done.is_ok()
    }

    fn is_due(&self, index: usize) -> bool {
        let now = Instant::now();
        self.with(|due| due.get(index).copied().flatten().is_some_and(|at| at <= now))
    }

    fn set(&self, index: usize, when: Option<Instant>) {
        self.with(|due| {
            if let Some(due) = due.get_mut(index) {
                *due = when;
            }
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Option<Instant>>) -> T) -> T {
        look(&mut self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs what is due now.
    #[cfg(test)]
    pub(super) async fn pay_now(&self) {
        let (_running, stop) = watch::channel(false);
        self.pay(&stop).await;
    }

    /// As if the minute after a failure were over.
    #[cfg(test)]
    pub(super) fn minute_later(&self) {
        self.with(|due| due.iter_mut().flatten().for_each(|at| *at = Instant::now()));
    }
}
