//! What the leaves say: which certificate was signed, which was revoked, and which row the audit trail got.
//!
//! One leaf is one CBOR array in deterministic encoding (RFC 8949, section 4.2.1): the version of the format, the kind,
//! the time, and what the kind asks for. `docs/log.md` has the table. A version keeps its meaning for ever: hashes are
//! over these bytes.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// The version written.
const VERSION: u8 = 1;
/// Longest certificate in a leaf, in bytes: with what stands around it, it fits an entry.
pub const MAX_CERTIFICATE: usize = 60_000;
/// Longest serial number, in bytes (RFC 5280, section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// One leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf<'b> {
    /// A certificate was signed and stored, to be handed to its device.
    Issued {
        /// When, in seconds since 1970.
        at: u64,
        /// SHA-256 of the issuing CA's certificate.
        issuer: [u8; 32],
        /// The certificate in DER.
        certificate: &'b [u8],
    },
    /// A certificate was revoked.
    Revoked {
        /// When, in seconds since 1970.
        at: u64,
        /// SHA-256 of the issuing CA's certificate.
        issuer: [u8; 32],
        /// Its serial number, big-endian.
        serial: &'b [u8],
        /// The CRLReason (RFC 5280, section 5.3.1).
        reason: u8,
    },
    /// A certificate was signed, and given up before anyone got it.
    Discarded {
        /// When, in seconds since 1970.
        at: u64,
        /// SHA-256 of the issuing CA's certificate.
        issuer: [u8; 32],
        /// The certificate in DER.
        certificate: &'b [u8],
    },
    /// A row was added to the audit trail.
    Event {
        /// When, in seconds since 1970.
        at: u64,
        /// The row's number.
        number: u64,
        /// A commitment to the row: see `docs/log.md`.
        commitment: [u8; 32],
    },
}

/// These bytes are no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// They are of a version that this program does not know.
    #[error("the leaf has version {found}; this program knows {VERSION}")]
    Version {
        /// Their version.
        found: u64,
    },
    /// They are of a kind that this program does not know.
    #[error("the leaf is of kind {found}, which this program does not know")]
    Kind {
        /// Their kind.
        found: u64,
    },
    /// They are not the encoding of a leaf.
    #[error("this is no leaf: expected {expected} at byte {at}")]
    Form {
        /// What should stand there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
}

impl<'b> Leaf<'b> {
    /// The bytes that are logged. `None` where the certificate or the serial number is too long.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Encoder::new(Vec::new());
        let begin = |out: &mut Encoder<Vec<u8>>, fields: u64, kind: u8, at: u64| {
            out.array(3 + fields)
                .and_then(|out| out.u8(VERSION))
                .and_then(|out| out.u8(kind))
                .map(|_| ())
                .ok()?;
            out.u64(at).map(|_| ()).ok()
        };
        match self {
            Self::Issued { at, issuer, certificate } | Self::Discarded { at, issuer, certificate } => {
                let kind = if matches!(self, Self::Issued { .. }) { 1 } else { 3 };
                begin(&mut out, 2, kind, *at)?;
                out.bytes(issuer).ok()?.bytes(bounded(certificate, MAX_CERTIFICATE)?).ok()?;
            }
            Self::Revoked { at, issuer, serial, reason } => {
                begin(&mut out, 3, 2, *at)?;
                out.bytes(issuer).ok()?.bytes(bounded(serial, MAX_SERIAL)?).ok()?.u8(*reason).ok()?;
            }
            Self::Event { at, number, commitment } => {
                begin(&mut out, 2, 4, *at)?;
                out.u64(*number).ok()?.bytes(commitment).ok()?;
            }
        }
        Some(out.into_writer())
    }

    /// Reads a leaf. There is one spelling of each.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, LeafError> {
        let mut reader = Reader(Decoder::new(bytes));
        let fields = reader.array()?;
        let version = reader.number("a version")?;
        if version != u64::from(VERSION) {
            return Err(LeafError::Version { found: version });
        }
        let kind = reader.number("a kind")?;
        let at = reader.number("a time")?;
        let (leaf, expected) = match kind {
            1 | 3 => {
                let issuer = reader.hash("the SHA-256 of the issuer")?;
                let certificate = reader.bytes("a certificate", MAX_CERTIFICATE)?;
                if kind == 1 {
                    (Self::Issued { at, issuer, certificate }, 5)
                } else {
                    (Self::Discarded { at, issuer, certificate }, 5)
                }
            }
            2 => {
                let issuer = reader.hash("the SHA-256 of the issuer")?;
                let serial = reader.bytes("a serial number", MAX_SERIAL)?;
                let reason = reader.number("a reason")?;
                let reason = u8::try_from(reason).map_err(|_| reader.wrong("a reason"))?;
                (Self::Revoked { at, issuer, serial, reason }, 6)
            }
            4 => {
                let number = reader.number("the number of a row")?;
                (Self::Event { at, number, commitment: reader.hash("a commitment")? }, 5)
            }
            found => return Err(LeafError::Kind { found }),
        };
        // Longer spellings of numbers and lengths are caught by writing it again.
        if fields != expected || reader.0.position() != bytes.len() || leaf.encode().as_deref() != Some(bytes)
        {
            return Err(reader.wrong("the end, and the shortest encoding"));
        }
        Ok(leaf)
    }

    /// The stable name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "issued",
            Self::Revoked { .. } => "revoked",
            Self::Discarded { .. } => "discarded",
            Self::Event { .. } => "event",
        }
    }

    /// When it happened, in seconds since 1970.
    #[must_use]
    pub const fn at(&self) -> u64 {
        match self {
            Self::Issued { at, .. }
            | Self::Revoked { at, .. }
            | Self::Discarded { at, .. }
            | Self::Event { at, .. } => *at,
        }
    }
}

