//! Keeps the exported files in line with the identity and the trust in force, as often as it takes.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::platform::Slot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::known::Known;
use crate::export::{Exporter, Identity};
use crate::hook::{Change, Hooks};
use crate::keystore::{FileKey, KEY_RECORD_LENGTH, key_record};
use crate::storage::FileStorage;

/// How long after a failure the files are tried again; twice as long each time.
const FIRST: Duration = Duration::from_secs(5);
/// The longest of these waits.
const MOST: Duration = Duration::from_secs(600);

/// What is exported, and where.
#[derive(Debug)]
pub(super) struct Exports {
    inner: Arc<Mutex<Inner>>,
    hooks: Hooks,
    again: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    /// Only read, for the key.
    storage: FileStorage,
    exporter: Option<Exporter>,
    known: Known,
}

/// What became of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The files say what is known, or there is nothing to say.
    Unchanged,
    /// They say it now.
    Changed,
    /// They are the old ones.
    Failed,
}

impl Exports {
    pub(super) fn new(storage: FileStorage, exporter: Option<Exporter>, hooks: Hooks) -> Self {
        let inner = Inner { storage, exporter, known: Known::NOTHING };
        Self { inner: Arc::new(Mutex::new(inner)), hooks, again: None }
    }

    /// Reads from the records what is in force, and exports it.
    pub(super) async fn catch_up(&mut self, provisioned_trust: &[u8]) {
        let mut storage = lock(&self.inner).storage.clone();
        let known = Known::read(&mut storage, provisioned_trust).await;
        lock(&self.inner).known = known;
        if self.export() == Outcome::Changed {
            self.hooks.changed(Change::Renewed);
        }
    }

    /// Another identity may be in use. The hook is run where it is.
    pub(super) fn identity(&mut self, identity: (Slot, Vec<Vec<u8>>), change: Change) {
        let identity = Some(identity);
        let same = core::mem::replace(&mut lock(&self.inner).known.identity, identity.clone()) == identity;
        if !same {
            self.export();
            self.hooks.changed(change);
        }
    }

    /// Other trust anchors are in force.
    pub(super) fn anchors(&mut self, anchors: Vec<Vec<u8>>) {
        lock(&self.inner).known.anchors = anchors;
        self.export();
        self.hooks.changed(Change::TrustChanged);
    }

    /// Exports what is known. Where that fails it is tried again in the background, and the hook is run when it is done: the
    /// certificate in the old files is replaced, and revoked before long.
    fn export(&mut self) -> Outcome {
        let outcome = lock(&self.inner).export();
        if let Some(task) = self.again.take() {
            task.abort();
        }
        if outcome == Outcome::Failed {
            self.again = Some(tokio::spawn(again(Arc::clone(&self.inner), self.hooks.clone())));
        }
        outcome
    }
}

impl Drop for Exports {
    /// The worker of the hooks waits for all who could call it.
    fn drop(&mut self) {
        if let Some(task) = &self.again {
            task.abort();
        }
    }
}

async fn again(exports: Arc<Mutex<Inner>>, hooks: Hooks) {
    let mut wait = FIRST;
    loop {
        tokio::time::sleep(wait).await;
        match lock(&exports).export() {
            Outcome::Changed => return hooks.changed(Change::Renewed),
            Outcome::Unchanged => return,
            Outcome::Failed => wait = (wait * 2).min(MOST),
        }
    }
}

impl Inner {
    fn export(&mut self) -> Outcome {
        let (Some(exporter), Some((slot, chain))) = (&self.exporter, &self.known.identity) else {
            return Outcome::Unchanged;
        };
        if self.known.anchors.is_empty() {
            return Outcome::Unchanged;
        }
        let Some(key) = read_key(&mut self.storage, *slot) else {
            tracing::error!("the key of the identity in use could not be read for the export");
            return Outcome::Failed;
        };
        match exporter.put(&Identity { key: &key, chain, anchors: &self.known.anchors }) {
            Ok(false) => Outcome::Unchanged,
            Ok(true) => {
                tracing::info!(directory = %exporter.directory().display(), "files exported");
                Outcome::Changed
            }
            Err(error) => {
                let cause = core::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "the export failed and is tried again; other programs have the old files");
                Outcome::Failed
            }
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a slot in PEM.
fn read_key(storage: &mut FileStorage, slot: Slot) -> Option<Zeroizing<String>> {
    let mut record = Zeroizing::new([0; KEY_RECORD_LENGTH]);
    let length = storage.read(key_record(slot), record.as_mut_slice()).ok()??;
    FileKey::from_record(record.get(..length)?).ok()?.private_key_pem().ok()
}
