//! One session per client: a new one waits until the one before has ended.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use enroll_server::mqtt::CLIENT_NAME;
use tokio::sync::oneshot;

/// The sessions that are open, by client.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    open: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    /// Asks the session to end.
    take_over: oneshot::Sender<()>,
    /// Resolves when it has ended.
    ended: oneshot::Receiver<()>,
    /// Tells entries of one device apart.
    number: u64,
}

/// A place in the registry; dropped at the session's end.
#[derive(Debug)]
pub(super) struct Place {
    registry: Registry,
    id: String,
    number: u64,
    _ended: oneshot::Sender<()>,
}

impl Registry {
    /// Takes the place of `id`, after its session before has ended (MQTT 5, section 3.1.4, step 3). The receiver
    /// resolves when the next session wants the place.
    pub(super) async fn enter(&self, id: &str) -> (Place, oneshot::Receiver<()>) {
        let (take_over, taken_over) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        let (number, before) = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let number = open.get(id).map_or(0, |entry| entry.number.wrapping_add(1));
            (number, open.insert(id.to_owned(), Entry { take_over, ended, number }))
        };
        let place = Place { registry: self.clone(), id: id.to_owned(), number, _ended: ended_sender };
        if let Some(before) = before
            && before.take_over.send(()).is_ok()
        {
            // The time limit is a net below a session that does not end; the router replaces it then.
            let _ended_or_slow = tokio::time::timeout(PATIENCE, before.ended).await;
        }
        (place, taken_over)
    }

    /// Number of devices' sessions that are open.
    pub(super) fn count(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.keys().filter(|name| *name != CLIENT_NAME).count()
    }
}

/// How long a session may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.registry.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.id).is_some_and(|entry| entry.number == self.number) {
            open.remove(&self.id);
        }
    }
}
