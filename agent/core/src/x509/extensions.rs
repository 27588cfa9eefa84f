//! The extensions of a certificate (RFC 5280, section 4.2), each in its own form.
//!
//! What a certificate may have in which place of a path is decided in [`super::role`]; here only malformed and
//! repeated extensions are refused.

use super::alt_name::AltNames;
use super::reader::{Reader, tag};
use super::{PathError, oid};

/// What is kept of the extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) ext_key_usage: Option<ExtKeyUsage>,
    pub(super) alt_names: Option<AltNames<'a>>,
    pub(super) subject_key_id: Option<&'a [u8]>,
    pub(super) authority_key_id: Option<AuthorityKeyId<'a>>,
    pub(super) name_constraints: bool,
    /// Policy constraints, policy mappings or inhibitAnyPolicy.
    pub(super) policy_constraints: bool,
    /// A critical extension that is none of the above.
    pub(super) unknown_critical: bool,
    /// A key identifier or an authorityInfoAccess is critical, which it must not be.
    pub(super) misplaced_critical: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    pub(super) critical: bool,
    pub(super) ca: bool,
    /// Most CAs below, self-issued ones not counted.
    pub(super) path_len: Option<u8>,
}

/// Bits of keyUsage that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyUsage {
    pub(super) digital_signature: bool,
    pub(super) key_cert_sign: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExtKeyUsage {
    pub(super) critical: bool,
    pub(super) server_auth: bool,
    pub(super) client_auth: bool,
    pub(super) any: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuthorityKeyId<'a> {
    pub(super) key_id: Option<&'a [u8]>,
    /// The issuer's name or serial number is there too.
    pub(super) more: bool,
}

/// Most extensions in one certificate.
const MAX_EXTENSIONS: usize = 24;

impl<'a> Extensions<'a> {
    /// Reads the content of the `[3]` element, to its end.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, PathError> {
        let mut outer = Reader::new(content);
        let all = outer.nested_non_empty(tag::SEQUENCE)?;
        outer.finish()?;
        let mut extensions = Self::default();
        let mut reader = all;
        let mut count = 0;
        while !reader.is_empty() {
            let extension = Extension::read(&mut reader)?;
            if count == MAX_EXTENSIONS {
                return Err(PathError::Malformed);
            }
            // RFC 5280, section 4.2: no extension twice, known or not.
            let mut before = all;
            for _ in 0..count {
                if Extension::read(&mut before)?.id == extension.id {
                    return Err(PathError::DuplicateExtension);
                }
            }
            extensions.take(&extension)?;
            count += 1;
        }
        Ok(extensions)
    }

    fn take(&mut self, extension: &Extension<'a>) -> Result<(), PathError> {
        let critical = extension.critical;
        let mut value = Reader::new(extension.value);
        match extension.id {
            oid::BASIC_CONSTRAINTS => {
                self.basic_constraints = Some(BasicConstraints::read(&mut value, critical)?);
            }
            oid::KEY_USAGE => self.key_usage = Some(KeyUsage::read(&mut value)?),
            oid::EXT_KEY_USAGE => self.ext_key_usage = Some(ExtKeyUsage::read(&mut value, critical)?),
            oid::SUBJECT_ALT_NAME => self.alt_names = Some(AltNames::read(&mut value, critical)?),
            oid::SUBJECT_KEY_ID => {
                self.misplaced_critical |= critical;
                self.subject_key_id = Some(non_empty(value.read(tag::OCTET_STRING)?)?);
            }
            oid::AUTHORITY_KEY_ID => {
                self.misplaced_critical |= critical;
                self.authority_key_id = Some(AuthorityKeyId::read(&mut value)?);
            }
            oid::AUTHORITY_INFO_ACCESS => {
                self.misplaced_critical |= critical;
                check_info_access(&mut value)?;
            }
            oid::NAME_CONSTRAINTS => {
                self.name_constraints = true;
                return Ok(());
            }
            oid::POLICY_CONSTRAINTS | oid::POLICY_MAPPINGS | oid::INHIBIT_ANY_POLICY => {
                self.policy_constraints = true;
                return Ok(());
            }
            _ => {
                self.unknown_critical |= critical;
                return Ok(());
            }
        }
        value.finish()
    }
}

struct Extension<'a> {
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, PathError> {
        let mut parts = reader.nested(tag::SEQUENCE)?;
        let id = parts.oid()?;
        let critical = match parts.optional(tag::BOOLEAN)? {
            None => false,
            Some([0xff]) => true,
            // DER leaves the default FALSE out (X.690, section 11.5).
            Some(_) => return Err(PathError::Malformed),
        };
        let value = parts.read(tag::OCTET_STRING)?;
        parts.finish()?;
        Ok(Self { id, critical, value })
    }
}

