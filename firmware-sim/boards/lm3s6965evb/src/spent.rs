//! What the device has spent since it was switched on: processor time while it had something to do, and flash.
//!
//! Time is counted in ticks of the core clock. Under QEMU's `-icount shift=4` an instruction takes 16 nanoseconds, and a
//! tick is 5 instructions; without it a tick says something of the host only.

use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll};

use critical_section::Mutex;

use crate::ticks;

static BUSY: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));
/// When the poll that runs now has begun.
static BEGUN: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Pages of flash that were erased.
pub static ERASED_PAGES: AtomicU32 = AtomicU32::new(0);
/// Bytes of flash that were written.
pub static WRITTEN_BYTES: AtomicU32 = AtomicU32::new(0);

/// Ticks that counted futures have run for, the one that asks included.
pub fn busy() -> u64 {
    critical_section::with(|cs| {
        BUSY.borrow(cs).get() + ticks::cycles().saturating_sub(BEGUN.borrow(cs).get())
    })
}

/// Pages erased and bytes written.
pub fn flash() -> (u32, u32) {
    (ERASED_PAGES.load(Ordering::Relaxed), WRITTEN_BYTES.load(Ordering::Relaxed))
}

/// A future whose time is counted.
pub struct Counted<'f, F>(pub Pin<&'f mut F>);

impl<F: Future> Future for Counted<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        critical_section::with(|cs| BEGUN.borrow(cs).set(ticks::cycles()));
        let poll = self.0.as_mut().poll(context);
        let total = busy();
        critical_section::with(|cs| BUSY.borrow(cs).set(total));
        poll
    }
}
