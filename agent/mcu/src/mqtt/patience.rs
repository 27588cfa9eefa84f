//! Waiting that is broken off only where nothing is lost by it.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_time::{Duration, Timer};

/// Awaits `future`, but no longer than `duration`; then `None`. While `busy` says that dropping the future would
/// lose bytes, it waits on: those bytes have a time limit of their own.
pub(super) async fn wait_at_most<F: Future>(
    duration: Duration,
    busy: impl Fn() -> bool,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(Timer::after(duration));
    let mut over = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        over = over || timer.as_mut().poll(cx).is_ready();
        if over && !busy() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
