//! Keeps the log: makes tiles of the leaves that wait, and signs a checkpoint over them.
//!
//! The order of the steps holds the log together. Tiles are durable before the checkpoint over them is signed; the
//! checkpoint is durable in the store before it is published; so the published one is never ahead of the store's, and a
//! database from a backup gives itself away. After a crash between any two steps the next round does the same again.
//! Nothing is signed before the tiles have been found to be those of the last checkpoint; tiles that are missing are written again
//! first.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use transparency::{Checkpoint, Edge, Tile, TileTree, root};

use super::behind::known;
use super::divergence::{Divergence, KeepError, Status};
use super::folder::Folder;
use super::key::LogKey;
use super::published::{publish, published};
use super::rewriting::Rewriting;
use super::tile_check::{Hashes, Place, look_through};
use crate::audit::EventKind;
use crate::clock::Clock;
use crate::failpoint::{Failpoint, Hook};
use crate::issuance::{chain, signing};
use crate::serve::stopped;
use crate::store::{LogHead, NewEvent, Store, StoreError};
use crate::work_lease::{Term, WorkLease};

/// Most leaves of one checkpoint: sixteen bundles.
const BATCH: u32 = 4_096;
/// The name of the lease by which one of several replicas keeps the log.
const LEASE: &str = "log";
const TERM: Term = Term { lasts: Duration::from_secs(15), renewed_after: Duration::from_millis(3_750) };
/// Pause after a round that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps one log.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<dyn Store>,
    folder: Arc<Folder>,
    key: Arc<LogKey>,
    clock: Arc<dyn Clock>,
    hook: Hook,
    interval: Duration,
    status: watch::Sender<Status>,
    /// The edge that was found to be that of the last checkpoint.
    edge: Option<Edge>,
    /// How far the full tiles were looked through since the start.
    looked: LookedThrough,
    /// Tiles that are being written again.
    rewriting: Option<Rewriting>,
    /// Tiles that are missing cannot be made again: not tried twice.
    gave_up: bool,
    lease: WorkLease,
}

/// How far the tiles were looked through, which is done beside the rounds: how long it takes grows with the log, and
/// neither the start nor a leaf that waits should wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookedThrough {
    /// All before this place were.
    UpTo(Place),
    /// One of them is broken: nothing is signed before all of them are found in order.
    Broken,
    /// All were; what came since was written by this process.
    All,
}

