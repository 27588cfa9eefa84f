//! Reads maps with integer keys, front to back.

use minicbor::Decoder;
use minicbor::decode::Error as CborError;

use super::{DecodeError, check};
use crate::limits::MAX_CERTIFICATE;

/// Walks one map whose keys ascend. Fields are asked for in the order of their keys; keys in between are
/// skipped, so that a newer peer may add some.
#[derive(Debug)]
pub struct MapReader<'b> {
    decoder: Decoder<'b>,
    pairs_left: u64,
    key: Option<i64>,
}

impl<'b> MapReader<'b> {
    /// Checks `bytes` as a whole (see [`check`]) and opens the map in them.
    ///
    /// # Errors
    /// As [`check`]; `name` is invalid where the item is no map.
    pub fn open(bytes: &'b [u8], limit: usize, name: &'static str) -> Result<Self, DecodeError> {
        check(bytes, limit)?;
        let mut decoder = Decoder::new(bytes);
        let pairs = decoder.map().ok().flatten().ok_or(DecodeError::Invalid { field: name })?;
        let mut reader = Self { decoder, pairs_left: pairs, key: None };
        reader.advance(name)?;
        Ok(reader)
    }

    /// Reads the field with `key` if it is there.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] with `field` where `read` fails.
    pub fn optional<T>(
        &mut self,
        key: i64,
        field: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, CborError>,
    ) -> Result<Option<T>, DecodeError> {
        while let Some(found) = self.key {
            // Deterministic order: unsigned keys ascend, then negative ones (RFC 8949, section 4.2.1).
            if order(found) > order(key) {
                break;
            }
            if found == key {
                let value = read(&mut self.decoder).map_err(|_| DecodeError::Invalid { field })?;
                self.advance(field)?;
                return Ok(Some(value));
            }
            self.decoder.skip().map_err(|_| DecodeError::Invalid { field })?;
            self.advance(field)?;
        }
        Ok(None)
    }

    /// Reads the field with `key`.
    ///
    /// # Errors
    /// [`DecodeError::Missing`] where it is not there, else as [`optional`](Self::optional).
    pub fn required<T>(
        &mut self,
        key: i64,
        field: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, CborError>,
    ) -> Result<T, DecodeError> {
        self.optional(key, field, read)?.ok_or(DecodeError::Missing { field })
    }

    /// Reads a map of its own, nested under `key`, as the bytes it stands in.
    ///
    /// # Errors
    /// As [`required`](Self::required).
    pub fn raw(&mut self, key: i64, field: &'static str) -> Result<Option<&'b [u8]>, DecodeError> {
        self.optional(key, field, |d| {
            let start = d.position();
            d.skip()?;
            d.input().get(start..d.position()).ok_or_else(CborError::end_of_input)
        })
    }

    fn advance(&mut self, field: &'static str) -> Result<(), DecodeError> {
        self.key = None;
        if self.pairs_left > 0 {
            self.pairs_left -= 1;
            self.key = Some(self.decoder.i64().map_err(|_| DecodeError::Invalid { field })?);
        }
        Ok(())
    }
}

const fn order(key: i64) -> (bool, u64) {
    (key < 0, key.unsigned_abs())
}

/// A text of at most `limit` bytes.
///
/// # Errors
/// Where the item is no text, or longer.
pub fn text<'b>(decoder: &mut Decoder<'b>, limit: usize) -> Result<&'b str, CborError> {
    let text = decoder.str()?;
    if text.len() > limit { Err(CborError::message("too long")) } else { Ok(text) }
}

/// An array of 1 to `N` certificates in DER.
///
/// # Errors
/// Where the item is something else, or a certificate is empty or longer than [`MAX_CERTIFICATE`].
pub fn certificates<'b, const N: usize>(
    decoder: &mut Decoder<'b>,
) -> Result<heapless::Vec<&'b [u8], N>, CborError> {
    let count = decoder.array()?.unwrap_or(0);
    if count == 0 {
        return Err(CborError::message("empty"));
    }
    let mut list = heapless::Vec::new();
    for _ in 0..count {
        let der = decoder.bytes()?;
        if der.is_empty() || der.len() > MAX_CERTIFICATE {
            return Err(CborError::message("certificate length"));
        }
        list.push(der).map_err(|_| CborError::message("too many"))?;
    }
    Ok(list)
}
