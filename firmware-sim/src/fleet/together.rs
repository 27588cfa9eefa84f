//! Runs several futures in one task, so that they share its waker.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;

/// A device that runs.
pub(super) type Device = Pin<Box<dyn Future<Output = ()>>>;

/// Ends when all have ended. Every wake-up polls all of them, which is cheap for some dozens.
pub(super) async fn together(mut devices: Vec<Device>) {
    poll_fn(|context| {
        devices.retain_mut(|device| device.as_mut().poll(context).is_pending());
        if devices.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::{Device, together};
    use core::cell::Cell;
    use core::time::Duration;
    use std::rc::Rc;

    #[tokio::test(start_paused = true)]
    async fn all_run_at_once_and_the_last_one_ends_it() {
        let ended = Rc::new(Cell::new(0));
        let device = |secs| -> Device {
            let ended = Rc::clone(&ended);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(secs)).await;
                ended.set(ended.get() + 1);
            })
        };
        let begin = tokio::time::Instant::now();
        together(vec![device(3), device(1), device(2)]).await;
        assert_eq!((ended.get(), begin.elapsed().as_secs()), (3, 3));
    }
}