impl Keeper {
    /// Keeps the log in `folder`, looking for leaves that wait every `interval`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        folder: Arc<Folder>,
        key: Arc<LogKey>,
        clock: Arc<dyn Clock>,
        interval: Duration,
        hook: Hook,
    ) -> Self {
        let (status, _) = watch::channel(Status::Unknown);
        Self {
            store,
            folder,
            key,
            clock,
            hook,
            interval,
            status,
            edge: None,
            looked: LookedThrough::UpTo(Place::default()),
            rewriting: None,
            gave_up: false,
            lease: WorkLease::new(LEASE),
        }
    }

    /// How the log stands, now and at every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Keeps the log until `stop`, or looks after it at once when it is `nudged`; what waits at the end is logged. Looks
    /// through its tiles first, in portions.
    pub async fn run(mut self, nudged: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        let mut rewrites = self.rewriting.is_some();
        loop {
            let looks_through =
                self.rewriting.is_none() && self.look_through_more().await.is_ok_and(|more| more);
            let pause = match self.status.borrow().check() {
                Ok(()) if looks_through => Duration::ZERO,
                Ok(()) => self.interval,
                Err(_) if rewrites => Duration::ZERO,
                Err(_) => RETRY.max(self.interval),
            };
            let ending = tokio::select! {
                () = stopped(&mut stop) => true,
                () = nudged.notified() => false,
                () = tokio::time::sleep(pause) => false,
            };
            rewrites = self.rounds().await;
            if ending {
                return self.lease.give_back(self.store.as_ref()).await;
            }
        }
    }

    /// Rounds until nothing waits. Tells whether tiles are being written again, and the next of them are not to wait.
    async fn rounds(&mut self) -> bool {
        loop {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => return matches!(error, KeepError::Rewriting),
            }
        }
    }

    /// Logs what waits, one checkpoint's worth of it. Tells whether more waits.
    ///
    /// # Errors
    /// Says what failed; the log is as it was, or as it would be after the next round.
    pub async fn round(&mut self) -> Result<bool, KeepError> {
        let done = self.attempt().await;
        match &done {
            Ok((size, _)) => {
                let status = Status::Good { size: *size };
                self.status.send_if_modified(|found| core::mem::replace(found, status.clone()) != status);
            }
            Err(error) => self.failed(error).await,
        }
        done.map(|(_, more)| more)
    }

    /// Compares the next full tiles of hashes with the tiles above them. Tells whether there are more.
    ///
    /// # Errors
    /// Where one differs: no checkpoint is signed until all are found in order.
    pub async fn look_through_more(&mut self) -> Result<bool, KeepError> {
        let LookedThrough::UpTo(place) = self.looked else { return Ok(false) };
        let looked = self.look_through(place).await;
        match &looked {
            Ok(Some(place)) => self.looked = LookedThrough::UpTo(*place),
            Ok(None) => self.looked = LookedThrough::All,
            Err(error) => {
                if matches!(error, KeepError::Diverged(_)) {
                    self.looked = LookedThrough::Broken;
                }
                self.failed(error).await;
            }
        }
        looked.map(|place| place.is_some())
    }

    async fn look_through(&self, place: Place) -> Result<Option<Place>, KeepError> {
        let size = self.store.log_head().await?.size;
        let folder = Arc::clone(&self.folder);
        let looked = tokio::task::spawn_blocking(move || look_through(&folder, size, place));
        looked.await.map_err(|_| KeepError::Gone)?
    }

    async fn failed(&mut self, error: &KeepError) {
        self.edge = None;
        if let KeepError::Diverged(Divergence::OlderDatabase { published, .. }) = error
            && let Err(error) =
                signing::stop_for_older(self.store.as_ref(), Some(*published), self.clock.now()).await
        {
            tracing::error!(error = chain(&error), "signing could not be stopped");
        }
        let text = chain(error);
        let diverged = matches!(error, KeepError::Diverged(_));
        let status = if diverged { Status::Diverged(text.clone()) } else { Status::Failing(text.clone()) };
        let is_new =
            self.status.send_if_modified(|found| core::mem::replace(found, status.clone()) != status);
        if !is_new {
            return;
        }
        tracing::error!(error = text, "the log got no checkpoint");
        if diverged {
            let event = NewEvent::new(self.clock.now(), EventKind::LogDiverged, text);
            if let Err(error) = self.store.add_event(event, Duration::ZERO).await {
                tracing::error!(
                    error = chain(&error),
                    "that the log diverged could not be written to the audit trail"
                );
            }
        }
    }

    /// The size of the checkpoint that is out afterwards, and whether more waits.
    async fn attempt(&mut self) -> Result<(u64, bool), KeepError> {
        let kept_here = !self.store.is_shared()
            || self.lease.keep(TERM, self.store.as_ref(), self.clock.as_ref()).await?;
        let mut head = self.store.log_head().await?;
        if !kept_here {
            // What is in the files is another replica's doing, and it looks at them.
            (self.edge, self.rewriting) = (None, None);
            return Ok((head.size, false));
        }
        if head.leaves < head.size {
            return Err(Divergence::LeavesGone { leaves: head.leaves, logged: head.size }.into());
        }
        // The checkpoint first: whoever has advanced the log in between, the database is ahead of what was read. It is
        // looked at where nothing waits too: a process that was frozen may have put an older one out.
        let (edge, published) = (self.edge.take(), self.published().await?);
        let out = published.as_ref().map(|published| (published.size, published.root));
        let edge = match edge {
            Some(edge) if edge.size() == head.size && out == Some((edge.size(), edge.root())) => edge,
            _ => {
                head = self.store.log_head().await?;
                self.open_whole(&head, published).await?
            }
        };
        // An older database was put in place: until an operator has decided, the newer one can be put back as it was.
        let is_decided = signing::stopped(self.store.as_ref()).await?.is_none();
        let leaves = if head.leaves > head.size && is_decided {
            self.store.waiting_leaves(head.size, BATCH).await?
        } else {
            Vec::new()
        };
        if leaves.is_empty() && head.note.is_some() {
            let size = edge.size();
            self.edge = Some(edge);
            return Ok((size, false));
        }
        let (edge, full) = self.write_tiles(edge, leaves).await?;
        let size = edge.size();
        self.hook.at(Failpoint::LogTiles(size));
        let origin = self.key.verifier().name().to_owned();
        let note = Checkpoint { origin, size, root: edge.root() }.sign(self.key.signer());
        if !self.store.advance_log(head.size, size, note.clone()).await? {
            // Another process was faster; its leaves are the same.
            return Ok((head.size, true));
        }
        self.hook.at(Failpoint::LogSigned(size));
        let (folder, key) = (Arc::clone(&self.folder), Arc::clone(&self.key));
        let done = tokio::task::spawn_blocking(move || {
            publish(&folder, &key, &note, size)?;
            for tile in full {
                folder.drop_partial(tile);
            }
            Ok::<_, KeepError>(())
        });
        done.await.map_err(|_| KeepError::Gone)??;
        self.hook.at(Failpoint::LogPublished(size));
        self.edge = Some(edge);
        Ok((size, size < head.leaves))
    }

    /// Adds leaves and writes the tiles that changed. Gives those that became full.
    async fn write_tiles(
        &self,
        mut edge: Edge,
        leaves: Vec<Vec<u8>>,
    ) -> Result<(Edge, Vec<Tile>), KeepError> {
        let (folder, key) = (Arc::clone(&self.folder), Arc::clone(&self.key));
        let written = tokio::task::spawn_blocking(move || {
            let signed = edge.size();
            // Who was frozen meanwhile does not know what another one has signed.
            let is_newest = published(&folder, &key)?.is_none_or(|published| published.size <= signed);
            let write = |tile: Tile, bytes: &[u8]| {
                let is_signed = Tile::of_tree(tile.kind(), tile.index(), signed) == Some(tile);
                // A log from a backup or a mirror may have more tiles than its checkpoint, of leaves that nobody knows any more.
                if is_newest && !is_signed {
                    folder.write_over(tile, bytes)
                } else {
                    folder.write(tile, bytes)
                }
            };
            let mut full = Vec::new();
            for leaf in leaves {
                for (tile, bytes) in edge.push(leaf).map_err(KeepError::Leaf)? {
                    write(tile, &bytes)?;
                    full.push(tile);
                }
            }
            for (tile, bytes) in edge.partial() {
                write(tile, &bytes)?;
            }
            Ok((edge, full))
        });
        written.await.map_err(|_| KeepError::Gone)?
    }

    /// The checkpoint that is out.
    async fn published(&self) -> Result<Option<Checkpoint>, KeepError> {
        let (folder, key) = (Arc::clone(&self.folder), Arc::clone(&self.key));
        let found = tokio::task::spawn_blocking(move || published(&folder, &key));
        found.await.map_err(|_| KeepError::Gone)?
    }

    /// As [`open`](Self::open). Tiles that are missing are written again first, some of them in each round.
    async fn open_whole(&mut self, head: &LogHead, published: Option<Checkpoint>) -> Result<Edge, KeepError> {
        if self.rewriting.is_none() {
            match self.open(head, published.clone()).await {
                Err(error) if error.is_missing_tile() && !self.gave_up => {
                    self.begin_rewriting(error, head, published.clone()).await?;
                }
                opened => return opened,
            }
        }
        let is_whole = self.rewrite().await?;
        let opened = self.open(head, published).await;
        self.gave_up = is_whole && opened.as_ref().is_err_and(KeepError::is_missing_tile);
        opened
    }

    async fn begin_rewriting(
        &mut self,
        why: KeepError,
        head: &LogHead,
        published: Option<Checkpoint>,
    ) -> Result<(), KeepError> {
        let (folder, key, opened) = (Arc::clone(&self.folder), Arc::clone(&self.key), head.clone());
        let begun =
            tokio::task::spawn_blocking(move || Rewriting::begin(&folder, &key, &opened, published.as_ref()));
        let Some(rewriting) = begun.await.map_err(|_| KeepError::Gone)?? else { return Err(why) };
        let text = format!("{}; {}", chain(&why), KeepError::Rewriting);
        tracing::warn!(from = rewriting.next(), to = rewriting.size(), "{text}");
        self.store
            .add_event(NewEvent::new(self.clock.now(), EventKind::LogDiverged, text), Duration::ZERO)
            .await?;
        self.rewriting = Some(rewriting);
        Ok(())
    }

    /// Writes some of the missing tiles. Tells whether the whole log was written.
    ///
    /// # Errors
    /// [`KeepError::Rewriting`] as long as there are more.
    async fn rewrite(&mut self) -> Result<bool, KeepError> {
        let Some(mut rewriting) = self.rewriting.take() else { return Ok(false) };
        let size = rewriting.size();
        let leaves = match self.store.waiting_leaves(rewriting.next(), BATCH).await {
            Ok(leaves) => leaves,
            Err(StoreError::Damaged { .. }) => {
                self.gave_up = true;
                return Err(Divergence::NotMadeAgain { size }.into());
            }
            Err(error) => {
                self.rewriting = Some(rewriting);
                return Err(error.into());
            }
        };
        let folder = Arc::clone(&self.folder);
        let taken = tokio::task::spawn_blocking(move || {
            let taken = rewriting.take(&folder, leaves);
            (rewriting, taken)
        });
        let (rewriting, taken) = taken.await.map_err(|_| KeepError::Gone)?;
        match taken {
            Ok(true) => {
                tracing::info!(size, "tiles that were missing are written again");
                Ok(rewriting.is_whole())
            }
            Ok(false) => {
                self.rewriting = Some(rewriting);
                Err(KeepError::Rewriting)
            }
            Err(error) => {
                self.gave_up = matches!(error, KeepError::Diverged(_));
                self.rewriting = Some(rewriting).filter(|_| !self.gave_up);
                Err(error)
            }
        }
    }

    /// Finds out whether the files and the database belong together, and reads the edge. What a crash left undone
    /// after the signature is done.
    async fn open(&mut self, head: &LogHead, published: Option<Checkpoint>) -> Result<Edge, KeepError> {
        let (folder, key, opened) = (Arc::clone(&self.folder), Arc::clone(&self.key), head.clone());
        let opened = tokio::task::spawn_blocking(move || open(&folder, &key, &opened, published.as_ref()));
        let edge = opened.await.map_err(|_| KeepError::Gone)??;
        if self.looked == LookedThrough::Broken {
            let mut place = Place::default();
            while let Some(next) = self.look_through(place).await? {
                place = next;
            }
            self.looked = LookedThrough::All;
        }
        Ok(edge)
    }
}

fn open(
    folder: &Folder,
    key: &LogKey,
    head: &LogHead,
    published: Option<&Checkpoint>,
) -> Result<Edge, KeepError> {
    if let Some(published) = published.filter(|published| published.size > head.size) {
        return Err(Divergence::OlderDatabase { published: published.size, known: head.size }.into());
    }
    let (edge, stored) = known(folder, key, head)?;
    if let (Some(note), Some(stored)) = (&head.note, stored) {
        let before = published.map(|published| (published.size, published.root));
        if before != Some((stored.size, stored.root)) {
            if let Some((size, before)) = before
                && root(&TileTree::new(&Hashes(folder), size), size)? != before
            {
                return Err(Divergence::OtherHistory { size }.into());
            }
            publish(folder, key, note, head.size)?;
        }
    }
    Ok(edge)
}
