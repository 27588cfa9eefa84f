//! Where the next page of a list begins that has the newest first.

use core::fmt;

use shared::UnixTime;

/// A place in a list: behind what has this name and was made then. As a text, the seconds since 1970 and the name, with a
/// dash between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// When it was made.
    pub created: UnixTime,
    /// Its name in the list, in hexadecimal digits.
    pub id: String,
}

/// The text is no place in such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the `next` of a page of this list")]
pub struct ListPlaceError;

/// Most digits of the time in a place: those of the year 9999.
pub const MAX_PLACE_TIME: usize = 12;
/// Longest name in a place.
pub const MAX_PLACE_NAME: usize = 64;

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created.as_secs(), self.id)
    }
}

impl core::str::FromStr for ListPlace {
    type Err = ListPlaceError;

    fn from_str(text: &str) -> Result<Self, ListPlaceError> {
        let (created, id) = text.split_once('-').ok_or(ListPlaceError)?;
        let digits = (1..=MAX_PLACE_TIME).contains(&created.len())
            && (created == "0" || !created.starts_with('0'))
            && created.bytes().all(|byte| byte.is_ascii_digit());
        let named = (1..=MAX_PLACE_NAME).contains(&id.len())
            && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let created = created.parse().ok().filter(|_| digits && named).ok_or(ListPlaceError)?;
        Ok(Self { created: UnixTime::from_secs(created), id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::ListPlace;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for good in ["1800000000-0a1b2c3d4e5f", "0-0"] {
            assert_eq!(good.parse::<ListPlace>().unwrap().to_string(), good);
        }
        for bad in
            ["", "-", "1-", "-a", "01-a", "+1-a", "1-A", "1-g", "1-a-b", "1234567890123-a", &"1-".repeat(40)]
        {
            assert!(bad.parse::<ListPlace>().is_err(), "{bad}");
        }
        assert!(format!("1-{}", "a".repeat(65)).parse::<ListPlace>().is_err());
    }
}
