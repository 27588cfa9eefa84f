//! Two of the four defences by themselves, for whoever throws bytes at them: fuzz targets. A board has them in a session
//! only, with the other two around them.

use embassy_time::Duration;
use embedded_io_async::{Read, Write};

use super::guard::{Guard, GuardState};
use super::suite;

/// A guard on `stream`, with room for records of `limit` bytes and patience for each.
pub const fn guard<'g, S: Read + Write>(
    stream: S,
    state: &'g GuardState,
    parked: &'g mut [u8],
    limit: usize,
    patience: Duration,
) -> Guard<'g, S> {
    Guard::new(stream, state, parked, limit, patience)
}

/// What a session tells the guard when the server has proved who it is.
pub fn opened(state: &GuardState) {
    state.opened();
}

/// What a session tells the guard before it reads.
pub fn next_read(state: &GuardState) {
    state.next_read();
}

/// Where a record that was decrypted came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As the first of the handshake.
    First,
    /// Later in the handshake.
    Handshake,
    /// In the open session.
    Open,
}

/// Whether what was decrypted goes on to the library.
#[must_use]
pub fn goes_on(inner: &[u8], when: When) -> bool {
    match when {
        When::Open => suite::fits_session(inner),
        When::First | When::Handshake => suite::fits_handshake(inner, when == When::First),
    }
}
