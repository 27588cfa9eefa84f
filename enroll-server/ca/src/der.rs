//! Writes the few DER values that certificates of this CA contain (X.690).
//!
//! They are the yardstick that signed certificates are held against, and so made without the library that
//! signs.

/// A tag, the length and the parts.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(LONGEST_HEAD + length);
    write_head(&mut der, tag, length);
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// A tag and a length in its shortest form.
pub(crate) fn head(tag: u8, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(LONGEST_HEAD);
    write_head(&mut head, tag, length);
    head
}

/// A tag, how many bytes of length follow, and those.
const LONGEST_HEAD: usize = 2 + size_of::<usize>();

fn write_head(der: &mut Vec<u8>, tag: u8, length: usize) {
    der.push(tag);
    match u8::try_from(length) {
        Ok(short @ ..0x80) => der.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let significant = significant(&bytes);
            // At most eight bytes, so that the count fits the low bits.
            der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            der.extend_from_slice(significant);
        }
    }
}

/// A number without the zeros in front.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The object identifier prime256v1 (RFC 5480, section 2.1.1.1), with its tag and length.
pub(crate) const OID_P256: [u8; 10] = [OID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// An ECDSA-Sig-Value (RFC 3279, section 2.2.3) from r and s, 32 bytes each; `None` for any other length.
pub(crate) fn ecdsa_signature(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(32).filter(|(_, s)| s.len() == 32)?;
    Some(tlv(SEQUENCE, &[&unsigned(r), &unsigned(s)]))
}

/// An INTEGER that is not negative, in its shortest form.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = significant(bytes);
    // One byte of zeros where the top bit would make it negative, and for zero itself.
    let sign: &[u8] = if significant.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    tlv(INTEGER, &[sign, significant])
}

/// A context-specific tag below 31, primitive.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// A context-specific tag below 31, constructed.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::{OCTET_STRING, ecdsa_signature, tlv};

    #[test]
    fn signatures_have_integers_in_their_shortest_form() {
        let mut raw = [0; 64];
        (raw[31], raw[32]) = (0x7f, 0x80);
        let der = ecdsa_signature(&raw).unwrap();
        assert_eq!(der[..8], [0x30, 38, 2, 1, 0x7f, 2, 33, 0]);
        assert_eq!(der[8], 0x80);
        assert_eq!(ecdsa_signature(&[0; 64]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(ecdsa_signature(&[0; 63]), None);
        assert_eq!(ecdsa_signature(&[0; 65]), None);
    }

    #[test]
    fn lengths_are_in_their_shortest_form() {
        assert_eq!(tlv(OCTET_STRING, &[]), [4, 0]);
        assert_eq!(tlv(OCTET_STRING, &[&[7; 100], &[8; 27]])[..3], [4, 0x7f, 7]);
        assert_eq!(tlv(OCTET_STRING, &[&[7; 128]])[..4], [4, 0x81, 0x80, 7]);
        assert_eq!(tlv(OCTET_STRING, &[&[7; 300]])[..5], [4, 0x82, 1, 44, 7]);
    }
}
