//! A bounded reader of DER (X.690): definite, minimal lengths of at most 65,535 bytes, one-byte tags.
//!
//! It copies nothing and never recurses: nesting is the caller's, one call a level, and so is fixed in the
//! code. It does not know what the elements mean.

use super::PathError;

/// Tags, whole identifier octets: class, constructed bit, number (X.690, section 8.1.2).
pub(super) mod tag {
    pub(in super::super) const BOOLEAN: u8 = 0x01;
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const BIT_STRING: u8 = 0x03;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const OID: u8 = 0x06;
    pub(in super::super) const UTF8_STRING: u8 = 0x0c;
    pub(in super::super) const PRINTABLE_STRING: u8 = 0x13;
    pub(in super::super) const IA5_STRING: u8 = 0x16;
    pub(in super::super) const UTC_TIME: u8 = 0x17;
    pub(in super::super) const GENERALIZED_TIME: u8 = 0x18;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;

    /// `[number]`, primitive.
    pub(in super::super) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]`, constructed.
    pub(in super::super) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, PathError> {
        let (tag, length, head) = match *self.rest {
            // A tag number of 31 or more would take further bytes; X.509 has none.
            [tag, ..] if tag & 0x1f == 0x1f => return Err(PathError::Malformed),
            [tag, length @ 0..=0x7f, ..] => (tag, usize::from(length), 2),
            [tag, 0x81, length @ 0x80..=0xff, ..] => (tag, usize::from(length), 3),
            #[cfg(feature = "plants")]
            [tag, 0x81, length, ..] if planted() => (tag, usize::from(length), 3),
            #[cfg(feature = "plants")]
            [tag, 0x82, 0, low, ..] if planted() => (tag, usize::from(low), 4),
            [tag, 0x82, high @ 1..=0xff, low, ..] => (tag, usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return Err(PathError::Malformed),
        };
        let (whole, rest) = self.rest.split_at_checked(head + length).ok_or(PathError::Malformed)?;
        let content = whole.get(head..).ok_or(PathError::Malformed)?;
        self.rest = rest;
        Ok(Element { tag, content, whole })
    }

    /// The next element, which must have this tag.
    pub(super) fn element(&mut self, tag: u8) -> Result<Element<'a>, PathError> {
        self.any()
            .and_then(|element| if element.tag == tag { Ok(element) } else { Err(PathError::Malformed) })
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn read(&mut self, tag: u8) -> Result<&'a [u8], PathError> {
        self.element(tag).map(|element| element.content)
    }

    /// The content of the next element, if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, PathError> {
        if self.rest.first() == Some(&tag) { self.read(tag).map(Some) } else { Ok(None) }
    }

    /// An element with this tag as a reader of its content.
    pub(super) fn nested(&mut self, tag: u8) -> Result<Self, PathError> {
        self.read(tag).map(Self::new)
    }

    /// As [`nested`](Self::nested), for a type of which ASN.1 wants one element or more (`SIZE (1..MAX)`).
    pub(super) fn nested_non_empty(&mut self, tag: u8) -> Result<Self, PathError> {
        self.nested(tag)
            .and_then(|nested| if nested.is_empty() { Err(PathError::Malformed) } else { Ok(nested) })
    }

    /// An OBJECT IDENTIFIER, whose subidentifiers are whole and in their shortest form (X.690, section 8.19.2).
    pub(super) fn oid(&mut self) -> Result<&'a [u8], PathError> {
        let content = self.read(tag::OID)?;
        let mut begins = true;
        for byte in content {
            if begins && *byte == 0x80 {
                return Err(PathError::Malformed);
            }
            begins = *byte < 0x80;
        }
        if content.is_empty() || !begins { Err(PathError::Malformed) } else { Ok(content) }
    }

    /// A BIT STRING of whole bytes.
    pub(super) fn bit_string_bytes(&mut self) -> Result<&'a [u8], PathError> {
        match self.read(tag::BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(PathError::Malformed),
        }
    }

    /// An INTEGER in its shortest form (X.690, section 8.3.2), as two's complement.
    pub(super) fn integer(&mut self) -> Result<&'a [u8], PathError> {
        match self.read(tag::INTEGER)? {
            [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(PathError::Malformed),
            content => Ok(content),
        }
    }

    /// Nothing may be left.
    pub(super) const fn finish(self) -> Result<(), PathError> {
        if self.rest.is_empty() { Ok(()) } else { Err(PathError::Malformed) }
    }
}

/// Whether lengths may have a longer form: a defect for the fuzzing to find.
#[cfg(feature = "plants")]
fn planted() -> bool {
    shared::plant::has(shared::plant::Plant::LongFormLength)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Reader, tag};
    use crate::x509::PathError;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn lengths_have_one_form_only() {
        for (bytes, good) in [
            (vec![0x04, 0x00], true),
            (vec![0x04, 0x01, 9], true),
            (vec![0x04, 0x81, 0x01, 9], false),    // fits the short form
            (vec![0x04, 0x80, 0x00, 0x00], false), // indefinite
            (vec![0x04, 0x82, 0x00, 0x80], false), // leading zero
            (vec![0x04, 0x83, 0x00, 0x00, 0x01, 9], false), // three bytes
            (vec![0x04, 0x02, 9], false),          // short of data
            (vec![0x1f, 0x01, 0x00], false),       // long tag
            (vec![0x04], false),
            (vec![], false),
        ] {
            assert_eq!(Reader::new(&bytes).any().is_ok(), good, "{bytes:02x?}");
        }
        let mut long = vec![0x04, 0x81, 0x80];
        long.resize(3 + 0x80, 7);
        assert_eq!(Reader::new(&long).read(tag::OCTET_STRING), Ok(&[7; 0x80][..]));
    }

    #[test]
    fn integers_have_one_form_only() {
        for (content, good) in [
            (&[0x00][..], true),
            (&[0x7f], true),
            (&[0x80], true),
            (&[0x00, 0x80], true),
            (&[0x00, 0x7f], false),
            (&[0xff, 0x80], false),
            (&[], false),
        ] {
            let mut bytes = vec![0x02, u8::try_from(content.len()).unwrap()];
            bytes.extend_from_slice(content);
            assert_eq!(Reader::new(&bytes).integer().is_ok(), good, "{bytes:02x?}");
        }
    }

    #[test]
    fn object_identifiers_are_whole_and_short() {
        for (content, good) in [
            (&[0x55, 0x1d, 0x0f][..], true),
            (&[0x2b, 0x81, 0x00], true),
            (&[0x2b, 0x80, 0x01], false), // a subidentifier with a zero in front
            (&[0x02, 0x7e, 0xd0], false), // ends in the middle of one
            (&[], false),
        ] {
            let mut bytes = vec![0x06, u8::try_from(content.len()).unwrap()];
            bytes.extend_from_slice(content);
            assert_eq!(Reader::new(&bytes).oid().is_ok(), good, "{bytes:02x?}");
        }
    }

    #[test]
    fn bit_strings_have_their_count_byte_and_no_unused_bits() {
        assert_eq!(Reader::new(&[0x03, 0x00]).bit_string_bytes(), Err(PathError::Malformed));
        assert_eq!(Reader::new(&[0x03, 0x02, 0x01, 0x80]).bit_string_bytes(), Err(PathError::Malformed));
        assert_eq!(Reader::new(&[0x03, 0x02, 0x00, 0x80]).bit_string_bytes(), Ok(&[0x80][..]));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_there(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Reader::new(&bytes);
            let mut seen = Vec::new();
            while let Ok(element) = reader.any() {
                seen.extend_from_slice(element.whole);
                prop_assert!(element.whole.ends_with(element.content));
            }
            prop_assert!(bytes.starts_with(&seen));
        }
    }
}
