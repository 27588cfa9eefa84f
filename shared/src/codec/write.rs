//! Writes deterministic CBOR into a slice.

use minicbor::Encoder;
use minicbor::encode::Error as CborError;
use minicbor::encode::write::{Cursor, EndOfSlice};

/// Why a message could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The buffer is too short.
    #[error("the message does not fit the buffer of {capacity} bytes")]
    BufferTooShort {
        /// Length of the buffer.
        capacity: usize,
    },
    /// The signer failed.
    #[error("the signing key did not sign")]
    Signing,
}

/// Writes items one after the other; the caller keeps keys in ascending order.
#[derive(Debug)]
pub struct Writer<'a> {
    encoder: Encoder<Cursor<&'a mut [u8]>>,
    capacity: usize,
}

type Item<'w, 'a> = &'w mut Encoder<Cursor<&'a mut [u8]>>;

impl<'a> Writer<'a> {
    /// Writes from the front of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        let capacity = out.len();
        Self { encoder: Encoder::new(Cursor::new(out)), capacity }
    }

    /// Writes whatever `write` puts out.
    ///
    /// # Errors
    /// Where the buffer is too short.
    pub fn put(
        &mut self,
        write: impl FnOnce(Item<'_, 'a>) -> Result<(), CborError<EndOfSlice>>,
    ) -> Result<&mut Self, EncodeError> {
        write(&mut self.encoder).map_err(|_| EncodeError::BufferTooShort { capacity: self.capacity })?;
        Ok(self)
    }

    /// Opens a map of `pairs` pairs.
    ///
    /// # Errors
    /// Where the buffer is too short, as for all below.
    pub fn map(&mut self, pairs: u64) -> Result<&mut Self, EncodeError> {
        self.put(|e| e.map(pairs)?.ok())
    }

    /// A key and an unsigned number.
    ///
    /// # Errors
    /// Where the buffer is too short.
    pub fn uint(&mut self, key: i64, value: u64) -> Result<&mut Self, EncodeError> {
        self.put(|e| e.i64(key)?.u64(value)?.ok())
    }

    /// A key and a byte string.
    ///
    /// # Errors
    /// Where the buffer is too short.
    pub fn bytes(&mut self, key: i64, value: &[u8]) -> Result<&mut Self, EncodeError> {
        self.put(|e| e.i64(key)?.bytes(value)?.ok())
    }

    /// A key and a text.
    ///
    /// # Errors
    /// Where the buffer is too short.
    pub fn text(&mut self, key: i64, value: &str) -> Result<&mut Self, EncodeError> {
        self.put(|e| e.i64(key)?.str(value)?.ok())
    }

    /// A key and an array of byte strings.
    ///
    /// # Errors
    /// Where the buffer is too short.
    pub fn byte_strings(&mut self, key: i64, values: &[&[u8]]) -> Result<&mut Self, EncodeError> {
        self.put(|e| {
            e.i64(key)?.array(values.len() as u64)?;
            for value in values {
                e.bytes(value)?;
            }
            Ok(())
        })
    }

    /// Number of bytes written.
    #[must_use]
    pub fn finish(self) -> usize {
        self.encoder.writer().position()
    }
}
