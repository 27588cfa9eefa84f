//! The memory of one TLS connection, lent to one user at a time.
//!
//! A device talks to the enrollment server or to the broker, not to both at once, so that [`Https`] and
//! [`Mqtt`] can share one workspace and save its kilobytes.
//!
//! [`Https`]: crate::http::Https
//! [`Mqtt`]: crate::mqtt::Mqtt

use core::cell::Cell;

use shared::limits::MAX_RECORD;

/// A size for [`Buffers::read`]: the longest record that a server sends, and the 256 bytes that encryption may add
/// (RFC 8446, section 5.2).
pub const READ_BUFFER: usize = MAX_RECORD + 256;
/// A size for [`Buffers::write`]: our longest handshake message is the certificate, 1536 bytes at most, and
/// embedded-tls keeps 128 bytes for itself. Longer writes are split.
pub const WRITE_BUFFER: usize = 2048;

/// The buffers of one TLS connection.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// Holds one record as received, and its content after decryption. The server must not send longer ones:
    /// it is told through max_fragment_length (RFC 6066, section 4), which OpenSSL obeys and rustls does not,
    /// so that a rustls server is configured to the same limit. At least [`Self::MIN_READ`].
    pub read: &'b mut [u8],
    /// Holds one record to send. At least [`Self::MIN_WRITE`].
    pub write: &'b mut [u8],
    /// Holds a record until it is complete, so that waiting for it can be broken off without harm, as MQTT does
    /// for its keep-alive. Longer records pass too, but are not interrupted while they arrive. May be empty
    /// where only HTTP is spoken; 512 bytes are good for MQTT.
    pub parked: &'b mut [u8],
}

impl Buffers<'_> {
    /// Shortest read buffer: embedded-tls does not join handshake messages, and a server's certificate chain
    /// takes up to 2 KiB.
    pub const MIN_READ: usize = 2048 + 256;
    /// Shortest write buffer: a ClientHello with a long name, or our certificate.
    pub const MIN_WRITE: usize = 1024;
}

/// Holds the buffers while nobody uses them.
pub struct Workspace<'b>(Cell<Option<Buffers<'b>>>);

impl<'b> Workspace<'b> {
    /// Takes the buffers.
    #[must_use]
    pub const fn new(buffers: Buffers<'b>) -> Self {
        Self(Cell::new(Some(buffers)))
    }

    /// Lends the buffers, or `None` where somebody has them.
    #[must_use]
    pub const fn lend(&self) -> Option<Lent<'_, 'b>> {
        match self.0.replace(None) {
            Some(buffers) => Some(Lent { buffers: Some(buffers), home: self }),
            None => None,
        }
    }
}

impl core::fmt::Debug for Workspace<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Workspace")
    }
}

/// The buffers, on loan: they go back when this is dropped.
#[derive(Debug)]
pub struct Lent<'w, 'b> {
    buffers: Option<Buffers<'b>>,
    home: &'w Workspace<'b>,
}

impl Lent<'_, '_> {
    /// The buffers, for as long as the loan is borrowed.
    pub fn buffers(&mut self) -> Buffers<'_> {
        match &mut self.buffers {
            Some(buffers) => {
                Buffers { read: &mut *buffers.read, write: &mut *buffers.write, parked: &mut *buffers.parked }
            }
            // Only `drop` takes them out.
            None => Buffers { read: &mut [], write: &mut [], parked: &mut [] },
        }
    }
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        self.home.0.set(self.buffers.take());
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, Workspace};

    #[test]
    fn buffers_are_lent_to_one_at_a_time_and_come_back() {
        let (mut read, mut write) = ([0; 8], [0; 4]);
        let workspace = Workspace::new(Buffers { read: &mut read, write: &mut write, parked: &mut [] });
        let mut first = workspace.lend().unwrap();
        assert!(workspace.lend().is_none());
        assert_eq!(first.buffers().read.len(), 8);
        drop(first);
        assert_eq!(workspace.lend().unwrap().buffers().write.len(), 4);
    }
}
