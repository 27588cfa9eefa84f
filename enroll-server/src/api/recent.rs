//! What was looked at a moment ago, for all who ask at once: anybody may ask, and a look costs the store a transaction.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a look is good for.
const MOMENT: Duration = Duration::from_millis(100);

/// The last look.
#[derive(Debug)]
pub struct Recent<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Recent<T> {
    /// What was seen a moment ago, or what `look` sees now. Whoever asks while somebody looks waits for that.
    pub(super) async fn get(&self, look: impl Future<Output = T>) -> Arc<T> {
        let mut last = self.0.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < MOMENT
        {
            return Arc::clone(seen);
        }
        let seen = Arc::new(look.await);
        *last = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOMENT, Recent};
    use core::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_are_one_look() {
        let (recent, looks) = (Recent::default(), Cell::new(0));
        let look = || async {
            looks.set(looks.get() + 1);
            tokio::task::yield_now().await;
            looks.get()
        };
        let (one, two) = tokio::join!(recent.get(look()), recent.get(look()));
        assert_eq!((*one, *two, looks.get()), (1, 1, 1));
        tokio::time::advance(MOMENT).await;
        assert_eq!(*recent.get(look()).await, 2);
    }
}