impl BasicConstraints {
    fn read(value: &mut Reader<'_>, critical: bool) -> Result<Self, PathError> {
        let mut parts = value.nested(tag::SEQUENCE)?;
        let ca = match parts.optional(tag::BOOLEAN)? {
            // An explicit FALSE is no DER, but many encoders write it, and it takes nothing away.
            None | Some([0x00]) => false,
            Some([0xff]) => true,
            Some(_) => return Err(PathError::Malformed),
        };
        let path_len = if parts.is_empty() {
            None
        } else {
            match parts.integer()? {
                [length @ 0..=0x7f] => Some(*length),
                // Longer than any path here.
                [0..=0x7f, ..] => Some(u8::MAX),
                _ => return Err(PathError::Malformed),
            }
        };
        parts.finish()?;
        if path_len.is_some() && !ca {
            return Err(PathError::Malformed);
        }
        Ok(Self { critical, ca, path_len })
    }
}

impl KeyUsage {
    fn read(value: &mut Reader<'_>) -> Result<Self, PathError> {
        // RFC 5280, section 4.2.1.3: bit 0 digitalSignature, bit 5 keyCertSign; the first bit is the highest.
        let content = value.read(tag::BIT_STRING)?;
        #[cfg(feature = "plants")]
        planted(content);
        match *content {
            [0] => Ok(Self { digital_signature: false, key_cert_sign: false }),
            [unused @ 0..=7, first] if unused_bits_are_zero(first, unused) => Ok(Self::from_first(first)),
            // The ninth bit, decipherOnly, takes a second byte.
            [7, first, 0x80] => Ok(Self::from_first(first)),
            _ => Err(PathError::Malformed),
        }
    }

    const fn from_first(bits: u8) -> Self {
        Self { digital_signature: bits & 0x80 != 0, key_cert_sign: bits & 0x04 != 0 }
    }
}

/// Looks at the last byte of a BIT STRING, whether it has bits or not: a defect for the fuzzing to find.
#[cfg(feature = "plants")]
#[expect(clippy::indexing_slicing, reason = "the planted defect")]
fn planted(content: &[u8]) {
    if shared::plant::has(shared::plant::Plant::EmptyBitString)
        && let [_unused, bits @ ..] = content
    {
        let _last = bits[bits.len() - 1];
    }
}

const fn unused_bits_are_zero(byte: u8, unused: u8) -> bool {
    byte & !(0xff << unused) == 0
}

impl ExtKeyUsage {
    fn read(value: &mut Reader<'_>, critical: bool) -> Result<Self, PathError> {
        let mut purposes = value.nested_non_empty(tag::SEQUENCE)?;
        let mut usage = Self { critical, ..Self::default() };
        while !purposes.is_empty() {
            match purposes.oid()? {
                oid::SERVER_AUTH => usage.server_auth = true,
                oid::CLIENT_AUTH => usage.client_auth = true,
                oid::ANY_EXT_KEY_USAGE => usage.any = true,
                _ => {}
            }
        }
        Ok(usage)
    }
}

impl<'a> AuthorityKeyId<'a> {
    fn read(value: &mut Reader<'a>) -> Result<Self, PathError> {
        let mut parts = value.nested(tag::SEQUENCE)?;
        let key_id = parts.optional(tag::context(0))?.map(non_empty).transpose()?;
        let issuer = parts.optional(tag::context_constructed(1))?;
        let serial = parts.optional(tag::context(2))?;
        parts.finish()?;
        Ok(Self { key_id, more: issuer.is_some() || serial.is_some() })
    }
}

/// RFC 5280, section 4.2.2.1. The locations are not used.
fn check_info_access(value: &mut Reader<'_>) -> Result<(), PathError> {
    let mut descriptions = value.nested_non_empty(tag::SEQUENCE)?;
    while !descriptions.is_empty() {
        let mut parts = descriptions.nested(tag::SEQUENCE)?;
        parts.oid()?;
        parts.any()?;
        parts.finish()?;
    }
    Ok(())
}

