//! One thread writes. It takes what is queued, puts it into one transaction, each change in a savepoint of its
//! own, and answers all of them after the one commit: with `synchronous=FULL` the sync is what costs.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;
use crate::store::database::{Connection, Intent};

/// Most changes in one transaction.
const GROUP: usize = 128;
/// Most changes that wait; beyond that callers are told to come back later.
const QUEUE: usize = 1024;

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
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work(&connection, jobs, &counter))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), commits })
    }

    /// Runs `change` in the next transaction; what it gives back arrives after the commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = Task { change: Some(change), result: Err(StoreError::Closed), reply };
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

    /// Takes no more, finishes what is queued; the connection is closed when the thread has ended.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One change and whom to answer.
trait Job: Send {
    /// Runs the change; `Err` where its savepoint has to be rolled back.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Answers, with the change's own result where the group was committed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<F, T> {
    change: Option<F>,
    result: Result<T, StoreError>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Task<F, T>
where
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(change) = self.change.take() else { return Ok(()) };
        // What was sent without waiting counts too.
        self.result = change(connection).and_then(|result| connection.settle().map(|()| result));
        self.result.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        // Whoever asked may have gone; the change stands all the same, and a repetition finds it.
        let _gone = self.reply.send(committed.and(self.result)).is_err();
    }
}

fn work(connection: &Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>, commits: &AtomicU64) {
    while let Some(first) = connection.receive(&mut jobs) {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let committed = commit(connection, &mut group);
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        for job in group {
            job.answer(committed.clone());
        }
    }
}

/// Runs a group in one transaction. After an error nothing of it stands and the connection is idle; only where the
/// commit itself failed it may stand all the same.
fn commit(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let done = transaction(connection, group);
    if done.is_err() {
        connection.roll_back();
    }
    done
}

fn transaction(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    connection.begin(Intent::Write)?;
    for job in group {
        connection.begin_change()?;
        match job.run(connection) {
            Ok(()) => connection.end_change()?,
            // A full disk or an I/O error makes SQLite roll back everything, earlier changes of the group too; so does
            // the end of a connection.
            Err(error) if connection.is_idle() => return Err(error),
            Err(_) => connection.undo_change()?,
        }
    }
    connection.commit()
}
