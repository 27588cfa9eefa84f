//! The record guard: checks each record's header before embedded-tls sees it (RFC 8446, section 5.1).
//!
//! It refuses what makes the library panic or lets an attacker speak in plain text: encrypted records without
//! content, a second plain handshake record, anything but encrypted records once the session is open, records
//! that are too long, too many of them, or too slow.
//!
//! It also makes waiting for a record safe to break off: the library asks for a header first, and the guard
//! answers only when the whole record is there (as far as it fits the buffer for that), so that a future that is
//! dropped while it waits has not taken anything yet.
//!
//! It does not decrypt; see [`suite`](super::suite) for what is inside.

use core::cell::Cell;

use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};

/// Why a record was refused, or did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// An encrypted record that cannot hold even a content type.
    #[error("an encrypted record of {found} bytes is empty; more than 16 are expected")]
    Empty {
        /// Its length.
        found: u16,
    },
    /// Longer than the buffer or than its type allows.
    #[error("a record of {found} bytes is too long; at most {limit} are taken")]
    TooLong {
        /// Its length.
        found: u16,
        /// The limit.
        limit: u16,
    },
    /// A content type that is not allowed at this point.
    #[error("a record of type {found} is not allowed {phase}")]
    Type {
        /// The content type.
        found: u8,
        /// At what point.
        phase: Phase,
    },
    /// Not a TLS 1.3 record header.
    #[error("the record's version is {found:#06x}; 0x0303 is expected")]
    Version {
        /// The version field.
        found: u16,
    },
    /// More records than a handshake or one read can need.
    #[error("the peer sends records without end")]
    TooMany,
    /// The connection ended inside a record.
    #[error("the connection ended inside a record")]
    Truncated,
    /// The connection ended.
    #[error("the connection ended")]
    Ended,
    /// A record was begun but not finished in time, or a write was stuck.
    #[error("the peer is too slow")]
    TimedOut,
    /// A record too long for the parking buffer was broken off while it arrived, or a write was.
    #[error("the connection was broken off inside a record")]
    Interrupted,
    /// The stream below failed.
    #[error("the network failed: {0:?}")]
    Stream(ErrorKind),
}

impl embedded_io_async::Error for RecordFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Truncated | Self::Ended => ErrorKind::ConnectionReset,
            Self::Stream(kind) => *kind,
            _ => ErrorKind::InvalidData,
        }
    }
}

/// How far the connection is, as the guard sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was received yet: ServerHello is expected in plain text.
    Hello,
    /// ServerHello was received: the rest of the handshake is encrypted.
    Handshake,
    /// The server is authenticated and the session is open.
    Open,
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Hello => "before ServerHello",
            Self::Handshake => "in the encrypted handshake",
            Self::Open => "after the handshake",
        })
    }
}

/// What the guard and the session share: embedded-tls owns the guard and does not give it back.
#[derive(Debug)]
pub struct GuardState {
    phase: Cell<Phase>,
    fault: Cell<Option<RecordFault>>,
    records: Cell<u8>,
    changes: Cell<u8>,
    /// Whether the first encrypted record has come.
    encrypted: Cell<bool>,
    /// What the library is shown in the place of the current record's version.
    mark: Cell<Option<u8>>,
    streaming: Cell<bool>,
    writing: Cell<bool>,
}