const fn non_empty(content: &[u8]) -> Result<&[u8], PathError> {
    if content.is_empty() { Err(PathError::Malformed) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{BasicConstraints, Extensions, KeyUsage};
    use crate::x509::PathError;
    use crate::x509::reader::Reader;
    use std::vec;
    use std::vec::Vec;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
        let mut content = tlv(0x06, &[0x55, 0x1d, arc]);
        if critical {
            content.extend([0x01, 0x01, 0xff]);
        }
        content.extend(tlv(0x04, value));
        tlv(0x30, &content)
    }

    /// A SEQUENCE of 128 to 255 bytes.
    fn long(content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x30, 0x81, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    fn parse(extensions: &[Vec<u8>]) -> Result<(), PathError> {
        Extensions::parse(&tlv(0x30, &extensions.concat())).map(|_| ())
    }

    #[test]
    fn unknown_extensions_are_counted_and_compared_too() {
        let unknown = extension(99, false, b"");
        assert_eq!(parse(&[]), Err(PathError::Malformed));
        assert_eq!(parse(&[unknown.clone(), extension(98, false, b"")]), Ok(()));
        assert_eq!(parse(&[unknown.clone(), unknown]), Err(PathError::DuplicateExtension));
        let many = |count: u8| (100..100 + count).map(|arc| extension(arc, false, b"")).collect::<Vec<_>>();
        assert!(Extensions::parse(&long(&many(24).concat())).is_ok());
        assert_eq!(Extensions::parse(&long(&many(25).concat())).map(|_| ()), Err(PathError::Malformed));
    }

    #[test]
    fn critical_extensions_are_known_or_noted() {
        let bytes = tlv(0x30, &extension(99, true, b""));
        assert!(Extensions::parse(&bytes).unwrap().unknown_critical);
        let bytes = tlv(0x30, &extension(14, true, &[0x04, 0x01, 0x07]));
        let extensions = Extensions::parse(&bytes).unwrap();
        assert!(extensions.misplaced_critical && !extensions.unknown_critical);
        // An explicit FALSE.
        let bytes = tlv(0x30, b"\x30\x0a\x06\x03\x55\x1d\x63\x01\x01\x00\x04\x00");
        assert_eq!(Extensions::parse(&bytes).map(|_| ()), Err(PathError::Malformed));
    }

    #[test]
    fn empty_values_are_refused() {
        for arc in [14, 15, 17, 19, 35, 37] {
            assert_eq!(parse(&[extension(arc, false, b"")]), Err(PathError::Malformed), "{arc}");
        }
        // An empty SEQUENCE is a basicConstraints, and an authorityKeyIdentifier, that says nothing.
        for (arc, verdict) in
            [(17, Err(PathError::Malformed)), (37, Err(PathError::Malformed)), (19, Ok(())), (35, Ok(()))]
        {
            assert_eq!(parse(&[extension(arc, false, &[0x30, 0x00])]), verdict, "{arc}");
        }
    }

    #[test]
    fn nothing_follows_a_value() {
        for (arc, value) in [
            (14, &[0x04, 0x01, 0x07][..]),
            (15, &[0x03, 0x02, 0x07, 0x80]),
            (17, &[0x30, 0x03, 0x82, 0x01, 0x61]),
            (19, &[0x30, 0x00]),
            (35, &[0x30, 0x00]),
            (37, &[0x30, 0x03, 0x06, 0x01, 0x2a]),
        ] {
            assert_eq!(parse(&[extension(arc, false, value)]), Ok(()), "{arc}");
            let followed = [value, &[0x05, 0x00]].concat();
            assert_eq!(parse(&[extension(arc, false, &followed)]), Err(PathError::Malformed), "{arc}");
        }
    }

    #[test]
    fn basic_constraints_are_read() {
        let read = |bytes: &[u8]| BasicConstraints::read(&mut Reader::new(bytes), true);
        let constraints = |ca, path_len| Ok(BasicConstraints { critical: true, ca, path_len });
        assert_eq!(read(b"\x30\x00"), constraints(false, None));
        assert_eq!(read(b"\x30\x03\x01\x01\x00"), constraints(false, None));
        assert_eq!(read(b"\x30\x03\x01\x01\xff"), constraints(true, None));
        assert_eq!(read(b"\x30\x06\x01\x01\xff\x02\x01\x00"), constraints(true, Some(0)));
        assert_eq!(read(b"\x30\x07\x01\x01\xff\x02\x02\x01\x00"), constraints(true, Some(255)));
        for broken in [
            &b"\x30\x03\x01\x01\x01"[..],        // neither TRUE nor FALSE
            b"\x30\x03\x02\x01\x00",             // a length without a CA
            b"\x30\x06\x01\x01\xff\x02\x01\xff", // negative
            b"\x30\x08\x01\x01\xff\x02\x01\x00\x05\x00",
        ] {
            assert_eq!(read(broken), Err(PathError::Malformed), "{broken:02x?}");
        }
    }

    #[test]
    fn key_usage_bits_are_read() {
        let read = |bytes: &[u8]| KeyUsage::read(&mut Reader::new(bytes));
        let usage = |digital_signature, key_cert_sign| Ok(KeyUsage { digital_signature, key_cert_sign });
        assert_eq!(read(b"\x03\x01\x00"), usage(false, false));
        assert_eq!(read(b"\x03\x02\x07\x80"), usage(true, false));
        assert_eq!(read(b"\x03\x02\x01\x06"), usage(false, true));
        assert_eq!(read(b"\x03\x03\x07\x86\x80"), usage(true, true));
        for broken in [
            &b"\x03\x00"[..],
            b"\x03\x01\x01",
            b"\x03\x02\x07\xc0",
            b"\x03\x02\x08\x80",
            b"\x03\x03\x00\x80\x80",
        ] {
            assert_eq!(read(broken), Err(PathError::Malformed), "{broken:02x?}");
        }
    }
}
