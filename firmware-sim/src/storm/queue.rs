//! What is to happen, in order: by time, and at the same time in the order in which it was said.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

/// Something that happens to one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// It is switched on.
    Starts,
    /// It has slept, or stayed with the broker, for as long as it wanted at its so manieth step.
    Wakes(u32),
    /// Its connection reaches the server.
    Arrives,
    /// Its handshake is done.
    Shaken,
    /// The server has its answer.
    Answered,
    /// An operator's command reaches it.
    Told,
    /// It hears of another trust bundle.
    TrustAsked,
}

/// Times are in microseconds since the beginning, which hold for half a million years.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, u32, What)>>,
    said: u64,
}

impl Queue {
    pub(super) fn at(&mut self, at: Duration, device: u32, what: What) {
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        self.said += 1;
        self.heap.push(Reverse((at, self.said, device, what)));
    }

    /// The next, with its time.
    pub(super) fn next(&mut self) -> Option<(Duration, u32, What)> {
        let Reverse((at, _, device, what)) = self.heap.pop()?;
        Some((Duration::from_micros(at), device, what))
    }
}
