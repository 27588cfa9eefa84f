//! The two dates of a certificate (RFC 5280, section 4.1.2.5).

use shared::UnixTime;

use super::reader::{Reader, tag};
use super::{PathError, Validity};

/// Not-before and not-after, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Dates {
    /// Reads the content of a Validity.
    ///
    /// UTCTime until 2049 and GeneralizedTime from 2050, to the second, in UTC: no fractions and no offsets.
    /// Dates before 1970 are refused.
    pub(super) fn parse(content: &[u8]) -> Result<Self, PathError> {
        let mut reader = Reader::new(content);
        let not_before = time(&mut reader)?;
        let not_after = time(&mut reader)?;
        reader.finish()?;
        if not_before > not_after {
            return Err(PathError::Dates);
        }
        Ok(Self { not_before, not_after })
    }

    /// Holds the dates against `validity`.
    pub(super) fn check(&self, validity: Validity) -> Result<(), PathError> {
        match validity {
            Validity::At(now) if now < self.not_before => Err(PathError::NotYetValid),
            Validity::At(now) if now > self.not_after => Err(PathError::Expired),
            Validity::NotEndedBy(floor) if floor >= self.not_after => Err(PathError::Expired),
            Validity::At(_) | Validity::NotEndedBy(_) => Ok(()),
        }
    }
}

fn time(reader: &mut Reader<'_>) -> Result<UnixTime, PathError> {
    let element = reader.any()?;
    let (year, rest) = match (element.tag, element.content) {
        (tag::UTC_TIME, [a, b, rest @ ..]) => {
            let year = digits(*a, *b)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (tag::GENERALIZED_TIME, [a, b, c, d, rest @ ..]) => (digits(*a, *b)? * 100 + digits(*c, *d)?, rest),
        (tag::UTC_TIME | tag::GENERALIZED_TIME, _) => return Err(PathError::Dates),
        _ => return Err(PathError::Malformed),
    };
    if element.tag == tag::GENERALIZED_TIME && year < 2050 {
        return Err(PathError::Dates);
    }
    #[cfg(feature = "plants")]
    let rest =
        if shared::plant::has(shared::plant::Plant::UncheckedTime) { rest.split_at(11).0 } else { rest };
    let [mo0, mo1, d0, d1, h0, h1, mi0, mi1, s0, s1, b'Z'] = *rest else { return Err(PathError::Dates) };
    let (month, day) = (digits(mo0, mo1)?, digits(d0, d1)?);
    let (hour, minute, second) = (digits(h0, h1)?, digits(mi0, mi1)?, digits(s0, s1)?);
    UnixTime::from_civil(year, month, day, hour, minute, second).ok_or(PathError::Dates)
}

fn digits(tens: u8, ones: u8) -> Result<u64, PathError> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Ok(u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
    } else {
        Err(PathError::Dates)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Dates;
    use crate::x509::{PathError, Validity};
    use shared::UnixTime;
    use std::vec::Vec;

    fn dates(elements: [(u8, &str); 2]) -> Result<Dates, PathError> {
        let mut content = Vec::new();
        for (tag, text) in elements {
            content.extend([tag, u8::try_from(text.len()).unwrap()]);
            content.extend(text.bytes());
        }
        Dates::parse(&content)
    }

    #[test]
    fn both_forms_are_read() {
        let dates = dates([(0x17, "700101000001Z"), (0x18, "99991231235959Z")]).unwrap();
        assert_eq!(dates.not_before, UnixTime::from_secs(1));
        assert_eq!(dates.not_after, UnixTime::from_secs(253_402_300_799));
    }

    #[test]
    fn other_forms_are_refused() {
        let good = (0x17, "491231235959Z");
        assert!(dates([good, good]).is_ok());
        for bad in [
            (0x17, "4912312359Z"),       // no seconds
            (0x17, "491231235959+0000"), // an offset
            (0x17, "491231235959"),      // no zone
            (0x17, "490231235959Z"),     // no such day
            (0x17, "4x1231235959Z"),     // no digit
            (0x17, "501231235959Z"),     // 1950
            (0x18, "20491231235959Z"),   // must be UTCTime
            (0x18, "20501231235959.5Z"), // a fraction
            (0x18, "20501231235960Z"),   // a leap second
            (0x18, "2050123123595Z"),    // too short
            (0x18, ""),
        ] {
            assert_eq!(dates([good, bad]), Err(PathError::Dates), "{bad:?}");
        }
        assert_eq!(dates([good, (0x0c, "491231235959Z")]), Err(PathError::Malformed));
    }

    #[test]
    fn the_end_is_not_before_the_beginning() {
        let backwards = dates([(0x17, "300101000000Z"), (0x17, "290101000000Z")]);
        assert_eq!(backwards, Err(PathError::Dates));
    }

    #[test]
    fn the_bounds_are_inclusive_and_the_floor_is_not() {
        let at = |secs| Validity::At(UnixTime::from_secs(secs));
        let floor = |secs| Validity::NotEndedBy(UnixTime::from_secs(secs));
        let dates = Dates { not_before: UnixTime::from_secs(10), not_after: UnixTime::from_secs(20) };
        assert_eq!(dates.check(at(9)), Err(PathError::NotYetValid));
        assert_eq!(dates.check(at(10)), Ok(()));
        assert_eq!(dates.check(at(20)), Ok(()));
        assert_eq!(dates.check(at(21)), Err(PathError::Expired));
        assert_eq!(dates.check(floor(0)), Ok(()));
        assert_eq!(dates.check(floor(19)), Ok(()));
        assert_eq!(dates.check(floor(20)), Err(PathError::Expired));
    }
}
