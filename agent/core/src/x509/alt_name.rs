//! The subjectAltName extension (RFC 5280, section 4.2.1.6).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::{Reader, tag};
use super::{PathError, oid};

/// The names of a subjectAltName, one or more, each of the right form.
#[derive(Clone, Copy, Debug)]
pub struct AltNames<'a> {
    critical: bool,
    names: Reader<'a>,
}

/// One name of a subjectAltName.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AltName<'a> {
    /// dNSName: ASCII, not checked to be a host name.
    Dns(&'a str),
    /// iPAddress.
    Ip(IpAddr),
    /// uniformResourceIdentifier: ASCII, not checked to be a URI.
    Uri(&'a str),
    /// otherName with a hardwareModuleName (RFC 4108, section 5): the serial number of the module, not empty.
    HardwareModule(&'a [u8]),
    /// A name of another kind.
    Other,
}

impl<'a> AltNames<'a> {
    pub(super) fn read(value: &mut Reader<'a>, critical: bool) -> Result<Self, PathError> {
        let names = value.nested_non_empty(tag::SEQUENCE)?;
        let mut rest = names;
        while !rest.is_empty() {
            AltName::read(&mut rest)?;
        }
        Ok(Self { critical, names })
    }

    pub(super) const fn is_critical(&self) -> bool {
        self.critical
    }
}

impl<'a> Iterator for AltNames<'a> {
    type Item = AltName<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // The names have been read once, so there is no error to lose.
        if self.names.is_empty() { None } else { AltName::read(&mut self.names).ok() }
    }
}

impl<'a> AltName<'a> {
    /// A GeneralName.
    fn read(names: &mut Reader<'a>) -> Result<Self, PathError> {
        const RFC822_NAME: u8 = tag::context(1);
        const DNS_NAME: u8 = tag::context(2);
        const URI: u8 = tag::context(6);
        const IP_ADDRESS: u8 = tag::context(7);
        const REGISTERED_ID: u8 = tag::context(8);
        // otherName, x400Address, directoryName, ediPartyName.
        const OTHER_NAME: u8 = tag::context_constructed(0);
        const X400_ADDRESS: u8 = tag::context_constructed(3);
        const DIRECTORY_NAME: u8 = tag::context_constructed(4);
        const EDI_PARTY_NAME: u8 = tag::context_constructed(5);

        let name = names.any()?;
        if name.content.is_empty() {
            return Err(PathError::Malformed);
        }
        match name.tag {
            DNS_NAME => ascii(name.content).map(Self::Dns),
            URI => ascii(name.content).map(Self::Uri),
            IP_ADDRESS => address(name.content).map(Self::Ip),
            RFC822_NAME => ascii(name.content).map(|_| Self::Other),
            OTHER_NAME => other_name(name.content),
            REGISTERED_ID | X400_ADDRESS | DIRECTORY_NAME | EDI_PARTY_NAME => Ok(Self::Other),
            _ => Err(PathError::Malformed),
        }
    }
}

/// An otherName: `type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY DEFINED BY type-id`.
fn other_name(content: &[u8]) -> Result<AltName<'_>, PathError> {
    let mut fields = Reader::new(content);
    if fields.oid()? != oid::HARDWARE_MODULE_NAME {
        return Ok(AltName::Other);
    }
    let mut value = fields.nested(tag::context_constructed(0))?;
    fields.finish()?;
    let mut module = value.nested(tag::SEQUENCE)?;
    value.finish()?;
    let (_kind, serial) = (module.oid()?, module.read(tag::OCTET_STRING)?);
    module.finish()?;
    if serial.is_empty() {
        return Err(PathError::Malformed);
    }
    Ok(AltName::HardwareModule(serial))
}

/// An IA5String's content.
fn ascii(content: &[u8]) -> Result<&str, PathError> {
    match core::str::from_utf8(content) {
        Ok(text) if text.is_ascii() => Ok(text),
        Ok(_) | Err(_) => Err(PathError::Malformed),
    }
}

/// 4 bytes for IPv4, 16 for IPv6.
fn address(content: &[u8]) -> Result<IpAddr, PathError> {
    if let Ok(v4) = <[u8; 4]>::try_from(content) {
        Ok(IpAddr::V4(Ipv4Addr::from(v4)))
    } else if let Ok(v6) = <[u8; 16]>::try_from(content) {
        Ok(IpAddr::V6(Ipv6Addr::from(v6)))
    } else {
        Err(PathError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{AltName, AltNames};
    use crate::x509::PathError;
    use crate::x509::reader::Reader;
    use core::net::IpAddr;
    use std::vec::Vec;

    fn read(bytes: &[u8]) -> Result<Vec<AltName<'_>>, PathError> {
        AltNames::read(&mut Reader::new(bytes), false).map(Iterator::collect)
    }

    #[test]
    fn names_are_read() {
        let bytes = b"\x30\x18\x82\x04a.bc\x87\x04\x7f\x00\x00\x01\x86\x05urn:a\xa4\x03\x30\x01x";
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            read(bytes).unwrap(),
            [AltName::Dns("a.bc"), AltName::Ip(loopback), AltName::Uri("urn:a"), AltName::Other]
        );
        let bytes = b"\x30\x12\x87\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        assert_eq!(read(bytes).unwrap(), [AltName::Ip("::1".parse().unwrap())]);
    }

    #[test]
    fn hardware_modules_are_read() {
        let name = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x04\xa0\x0b\x30\x09\x06\x02\x2a\x03\x04\x03abc";
        let with = |name: &[u8]| {
            let length = u8::try_from(name.len()).unwrap();
            [&[0x30, length + 2, 0xa0, length], name].concat()
        };
        assert_eq!(read(&with(name)).unwrap(), [AltName::HardwareModule(b"abc")]);
        assert_eq!(read(&with(b"\x06\x01\x2a\xa0\x02\x05\x00")).unwrap(), [AltName::Other]);
        // Cut short anywhere, and each tag changed.
        for at in 0..name.len() {
            assert_eq!(read(&with(&name[..at])), Err(PathError::Malformed), "{at}");
        }
        for at in [0, 10, 12, 14, 18] {
            let mut changed = name.to_vec();
            changed[at] ^= 1;
            assert_eq!(read(&with(&changed)), Err(PathError::Malformed), "{at}");
        }
    }

    #[test]
    fn broken_names_are_refused() {
        for broken in [
            &b"\x30\x00"[..],                                    // no name
            b"\x30\x02\x82\x00",                                 // an empty name
            b"\x30\x03\x82\x01\xe9",                             // not ASCII
            b"\x30\x04\x82\x02\xc3\xa9",                         // UTF-8
            b"\x30\x05\x87\x03\x7f\x00\x01",                     // an address of three bytes
            b"\x30\x0a\x87\x08\x7f\x00\x00\x01\xff\xff\xff\xff", // a network
            b"\x30\x03\x89\x01a",                                // no such kind
            b"\x30\x03\x82\x02a",                                // short of data
        ] {
            assert_eq!(read(broken), Err(PathError::Malformed), "{broken:02x?}");
        }
    }
}
