//! Distinguished names (RFC 5280, section 4.1.2.4): their form, and two attributes of a subject.
//!
//! Names are compared as bytes; the string preparation of RFC 5280, section 7.1, is not done, so a CA that
//! writes its name in two ways is not recognised.

use super::reader::{Reader, tag};
use super::{PathError, oid};

/// A Name, its form checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Content of the RDNSequence.
    content: &'a [u8],
}

/// One attribute of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    kind: &'a [u8],
    tag: u8,
    value: &'a [u8],
}

impl<'a> Name<'a> {
    /// Checks the content of an RDNSequence to its end.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, PathError> {
        let name = Self { content };
        let mut attributes = name.attributes();
        while attributes.step()?.is_some() {}
        Ok(name)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// The bytes of the name, without the outer tag and length.
    pub(super) const fn as_bytes(&self) -> &'a [u8] {
        self.content
    }

    pub(super) const fn attributes(&self) -> Attributes<'a> {
        Attributes { names: Reader::new(self.content), name: Reader::new(&[]), before: &[] }
    }

    /// All common names.
    pub(super) fn common_names(&self) -> impl Iterator<Item = Attribute<'a>> {
        self.attributes().filter(|attribute| attribute.kind == oid::COMMON_NAME)
    }

    /// The first serialNumber.
    pub(super) fn serial_number(&self) -> Option<Attribute<'a>> {
        self.attributes().find(|attribute| attribute.kind == oid::SERIAL_NUMBER)
    }
}

impl<'a> Attribute<'a> {
    /// The value, if it is a string that UTF-8 can show: UTF8String, PrintableString or IA5String.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.tag {
            tag::UTF8_STRING => core::str::from_utf8(self.value).ok(),
            tag::PRINTABLE_STRING | tag::IA5_STRING if self.value.is_ascii() => {
                core::str::from_utf8(self.value).ok()
            }
            _ => None,
        }
    }
}

/// Walks over the attributes of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a> {
    names: Reader<'a>,
    name: Reader<'a>,
    /// The attribute before it in one relative name.
    before: &'a [u8],
}

impl<'a> Attributes<'a> {
    fn step(&mut self) -> Result<Option<Attribute<'a>>, PathError> {
        if self.name.is_empty() {
            if self.names.is_empty() {
                return Ok(None);
            }
            self.name = self.names.nested_non_empty(tag::SET)?;
            self.before = &[];
        }
        let element = self.name.element(tag::SEQUENCE)?;
        // A SET OF is in order (X.690, section 11.6), or one name had several spellings. None comes twice.
        if self.before >= element.whole {
            return Err(PathError::Malformed);
        }
        self.before = element.whole;
        let mut pair = Reader::new(element.content);
        let kind = pair.oid()?;
        let value = pair.any()?;
        pair.finish()?;
        if value.content.is_empty() {
            return Err(PathError::Malformed);
        }
        Ok(Some(Attribute { kind, tag: value.tag, value: value.content }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // A `Name` has been walked to its end once, so there is no error to lose.
        self.step().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    const NAME: &[u8] =
        b"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a\x31\x0a\x30\x08\x06\x03\x55\x04\x05\x13\x01b";

    #[test]
    fn attributes_are_found() {
        let name = Name::parse(NAME).unwrap();
        assert_eq!(name.common_names().next().unwrap().text(), Some("a"));
        assert_eq!(name.serial_number().unwrap().text(), Some("b"));
        assert!(Name::parse(b"").unwrap().is_empty());
        let together = b"\x31\x14\x30\x08\x06\x03\x55\x04\x03\x0c\x01a\x30\x08\x06\x03\x55\x04\x05\x13\x01b";
        assert_eq!(Name::parse(together).unwrap().serial_number().unwrap().text(), Some("b"));
    }

    #[test]
    fn broken_names_are_refused() {
        for broken in [
            &NAME[..NAME.len() - 1],
            b"\x31\x00",                                              // no attribute
            b"\x31\x02\x30\x00",                                      // no type
            b"\x31\x07\x30\x05\x06\x00\x0c\x01a",                     // an empty type
            b"\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x00",          // empty value
            b"\x30\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a",         // no SET
            b"\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x01a\x05\x00", // a third element
            // One relative name with an attribute twice, and with two in the wrong order.
            b"\x31\x14\x30\x08\x06\x03\x55\x04\x03\x0c\x01a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a",
            b"\x31\x14\x30\x08\x06\x03\x55\x04\x05\x13\x01b\x30\x08\x06\x03\x55\x04\x03\x0c\x01a",
        ] {
            assert!(Name::parse(broken).is_err(), "{broken:02x?}");
        }
    }

    #[test]
    fn text_is_what_its_tag_says() {
        let name = Name::parse(b"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xff").unwrap();
        assert_eq!(name.common_names().next().unwrap().text(), None);
    }
}
