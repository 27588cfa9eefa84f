//! One entry of a list: written once, and read back before anything can hold it.

use std::sync::Arc;

use shared::UnixTime;
use time::{Date, Month, PrimitiveDateTime, Time};

use super::{CrlError, Reason, Revoked};
use crate::der::{self, tlv};
use crate::issuer::IssueError;
use crate::lint::Element;
use crate::parse_back::{Mismatch, same};
use crate::serial::Serial;
use crate::template::der_time;

/// One entry, and how it stands in lists. It exists only where that says what was to be said. A copy shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    revoked: Revoked,
    der: Arc<[u8]>,
}

impl Entry {
    /// Writes an element of revokedCertificates (RFC 5280, section 5.1), and reads it back.
    ///
    /// # Errors
    /// Where its time has no form in DER, which is so after the year 9999.
    pub fn write(revoked: Revoked) -> Result<Self, CrlError> {
        Self::checked(revoked, encode(revoked)?)
    }

    fn checked(revoked: Revoked, der: Vec<u8>) -> Result<Self, CrlError> {
        let wanted = (revoked.serial, revoked.at, revoked.reason.written());
        same(read(&der) == Some(wanted), Mismatch::Entries).map_err(IssueError::Differs)?;
        Ok(Self { revoked, der: der.into() })
    }

    /// What it says.
    #[must_use]
    pub const fn revoked(&self) -> Revoked {
        self.revoked
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }
}

fn encode(revoked: Revoked) -> Result<Vec<u8>, CrlError> {
    let serial = tlv(der::INTEGER, &[&revoked.serial.to_der_value()]);
    let at = der_time(revoked.at).map_err(IssueError::Library)?;
    let reason = revoked.reason.written().map(|code| {
        let value = tlv(der::OCTET_STRING, &[&tlv(der::ENUMERATED, &[&[code]])]);
        let extension = tlv(der::SEQUENCE, &[&tlv(der::OID, &[REASON_CODE]), &value]);
        tlv(der::SEQUENCE, &[&extension])
    });
    let reason = reason.as_deref().unwrap_or_default();
    Ok(tlv(der::SEQUENCE, &[&serial, &at, reason]))
}

impl Reason {
    /// The CRLReason, where lists and OCSP answers have one: RFC 5280, section 5.3.1, asks to leave out "unspecified".
    pub(crate) const fn written(self) -> Option<u8> {
        match self {
            Self::Unspecified => None,
            _ => Some(self.code()),
        }
    }
}

/// 2.5.29.21 (RFC 5280, section 5.3.1).
const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];

/// What an entry says. Made for the fifty thousand of a start: nothing is allocated for its parts. The tests hold it
/// against a parser that others wrote.
fn read(der: &[u8]) -> Option<(Serial, UnixTime, Option<u8>)> {
    let (serial, rest) = Element::first(only(der, der::SEQUENCE)?)?;
    let serial = Serial::from_der_value(Some(serial).filter(|found| found.tag == der::INTEGER)?.value)?;
    let (at, rest) = Element::first(rest)?;
    let at = read_time(at)?;
    if rest.is_empty() {
        return Some((serial, at, None));
    }
    let (oid, value) = Element::first(only(only(rest, der::SEQUENCE)?, der::SEQUENCE)?)?;
    if (oid.tag, oid.value) != (der::OID, REASON_CODE) {
        return None;
    }
    match *only(only(value, der::OCTET_STRING)?, der::ENUMERATED)? {
        [code] => Some((serial, at, Some(code))),
        _ => None,
    }
}

/// The value of the one element that `der` is, where it has this tag.
fn only(der: &[u8], tag: u8) -> Option<&[u8]> {
    Element::only(der).filter(|element| element.tag == tag).map(|element| element.value)
}

