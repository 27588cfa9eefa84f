//! A commitment to a row of the audit trail: its hash, under a salt of its own.
//!
//! The log is public and rows are short, so that a bare hash would confirm a guess. Whoever gets a row and its salt,
//! as in an export for auditors, can verify that this very row was logged.

use aws_lc_rs::digest::{SHA256, digest};
use minicbor::Encoder;

/// One field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'f> {
    /// A number.
    Number(u64),
    /// A text.
    Text(&'f str),
    /// Bytes.
    Bytes(&'f [u8]),
    /// Nothing.
    Null,
}

impl<'f> From<Option<&'f str>> for Field<'f> {
    fn from(text: Option<&'f str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl<'f> From<Option<&'f [u8]>> for Field<'f> {
    fn from(bytes: Option<&'f [u8]>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }
}

/// SHA-256 over one CBOR array in deterministic encoding: the salt, then the fields.
#[must_use]
pub fn commitment(salt: &[u8], fields: &[Field<'_>]) -> [u8; 32] {
    let mut out = Encoder::new(Vec::new());
    // Writing into memory does not fail.
    let written = (|| {
        out.array(1 + fields.len() as u64)?.bytes(salt)?;
        for field in fields {
            match field {
                Field::Number(number) => out.u64(*number)?,
                Field::Text(text) => out.str(text)?,
                Field::Bytes(bytes) => out.bytes(bytes)?,
                Field::Null => out.null()?,
            };
        }
        Ok::<_, minicbor::encode::Error<core::convert::Infallible>>(())
    })();
    debug_assert!(written.is_ok());
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, out.writer()).as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::{Field, commitment};

    /// SHA-256 of `86 42 0102 01 61 61 41 ff f6 60`, by `sha256sum`.
    #[test]
    fn the_commitment_is_over_these_bytes() {
        let fields =
            [Field::Number(1), Field::Text("a"), Field::Bytes(&[0xff]), Field::Null, Field::Text("")];
        let found = commitment(&[1, 2], &fields);
        assert_eq!(hex::encode(found), "94cf577769b2b7fbc40bbcb10a9c8fe23fe2dcde74d0a11cf09a7e329c4b0578");
        // Null and an empty text are not the same, nor is where one field ends.
        assert_ne!(commitment(&[], &[Field::Null]), commitment(&[], &[Field::Text("")]));
        assert_ne!(
            commitment(&[], &[Field::Text("ab"), Field::Text("c")]),
            commitment(&[], &[Field::Text("a"), Field::Text("bc")])
        );
    }
}