fn bounded(bytes: &[u8], limit: usize) -> Option<&[u8]> {
    (!bytes.is_empty() && bytes.len() <= limit).then_some(bytes)
}

struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    fn wrong(&self, expected: &'static str) -> LeafError {
        LeafError::Form { expected, at: self.0.position() }
    }

    fn array(&mut self) -> Result<u64, LeafError> {
        let expected = "an array";
        let length = self.0.array().map_err(|_| self.wrong(expected))?;
        length.ok_or_else(|| self.wrong(expected))
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, LeafError> {
        self.0.u64().map_err(|_| self.wrong(expected))
    }

    fn bytes(&mut self, expected: &'static str, limit: usize) -> Result<&'b [u8], LeafError> {
        if !matches!(self.0.datatype(), Ok(Type::Bytes)) {
            return Err(self.wrong(expected));
        }
        let bytes = self.0.bytes().map_err(|_| self.wrong(expected))?;
        bounded(bytes, limit).ok_or_else(|| self.wrong(expected))
    }

    fn hash(&mut self, expected: &'static str) -> Result<[u8; 32], LeafError> {
        let bytes = self.bytes(expected, 32)?;
        bytes.try_into().map_err(|_| self.wrong(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaf, LeafError, MAX_CERTIFICATE};
    use proptest::prelude::*;

    #[test]
    fn leaves_are_these_bytes() {
        let revoked = Leaf::Revoked { at: 1_800_000_000, issuer: [7; 32], serial: &[1, 2], reason: 4 };
        let bytes = revoked.encode().unwrap();
        let expected = format!("86 01 02 1a6b49d200 5820{} 42 0102 04", "07".repeat(32)).replace(' ', "");
        assert_eq!(hex::encode(&bytes), expected);
        assert_eq!(Leaf::decode(&bytes), Ok(revoked));
        let event = Leaf::Event { at: 0, number: 300, commitment: [9; 32] };
        let bytes = event.encode().unwrap();
        let expected = format!("85 01 04 00 19012c 5820{}", "09".repeat(32)).replace(' ', "");
        assert_eq!(hex::encode(&bytes), expected);
        let issued = Leaf::Issued { at: 0, issuer: [1; 32], certificate: b"der" };
        let bytes = issued.encode().unwrap();
        let expected = format!("85 01 01 00 5820{} 43 646572", "01".repeat(32)).replace(' ', "");
        assert_eq!(hex::encode(&bytes), expected);
        assert_eq!((issued.kind(), issued.at()), ("issued", 0));
    }

    #[test]
    fn there_is_one_spelling() {
        let hash = "09".repeat(32);
        for (text, note) in [
            (format!("85 01 04 1800 19012c 5820{hash}"), "a longer number"),
            (format!("85 01 04 00 19012c 590020{hash}"), "a longer length"),
            (format!("9f 01 04 00 19012c 5820{hash} ff"), "an array without a length"),
            (format!("85 01 04 00 19012c 5820{hash} 00"), "more bytes"),
            (format!("86 01 04 00 19012c 5820{hash} 00"), "more fields"),
            (format!("85 01 04 00 19012c 581f{}", "09".repeat(31)), "a short hash"),
            ("85 01 04 00 19012c".to_owned(), "an end in the middle"),
            (format!("86 01 02 00 5820{hash} 40 04"), "an empty serial"),
        ] {
            let bytes = hex::decode(text.replace(' ', "")).unwrap();
            assert!(matches!(Leaf::decode(&bytes), Err(LeafError::Form { .. })), "{note}");
        }
        assert_eq!(Leaf::decode(&[0x82, 2, 1]), Err(LeafError::Version { found: 2 }));
        assert_eq!(Leaf::decode(&[0x83, 1, 9, 0]), Err(LeafError::Kind { found: 9 }));
        let long = vec![0; MAX_CERTIFICATE + 1];
        assert_eq!(Leaf::Issued { at: 0, issuer: [0; 32], certificate: &long }.encode(), None);
    }

    proptest! {
        #[test]
        fn leaves_round_trip(
            at: u64, issuer: [u8; 32], der in prop::collection::vec(any::<u8>(), 1..100),
            serial in prop::collection::vec(any::<u8>(), 1..=20), reason: u8, number: u64, which in 0..4,
        ) {
            let leaf = match which {
                0 => Leaf::Issued { at, issuer, certificate: &der },
                1 => Leaf::Discarded { at, issuer, certificate: &der },
                2 => Leaf::Revoked { at, issuer, serial: &serial, reason },
                _ => Leaf::Event { at, number, commitment: issuer },
            };
            let bytes = leaf.encode().unwrap();
            prop_assert_eq!(Leaf::decode(&bytes), Ok(leaf));
        }

        #[test]
        fn any_bytes_are_a_leaf_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(leaf) = Leaf::decode(&bytes) {
                prop_assert_eq!(leaf.encode(), Some(bytes));
            }
        }
    }
}
