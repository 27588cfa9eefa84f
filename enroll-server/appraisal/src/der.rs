//! A bounded reader of DER (X.690) for the structures that no library here reads: definite lengths in their
//! shortest form, one-byte tags, nothing copied.
//!
//! It never recurses: nesting is the caller's, one call a level. It does not know what the elements mean.

/// Tags, whole identifier octets (X.690, section 8.1.2).
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[number]`, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]`, constructed.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// The bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag and content of the next element.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (tag, length, head) = match *self.0 {
            // Tag numbers from 31 on take further bytes; nothing that is read here has one.
            [tag, ..] if tag & 0x1f == 0x1f => return Err(Malformed),
            [tag, length @ 0..=0x7f, ..] => (tag, usize::from(length), 2),
            [tag, 0x81, length @ 0x80..=0xff, ..] => (tag, usize::from(length), 3),
            [tag, 0x82, high @ 1..=0xff, low, ..] => (tag, usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return Err(Malformed),
        };
        let (whole, rest) = self.0.split_at_checked(head + length).ok_or(Malformed)?;
        self.0 = rest;
        Ok((tag, whole.get(head..).ok_or(Malformed)?))
    }

    /// The tag of the next element, and the element with its head.
    pub(crate) fn whole(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let before = self.0;
        let (tag, _) = self.any()?;
        let length = before.len().saturating_sub(self.0.len());
        Ok((tag, before.get(..length).ok_or(Malformed)?))
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn read(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.any().and_then(|(found, content)| if found == tag { Ok(content) } else { Err(Malformed) })
    }

    /// The content of the next element, if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) { self.read(tag).map(Some) } else { Ok(None) }
    }

    /// An element with this tag as a reader of its content.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.read(tag).map(Self)
    }

    /// As [`nested`](Self::nested), for a type of which ASN.1 wants one element or more (`SIZE (1..MAX)`).
    pub(crate) fn nested_non_empty(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.nested(tag).and_then(|nested| if nested.is_empty() { Err(Malformed) } else { Ok(nested) })
    }

    /// An object identifier as the bytes of its value.
    pub(crate) fn oid(&mut self) -> Result<&'a [u8], Malformed> {
        self.read(tag::OID).and_then(oid)
    }

    /// Nothing may be left.
    pub(crate) const fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Checks the bytes of an object identifier (X.690, section 8.19): each subidentifier in its shortest form, the
/// last one complete.
pub(crate) fn oid(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let complete = bytes.last().is_some_and(|last| *last < 0x80);
    let mut starts = true;
    for byte in bytes {
        if starts && *byte == 0x80 {
            return Err(Malformed);
        }
        starts = *byte < 0x80;
    }
    if complete { Ok(bytes) } else { Err(Malformed) }
}

/// The value of a non-negative INTEGER's content, in its shortest form (X.690, section 8.3.2).
pub(crate) fn unsigned(content: &[u8]) -> Result<u64, Malformed> {
    match content {
        [] | [0x80..=0xff, ..] | [0x00, 0x00..=0x7f, ..] => return Err(Malformed),
        _ => {}
    }
    let magnitude = content.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(content);
    if magnitude.len() > 8 {
        return Err(Malformed);
    }
    Ok(magnitude.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// An object identifier in dots; `None` where an arc does not fit 64 bits.
pub(crate) fn dotted(oid: &[u8]) -> Option<String> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for byte in oid {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if *byte < 0x80 {
            if arcs.is_empty() {
                // X.690, section 8.19.4: the first two arcs share a subidentifier.
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= first * 40;
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    Some(arcs.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Reader, dotted, oid, tag, unsigned};
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_form_only() {
        for (bytes, good) in [
            (&[0x04, 0x00][..], true),
            (&[0x04, 0x01, 9], true),
            (&[0x04, 0x81, 0x01, 9], false),    // fits the short form
            (&[0x04, 0x80, 0x00, 0x00], false), // indefinite
            (&[0x04, 0x82, 0x00, 0x80], false), // leading zero
            (&[0x04, 0x83, 0x00, 0x00, 0x01, 9], false),
            (&[0x04, 0x02, 9], false),    // short of data
            (&[0x1f, 0x01, 0x00], false), // long tag
            (&[0x05, 0x00], false),       // another tag
            (&[0x04], false),
            (&[], false),
        ] {
            assert_eq!(Reader::new(bytes).read(tag::OCTET_STRING).is_ok(), good, "{bytes:02x?}");
        }
        assert_eq!(Reader::new(&[0x30, 0x00]).nested_non_empty(tag::SEQUENCE).err(), Some(Malformed));
    }

    #[test]
    fn numbers_have_one_form_only() {
        assert_eq!(unsigned(&[0]), Ok(0));
        assert_eq!(unsigned(&[0, 0x80]), Ok(128));
        assert_eq!(unsigned(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Ok(u64::MAX));
        for wrong in [&[][..], &[0x80], &[0, 0], &[0, 0x7f], &[1; 9]] {
            assert_eq!(unsigned(wrong), Err(Malformed), "{wrong:02x?}");
        }
    }

    #[test]
    fn object_identifiers_are_checked_and_shown() {
        assert_eq!(dotted(&[0x67, 0x81, 0x05, 0x05, 0x04, 0x01]).unwrap(), "2.23.133.5.4.1");
        assert_eq!(dotted(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04]).unwrap(), "1.3.6.1.5.5.7.8.4");
        assert_eq!(dotted(&[0xff; 12]), None);
        for wrong in [&[][..], &[0x80, 0x01], &[0x2b, 0x80, 0x01], &[0x2b, 0x86]] {
            assert_eq!(oid(wrong), Err(Malformed), "{wrong:02x?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _text = dotted(&bytes);
            let _number = unsigned(&bytes);
            let mut reader = Reader::new(&bytes);
            while reader.read(tag::OCTET_STRING).is_ok() {}
        }
    }
}
