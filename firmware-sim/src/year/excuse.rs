//! Spans of time that excuse something: outages, and times without power.

use core::time::Duration;

/// Spans in order, none of which touch; the last one may still be open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    closed: Vec<(Duration, Duration)>,
    open: Option<Duration>,
}

impl Spans {
    /// One span that is open since `at`.
    pub(super) const fn beginning_at(at: Duration) -> Self {
        Self { closed: Vec::new(), open: Some(at) }
    }

    /// A span begins, unless one is open.
    pub(super) fn begin(&mut self, at: Duration) {
        self.open.get_or_insert(at);
    }

    /// The open span ends.
    pub(super) fn end(&mut self, at: Duration) {
        if let Some(begin) = self.open.take() {
            self.closed.push((begin, at));
        }
    }

    /// Whether one is open.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.closed.len() + usize::from(self.open.is_some())
    }

    /// All of them together, up to `now`.
    pub(super) fn total(&self, now: Duration) -> Duration {
        excused(Duration::ZERO, now, &[self])
    }

    /// Whether any of them has a moment between the two.
    pub(super) fn touches(&self, from: Duration, to: Duration) -> bool {
        self.within(from, to).next().is_some()
    }

    /// The parts between the two.
    fn within(&self, from: Duration, to: Duration) -> impl Iterator<Item = (Duration, Duration)> {
        let open = self.open.map(|begin| (begin, to.max(begin)));
        let all = self.closed.iter().copied().chain(open);
        all.map(move |(begin, end)| (begin.max(from), end.min(to))).filter(|(begin, end)| begin < end)
    }
}

/// How much of the time between the two at least one of the spans covers.
pub(super) fn excused(from: Duration, to: Duration, spans: &[&Spans]) -> Duration {
    let mut parts: Vec<_> = spans.iter().flat_map(|spans| spans.within(from, to)).collect();
    parts.sort_unstable();
    let (mut covered, mut reached) = (Duration::ZERO, from);
    for (begin, end) in parts {
        covered += end.saturating_sub(begin.max(reached));
        reached = reached.max(end);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::{Spans, excused};
    use core::time::Duration;

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn spans(list: &[(u64, u64)], open: Option<u64>) -> Spans {
        Spans { closed: list.iter().map(|(a, b)| (at(*a), at(*b))).collect(), open: open.map(at) }
    }

    #[test]
    fn what_two_spans_cover_counts_once() {
        let (one, two) = (spans(&[(10, 20), (40, 50)], None), spans(&[(15, 30)], Some(45)));
        assert_eq!(excused(at(0), at(100), &[&one]), at(20));
        assert_eq!(excused(at(0), at(100), &[&one, &two]), at(20 + 60));
        assert_eq!(excused(at(12), at(18), &[&one, &two]), at(6));
        assert_eq!(excused(at(31), at(39), &[&one, &two]), at(0));
        assert_eq!(one.total(at(45)), at(15));
    }

    #[test]
    fn a_span_begins_once_and_ends_once() {
        let mut spans = Spans::beginning_at(at(1));
        spans.begin(at(2));
        assert!(spans.is_open() && spans.touches(at(0), at(5)));
        spans.end(at(3));
        spans.end(at(4));
        assert_eq!((spans.count(), spans.total(at(9)), spans.is_open()), (1, at(2), false));
        assert!(!spans.touches(at(3), at(9)));
    }
}