impl GuardState {
    /// The state of a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Hello),
            fault: Cell::new(None),
            records: Cell::new(0),
            changes: Cell::new(0),
            encrypted: Cell::new(false),
            mark: Cell::new(None),
            streaming: Cell::new(false),
            writing: Cell::new(false),
        }
    }

    /// What the guard refused, once it refused something. It stays: nothing passes any more.
    #[must_use]
    pub const fn fault(&self) -> Option<RecordFault> {
        self.fault.get()
    }

    /// Whether dropping the current future would lose bytes: a write, or a long record that is half received.
    #[must_use]
    pub const fn busy(&self) -> bool {
        self.writing.get() || self.streaming.get()
    }

    /// The handshake is over and the server is authenticated.
    pub(super) fn opened(&self) {
        self.phase.set(Phase::Open);
        self.next_read();
    }

    /// A new call of the session's read begins: the count of records starts again.
    pub(super) fn next_read(&self) {
        self.records.set(0);
        if self.streaming.get() {
            self.refuse(RecordFault::Interrupted);
        }
    }

    /// A new call of the session's write begins.
    pub(super) fn next_write(&self) {
        if self.writing.get() {
            self.refuse(RecordFault::Interrupted);
        }
    }

    fn refuse(&self, fault: RecordFault) -> RecordFault {
        let first = self.fault.get().unwrap_or(fault);
        self.fault.set(Some(first));
        first
    }

    /// Decides on a record's header; `limit` is the longest record in bytes that the buffers hold.
    fn check(&self, header: [u8; HEADER], limit: usize) -> Result<usize, RecordFault> {
        let [kind, major, minor, high, low] = header;
        let length = u16::from_be_bytes([high, low]);
        let version = u16::from_be_bytes([major, minor]);
        let phase = self.phase.get();
        // RFC 8446, section 5.1: 0x0303 in all records that a server sends; some send 0x0301 with ServerHello.
        if version != 0x0303 && !(version == 0x0301 && phase == Phase::Hello) {
            return Err(RecordFault::Version { found: version });
        }
        let exactly = |expected: u16| match length {
            found if found == expected => Ok(()),
            found => Err(RecordFault::TooLong { found, limit: expected }),
        };
        match (kind, phase) {
            (HANDSHAKE, Phase::Hello) => self.phase.set(Phase::Handshake),
            (ALERT, Phase::Hello) => exactly(2)?,
            // Section 5 and appendix D.4: one ChangeCipherSpec for middleboxes, to be dropped.
            (CHANGE_CIPHER_SPEC, Phase::Hello | Phase::Handshake) if self.changes.get() == 0 => {
                self.changes.set(1);
                exactly(1)?;
            }
            #[cfg(feature = "plants")]
            (CHANGE_CIPHER_SPEC, _) if shared::plant::has(shared::plant::Plant::RepeatedChange) => {}
            (APPLICATION_DATA, Phase::Handshake | Phase::Open) if length <= TAG => {
                return Err(RecordFault::Empty { found: length });
            }
            (APPLICATION_DATA, Phase::Handshake | Phase::Open) => {}
            (found, phase) => return Err(RecordFault::Type { found, phase }),
        }
        if usize::from(length) > limit {
            return Err(RecordFault::TooLong {
                found: length,
                limit: u16::try_from(limit).unwrap_or(u16::MAX),
            });
        }
        self.records.set(self.records.get().saturating_add(1));
        if self.records.get() > MAX_RECORDS {
            return Err(RecordFault::TooMany);
        }
        let first = (kind == APPLICATION_DATA && !self.encrypted.replace(true)).then_some(FIRST_MARK);
        self.mark.set(if phase == Phase::Open { Some(OPEN_MARK) } else { first });
        Ok(length.into())
    }
}

impl Default for GuardState {
    fn default() -> Self {
        Self::new()
    }
}

/// A stream of checked records.
pub struct Guard<'g, S> {
    stream: S,
    state: &'g GuardState,
    parked: &'g mut [u8],
    /// Longest record that is taken.
    limit: usize,
    /// Time for one record, or one write.
    patience: Duration,
    header: [u8; HEADER],
    /// Bytes of the current record, header included, that were received before the library asked for them ...
    received: usize,
    /// ... and that the library has.
    delivered: usize,
    /// Length of the current record without its header.
    length: usize,
    deadline: Instant,
}

/// Version that the library is shown for records of an open session; [`suite`](super::suite) reads it there.
pub(super) const OPEN_MARK: u8 = 4;
/// The same for the first encrypted record of the handshake.
pub(super) const FIRST_MARK: u8 = 5;

const HEADER: usize = 5;
const TAG: u16 = 16;
/// A server's flight takes five records at most, and a read finds its data behind a few tickets.
const MAX_RECORDS: u8 = 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