/// A Time in the form that it has to have (RFC 5280, sections 5.1.2.4 and 5.1.2.6): UTCTime until 2049, to the second.
pub(super) fn read_time(element: Element<'_>) -> Option<UnixTime> {
    let (pairs, rest) = element.value.as_chunks::<2>();
    let mut pairs = pairs.iter().map(|pair| match *pair {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    });
    let mut next = || pairs.next().flatten();
    let year = match element.tag {
        der::UTC_TIME => match u16::from(next()?) {
            year @ ..50 => 2000 + year,
            year => 1900 + year,
        },
        der::GENERALIZED_TIME => {
            Some(u16::from(next()?) * 100 + u16::from(next()?)).filter(|year| *year >= 2050)?
        }
        _ => return None,
    };
    let date = Date::from_calendar_date(year.into(), Month::try_from(next()?).ok()?, next()?).ok()?;
    let of_day = Time::from_hms(next()?, next()?, next()?).ok()?;
    if rest != b"Z" || pairs.next().is_some() {
        return None;
    }
    let seconds = PrimitiveDateTime::new(date, of_day).assume_utc().unix_timestamp();
    u64::try_from(seconds).ok().map(UnixTime::from_secs)
}

#[cfg(test)]
mod tests {
    use super::{Entry, encode, read};
    use crate::crl::{CrlError, Reason, Revoked};
    use crate::issuer::IssueError;
    use crate::parse_back::Mismatch;
    use crate::serial::Serial;
    use proptest::prelude::*;
    use shared::UnixTime;
    use x509_parser::prelude::FromDer as _;
    use x509_parser::revocation_list::RevokedCertificate;

    fn revoked() -> impl Strategy<Value = Revoked> {
        // To the last second of the year 9999.
        let parts = (any::<[u8; 15]>(), 1_u8.., 0_u64..253_402_300_800, 0..Reason::ALL.len());
        parts.prop_map(|(rest, first, at, reason)| {
            let mut bytes = [first; 16];
            bytes[1..].copy_from_slice(&rest);
            let serial = Serial::from_bytes(bytes).unwrap();
            Revoked { serial, at: UnixTime::from_secs(at), reason: Reason::ALL[reason] }
        })
    }

    fn is_found(revoked: Revoked, written: Vec<u8>) -> bool {
        let checked = Entry::checked(revoked, written);
        matches!(checked, Err(CrlError::Issue(IssueError::Differs(Mismatch::Entries))))
    }

    proptest! {
        /// The same as a parser says that others wrote.
        #[test]
        fn an_entry_says_what_was_to_be_said(revoked in revoked()) {
            let entry = Entry::write(revoked).unwrap();
            let (rest, found) = RevokedCertificate::from_der(entry.der()).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(found.raw_serial(), revoked.serial.to_der_value());
            prop_assert_eq!(u64::try_from(found.revocation_date.timestamp()), Ok(revoked.at.as_secs()));
            let code = found.reason_code().map(|(_, code)| code.0);
            prop_assert_eq!(code, revoked.reason.written());
        }

        /// The planted bugs: whatever byte the writer gets wrong, and whichever field it takes from another entry.
        #[test]
        fn an_entry_that_says_anything_else_is_found(revoked in revoked(), other in revoked(), bit in 0..8_u8) {
            let der = encode(revoked).unwrap();
            for at in 0..der.len() {
                let mut changed = der.clone();
                changed[at] ^= 1 << bit;
                prop_assert!(is_found(revoked, changed), "byte {}", at);
                prop_assert!(is_found(revoked, der[..at].to_vec()));
            }
            let mixed = [
                Revoked { serial: other.serial, ..revoked },
                Revoked { at: other.at, ..revoked },
                Revoked { reason: other.reason, ..revoked },
            ];
            for mixed in mixed.into_iter().filter(|mixed| *mixed != revoked) {
                prop_assert!(is_found(revoked, encode(mixed).unwrap()));
            }
        }

        #[test]
        fn never_panics(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            read(&der);
        }
    }

    #[test]
    fn a_time_that_der_cannot_write_is_refused() {
        let serial = Serial::from_bytes([1; 16]).unwrap();
        let late = Revoked { serial, at: UnixTime::from_secs(u64::MAX), reason: Reason::Superseded };
        assert!(matches!(Entry::write(late), Err(CrlError::Issue(IssueError::Library(_)))));
    }
}
