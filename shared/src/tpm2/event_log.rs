//! The firmware's event log in its crypto-agile form (TCG PC Client Platform Firmware Profile, section 10.2). Numbers are
//! little-endian. Who measured what, and whether it comes to the registers' values, is the reader's to judge.

use heapless::Vec;

use super::algorithm;

/// EV_NO_ACTION: an event that is not extended (section 10.4.1).
pub const NO_ACTION: u32 = 3;
/// Signature of the header event (section 10.4.5.1).
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// Most algorithms in a log's header.
const MAX_ALGORITHMS: usize = 8;

/// Why an event log cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// It ends in the middle of an event.
    #[error("an event log that ends in the middle of event {event}, in its {field}")]
    Truncated {
        /// Number of the event, from 0, which is the header.
        event: usize,
        /// The field that is not all there.
        field: &'static str,
    },
    /// The first event does not say that the log is crypto-agile.
    #[error("an event log without the header of a crypto-agile one (\"Spec ID Event03\")")]
    Header,
    /// An event lacks a digest that the header lists, or has two of one algorithm, or one that the header does not list.
    #[error("event {event} has not exactly one digest of each algorithm in the log's header")]
    Digests {
        /// Number of the event.
        event: usize,
    },
}

/// A log: its header, and then its events, in their order. After an error there are no more.
#[derive(Clone, Debug)]
pub struct EventLog<'l> {
    header: &'l [u8],
    algorithms: Algorithms,
    left: Bytes<'l>,
}

/// An event (TCG_PCR_EVENT2, section 10.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'l> {
    /// The register, by its number.
    pub register: u32,
    /// The event's type (section 10.4.1).
    pub kind: u32,
    /// What was measured, or says what was.
    pub data: &'l [u8],
    /// The whole event.
    pub bytes: &'l [u8],
    digests: Vec<(u16, &'l [u8]), MAX_ALGORITHMS>,
}

/// Identifiers of algorithms, each with the length of its digests.
type Algorithms = Vec<(u16, usize), MAX_ALGORITHMS>;

impl<'l> EventLog<'l> {
    /// Reads a log's header.
    ///
    /// # Errors
    /// [`EventLogError::Truncated`] and [`EventLogError::Header`].
    pub fn new(log: &'l [u8]) -> Result<Self, EventLogError> {
        let mut left = Bytes { left: log, event: 0 };
        let algorithms = left.header()?;
        Ok(Self { header: left.since(log), algorithms, left })
    }

    /// The header, whole.
    #[must_use]
    pub const fn header(&self) -> &'l [u8] {
        self.header
    }

    /// Whether each event has a digest by this algorithm.
    #[must_use]
    pub fn has(&self, algorithm: u16) -> bool {
        self.algorithms.iter().any(|(listed, _)| *listed == algorithm)
    }
}

impl<'l> Iterator for EventLog<'l> {
    type Item = Result<Event<'l>, EventLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.left.is_empty() {
            return None;
        }
        self.left.event += 1;
        let event = self.left.event(&self.algorithms);
        if event.is_err() {
            self.left.left = &[];
        }
        Some(event)
    }
}

impl<'l> Event<'l> {
    /// Its digest by this algorithm.
    #[must_use]
    pub fn digest(&self, algorithm: u16) -> Option<&'l [u8]> {
        self.digests.iter().find(|(found, _)| *found == algorithm).map(|(_, digest)| *digest)
    }
}

/// What is left of a log.
#[derive(Clone, Debug)]
struct Bytes<'l> {
    left: &'l [u8],
    event: usize,
}

impl<'l> Bytes<'l> {
    /// Reads the first event, which has the old form (section 10.2.1), and gives the algorithms it lists.
    fn header(&mut self) -> Result<Algorithms, EventLogError> {
        let register = self.u32("register")?;
        let kind = self.u32("type")?;
        let _sha1 = self.take(20, "digest")?;
        let length = self.length("data")?;
        let data = self.take(length, "data")?;
        let mut spec = Bytes { left: data, event: 0 };
        if (register, kind) != (0, NO_ACTION) || spec.take(SPEC_ID.len(), "header").ok() != Some(SPEC_ID) {
            return Err(EventLogError::Header);
        }
        // Platform class, version and the size of a native integer are of no use here.
        let _class_and_versions = spec.take(8, "header")?;
        let count = spec.length("header")?;
        let mut algorithms = Algorithms::new();
        for _ in 0..count {
            let (id, length) = (spec.u16("header")?, usize::from(spec.u16("header")?));
            let known = match id {
                algorithm::SHA1 => Some(20),
                algorithm::SHA256 | algorithm::SM3_256 => Some(32),
                algorithm::SHA384 => Some(48),
                algorithm::SHA512 => Some(64),
                _ => None,
            };
            let sound = known.map_or_else(|| (1..=64).contains(&length), |known| known == length);
            if !sound || algorithms.iter().any(|(other, _)| *other == id) {
                return Err(EventLogError::Header);
            }
            algorithms.push((id, length)).map_err(|_| EventLogError::Header)?;
        }
        if algorithms.is_empty() { Err(EventLogError::Header) } else { Ok(algorithms) }
    }

    fn event(&mut self, algorithms: &Algorithms) -> Result<Event<'l>, EventLogError> {
        let begin = self.left;
        let register = self.u32("register")?;
        let kind = self.u32("type")?;
        let wrong = EventLogError::Digests { event: self.event };
        if self.length("digests")? != algorithms.len() {
            return Err(wrong);
        }
        let mut digests = Vec::<_, MAX_ALGORITHMS>::new();
        for _ in algorithms {
            let id = self.u16("digests")?;
            let (_, length) = algorithms.iter().find(|(listed, _)| *listed == id).ok_or(wrong)?;
            let digest = self.take(*length, "digests")?;
            if digests.iter().any(|(seen, _)| *seen == id) {
                return Err(wrong);
            }
            digests.push((id, digest)).map_err(|_| wrong)?;
        }
        let length = self.length("data")?;
        let data = self.take(length, "data")?;
        Ok(Event { register, kind, data, bytes: self.since(begin), digests })
    }

    /// What was read since `begin` was left.
    fn since(&self, begin: &'l [u8]) -> &'l [u8] {
        begin.get(..begin.len().saturating_sub(self.left.len())).unwrap_or_default()
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'l [u8], EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        let (taken, left) = self.left.split_at_checked(length).ok_or(truncated)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        self.take(N, field)?.try_into().map_err(|_| truncated)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, EventLogError> {
        self.array(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, EventLogError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn length(&mut self, field: &'static str) -> Result<usize, EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        usize::try_from(self.u32(field)?).map_err(|_| truncated)
    }
}
