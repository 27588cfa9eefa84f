//! A few threads read, each with a connection of its own; they never wait for the writer (write-ahead log).
//!
//! A few rows of a file, found by their keys, are looked at on the caller's own thread: to wake another one and be woken
//! again takes longer.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;
use crate::store::database::{Connection, Intent};

/// Most queries that wait for one thread.
const QUEUE: usize = 1024;

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// The reading end of a store.
#[derive(Debug)]
pub(super) struct Readers {
    queues: Mutex<Vec<mpsc::Sender<Query>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    turn: AtomicUsize,
    /// For what is looked at on the caller's thread.
    here: Mutex<Option<Connection>>,
}

impl Readers {
    pub(super) fn start(connections: Vec<Connection>, here: Option<Connection>) -> Result<Self, StoreError> {
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for connection in connections {
            let (queue, mut queries) = mpsc::channel::<Query>(QUEUE);
            let thread = std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || {
                    while let Some(query) = connection.receive(&mut queries) {
                        query(&connection);
                    }
                })
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            queues.push(queue);
            threads.push(thread);
        }
        Ok(Self {
            queues: Mutex::new(queues),
            threads: Mutex::new(threads),
            turn: AtomicUsize::new(0),
            here: Mutex::new(here),
        })
    }

    /// Runs a query that looks at a few rows by their keys: at once, where nobody else is at it, else as [`run`](Self::run).
    pub(super) async fn look<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Ok(here) = self.here.try_lock()
            && let Some(connection) = here.as_ref()
        {
            return in_transaction(connection, query);
        }
        self.run(query).await
    }

    /// Runs `query` on the next thread, in a read transaction: it sees one state of the database.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Query = Box::new(move |connection| {
            let _gone = reply.send(in_transaction(connection, query)).is_err();
        });
        let queue = {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            queues.get(turn % queues.len().max(1)).cloned()
        };
        queue.ok_or(StoreError::Closed)?.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes no more; each connection is closed when its thread has ended.
    pub(super) fn close(&self) -> Vec<JoinHandle<()>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clear();
        core::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn in_transaction<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.begin(Intent::Read)?;
    let found = query(connection).and_then(|found| connection.end_read().map(|()| found));
    if found.is_err() {
        connection.roll_back();
    }
    found
}
