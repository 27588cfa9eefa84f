//! Short stacks: a future with a stack frame of its own.
//!
//! The compiler puts everything that an `async fn` awaits into one function, and the temporary values of all its
//! steps into one stack frame, which then lies below each of them. A step that is awaited through [`apart`] has its
//! own frame, and the stack holds it only while the step runs.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Awaits `future` on a stack frame of its own.
pub const fn apart<F: Future>(future: Pin<&mut F>) -> Apart<'_, F> {
    Apart(future)
}

/// Returned by [`apart`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Apart<'f, F>(Pin<&'f mut F>);

impl<F: Future> Future for Apart<'_, F> {
    type Output = F::Output;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}
