//! One look at a time, for all who ask at once: anybody may ask, and a look costs the store a transaction.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last look, and when it began.
#[derive(Debug)]
pub struct SharedLook<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> SharedLook<T> {
    /// What `look` sees, or what somebody else saw in a look that began after this was asked: whoever asks during a look waits
    /// for the next one, which is for all of them.
    pub(super) async fn get(&self, look: impl Future<Output = T>) -> Arc<T> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((began, seen)) = &*last
            && *began > asked
        {
            return Arc::clone(seen);
        }
        let began = Instant::now();
        let seen = Arc::new(look.await);
        *last = Some((began, Arc::clone(&seen)));
        seen
    }
}

impl<T> Default for SharedLook<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

#[cfg(test)]
mod tests {
    use super::SharedLook;
    use core::cell::Cell;
    use core::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_are_two_looks_and_nobody_gets_an_old_one() {
        let (shared, looks) = (SharedLook::default(), Cell::new(0));
        let ask = async || {
            let look = async {
                looks.set(looks.get() + 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                looks.get()
            };
            *shared.get(look).await
        };
        let later = async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ask().await
        };
        // The first looks; who comes meanwhile is served by one more.
        assert_eq!(tokio::join!(ask(), later(), later(), later()), (1, 2, 2, 2));
        assert_eq!((ask().await, looks.get()), (3, 3));
    }
}
