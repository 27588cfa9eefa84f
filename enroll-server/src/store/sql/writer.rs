//! One thread writes. It takes what is queued, puts it into one transaction, and answers all of it after the one
//! commit: with `synchronous=FULL` the commit is what costs.
//!
//! Changes seldom fail, so a group is run without savepoints, which would copy each page that a change touches. Where one
//! fails after all, the group is rolled back and run once more, each change in a savepoint of its own.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::store::StoreError;
use crate::store::database::{Connection, Intent};

/// Most changes in one transaction.
const GROUP: usize = 128;
/// Most changes that wait; beyond that callers are told to come back later.
pub(super) const QUEUE: usize = 1024;
/// From one commit to the next while there is much to write. A change that is alone waits for nothing.
const PACE: Duration = Duration::from_millis(8);

/// The writing end of a store.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work(&connection, jobs, &counter))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), commits })
    }

    /// Runs `change` in the next transaction; what it gives back arrives after the commit. It may be run twice, the first
    /// time for nothing.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = Task { change, result: Err(StoreError::Closed), reply };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        queue.ok_or(StoreError::Closed)?.try_send(Box::new(task)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Number of commits until now.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Number of changes that wait.
    pub(super) fn waiting(&self) -> usize {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, |queue| QUEUE.saturating_sub(queue.capacity()))
    }

    /// Takes no more, finishes what is queued; the connection is closed when the thread has ended.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One change and whom to answer.
trait Job: Send {
    /// Runs the change; `Err` where nothing of it may stand.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Answers, with the change's own result where the group was committed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<F, T> {
    change: F,
    result: Result<T, StoreError>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Task<F, T>
where
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        // What was sent without waiting counts too.
        self.result = (self.change)(connection).and_then(|result| connection.settle().map(|()| result));
        self.result.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // Whoever asked may have gone; the change stands all the same, and a repetition finds it.
        let _gone = self.reply.send(committed.and(self.result)).is_err();
    }
}

fn work(connection: &Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>, commits: &AtomicU64) {
    let mut busy_until = None;
    while let Some(first) = connection.receive(&mut jobs) {
        // What comes meanwhile goes into the same commit.
        if let Some(until) = busy_until {
            pause(until);
        }
        let begun = Instant::now();
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        busy_until = (group.len() > 1).then(|| begun + PACE);
        let committed = commit(connection, &mut group);
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        for job in group {
            job.answer(committed.clone());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread is the writer's own, and waits for the time itself"
)]
fn pause(until: Instant) {
    thread::sleep(until.saturating_duration_since(Instant::now()));
}

/// Runs a group in one transaction. After an error nothing of it stands and the connection is idle; only where the
/// commit itself failed it may stand all the same.
fn commit(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let done =
        together(connection, group).and_then(|all| if all { Ok(()) } else { apart(connection, group) });
    if done.is_err() {
        connection.roll_back();
    }
    done
}

/// All changes, or none: `false`, where one of several failed.
fn together(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
    let alone = group.len() == 1;
    connection.begin(Intent::Write)?;
    for job in group {
        if let Err(error) = job.run(connection) {
            // A full disk or an I/O error makes SQLite roll back everything; so does the end of a connection.
            if connection.is_idle() {
                return Err(error);
            }
            connection.roll_back();
            return Ok(alone);
        }
    }
    connection.commit().map(|()| true)
}

/// Each change by itself, in one transaction.
fn apart(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    connection.begin(Intent::Write)?;
    for job in group {
        connection.begin_change()?;
        match job.run(connection) {
            Ok(()) => connection.end_change()?,
            // As above: earlier changes of the group are gone too.
            Err(error) if connection.is_idle() => return Err(error),
            Err(_) => connection.undo_change()?,
        }
    }
    connection.commit()
}
