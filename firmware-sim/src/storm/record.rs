//! What was seen, by time.

use core::time::Duration;

/// Counts by columns of equal width.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) width: Duration,
    pub(super) counts: Vec<f64>,
}

impl Columns {
    pub(super) const fn new(width: Duration) -> Self {
        Self { width, counts: Vec::new() }
    }

    fn column(&mut self, at: Duration) -> Option<&mut f64> {
        let place = usize::try_from(at.as_nanos() / self.width.as_nanos().max(1)).ok()?;
        // Longer than any scenario takes.
        if place >= MOST {
            return None;
        }
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0.0);
        }
        self.counts.get_mut(place)
    }

    pub(super) fn count(&mut self, at: Duration) {
        if let Some(count) = self.column(at) {
            *count += 1.0;
        }
    }

    pub(super) fn at_least(&mut self, at: Duration, value: f64) {
        if let Some(count) = self.column(at) {
            *count = count.max(value);
        }
    }

    pub(super) fn highest(&self) -> f64 {
        self.counts.iter().copied().fold(0.0, f64::max)
    }
}

const MOST: usize = 1 << 22;

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Record {
    /// Calls that came to the server, by column of the plot.
    pub(super) calls: Columns,
    /// Those that were let in, by column of the plot.
    pub(super) admitted: Columns,
    /// Those that count for the rate, by the window in which it is kept.
    pub(super) begun: Columns,
    /// Handshakes, by the second.
    pub(super) handshakes: Columns,
    /// The longest wait of those who were served, by column of the plot, in seconds.
    pub(super) waits_by_time: Columns,
    /// All waits, in seconds.
    pub(super) waits: Vec<f32>,
    /// Calls in all; at a server that was away; closed before the handshake; told to come again.
    pub(super) attempts: u64,
    pub(super) in_vain: u64,
    pub(super) closed: u64,
    pub(super) turned_away: u64,
    /// Calls that were served.
    pub(super) successes: u64,
    /// Logins at the broker, by the second.
    pub(super) logins: Columns,
    pub(super) done: u32,
    pub(super) last_done: Duration,
    pub(super) ran_out: u32,
    pub(super) fell_back: u32,
}

impl Record {
    pub(super) const fn new(column: Duration, window: Duration) -> Self {
        let second = Duration::from_secs(1);
        Self {
            calls: Columns::new(column),
            admitted: Columns::new(column),
            begun: Columns::new(window),
            handshakes: Columns::new(second),
            waits_by_time: Columns::new(column),
            waits: Vec::new(),
            attempts: 0,
            in_vain: 0,
            closed: 0,
            turned_away: 0,
            successes: 0,
            logins: Columns::new(second),
            done: 0,
            last_done: Duration::ZERO,
            ran_out: 0,
            fell_back: 0,
        }
    }

    /// A device has what it needed, after `wait`.
    pub(super) fn done(&mut self, at: Duration, wait: Duration) {
        self.done += 1;
        self.last_done = self.last_done.max(at);
        self.waits.push(wait.as_secs_f32());
        self.waits_by_time.at_least(at, wait.as_secs_f64());
    }
}