impl<'g, S: Read + Write> Guard<'g, S> {
    /// Puts a guard on `stream`. Records longer than `limit` are refused.
    pub(super) const fn new(
        stream: S,
        state: &'g GuardState,
        parked: &'g mut [u8],
        limit: usize,
        patience: Duration,
    ) -> Self {
        Self {
            stream,
            state,
            parked,
            limit,
            patience,
            header: [0; HEADER],
            received: 0,
            delivered: 0,
            length: 0,
            deadline: Instant::MAX,
        }
    }

    /// Receives the header, and the rest where it can be parked. May be dropped and called again at any time.
    async fn receive(&mut self) -> Result<(), RecordFault> {
        while self.received < HEADER {
            let room = self.header.get_mut(self.received..).unwrap_or_default();
            let count = if self.received == 0 {
                // Silence between records is not a fault; whoever expects one has a limit.
                self.stream.read(room).await.map_err(|e| RecordFault::Stream(e.kind()))?
            } else {
                read_by(self.deadline, &mut self.stream, room).await?
            };
            if self.received == 0 {
                if count == 0 {
                    return Err(RecordFault::Ended);
                }
                self.deadline = Instant::now().saturating_add(self.patience);
            } else if count == 0 {
                return Err(RecordFault::Truncated);
            }
            self.received += count;
            if self.received == HEADER {
                self.length = self.state.check(self.header, self.limit)?;
            }
        }
        if self.length > self.parked.len() {
            self.state.streaming.set(true);
            return Ok(());
        }
        while self.received < HEADER + self.length {
            let room = self.parked.get_mut(self.received - HEADER..self.length).unwrap_or_default();
            match read_by(self.deadline, &mut self.stream, room).await? {
                0 => return Err(RecordFault::Truncated),
                count => self.received += count,
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, out: &mut [u8]) -> Result<usize, RecordFault> {
        if self.delivered == 0 {
            self.receive().await?;
        }
        let count = if self.delivered < HEADER {
            let mut header = self.header;
            if let Some(mark) = self.state.mark.get() {
                header[2] = mark;
            }
            copy(header.get(self.delivered..).unwrap_or_default(), out)
        } else if self.received > HEADER {
            copy(self.parked.get(self.delivered - HEADER..self.length).unwrap_or_default(), out)
        } else {
            let wanted = out.len().min(HEADER + self.length - self.delivered);
            let room = out.get_mut(..wanted).unwrap_or_default();
            match read_by(self.deadline, &mut self.stream, room).await? {
                0 if wanted > 0 => return Err(RecordFault::Truncated),
                count => count,
            }
        };
        self.delivered += count;
        if self.delivered >= HEADER + self.length {
            (self.received, self.delivered, self.length) = (0, 0, 0);
            self.state.streaming.set(false);
        }
        Ok(count)
    }
}

async fn read_by(deadline: Instant, stream: &mut impl Read, room: &mut [u8]) -> Result<usize, RecordFault> {
    match with_deadline(deadline, stream.read(room)).await {
        Ok(Ok(count)) => Ok(count),
        Ok(Err(error)) => Err(RecordFault::Stream(error.kind())),
        Err(_) => Err(RecordFault::TimedOut),
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    for (target, byte) in to.iter_mut().zip(from) {
        *target = *byte;
    }
    count
}

impl<S> ErrorType for Guard<'_, S> {
    type Error = RecordFault;
}

impl<S: Read + Write> Read for Guard<'_, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, RecordFault> {
        if let Some(fault) = self.state.fault() {
            return Err(fault);
        }
        self.deliver(out).await.map_err(|fault| self.state.refuse(fault))
    }
}

impl<S: Read + Write> Write for Guard<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, RecordFault> {
        if let Some(fault) = self.state.fault() {
            return Err(fault);
        }
        self.state.writing.set(true);
        let count = match with_timeout(self.patience, self.stream.write(bytes)).await {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return Err(self.state.refuse(RecordFault::Stream(error.kind()))),
            Err(_) => return Err(self.state.refuse(RecordFault::TimedOut)),
        };
        // Half a record on the wire is no place to stop; the flush after the last half clears the mark.
        if count == bytes.len() {
            self.state.writing.set(false);
        }
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), RecordFault> {
        match with_timeout(self.patience, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.state.refuse(RecordFault::Stream(error.kind()))),
            Err(_) => Err(self.state.refuse(RecordFault::TimedOut)),
        }
    }
}
