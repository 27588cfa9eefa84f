//! Rows of the trail that went with a database: said in an event, and read from it again by who audits the log.

use core::fmt;
use core::ops::RangeInclusive;

/// What stands before the number of the first row.
const FROM: &str = "lost are the rows of the audit trail from ";
/// What stands before the number of the last row.
const TO: &str = " to ";

/// The numbers of the rows that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostRows(pub(crate) RangeInclusive<u64>);

impl LostRows {
    /// What an event's detail says of them, wherever in it.
    pub(crate) fn find(detail: &str) -> Option<Self> {
        let (_, rest) = detail.split_once(FROM)?;
        let (first, rest) = rest.split_once(TO)?;
        let last = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self(first.parse().ok()?..=last.parse().ok()?))
    }
}

impl fmt::Display for LostRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FROM}{}{TO}{}", self.0.start(), self.0.end())
    }
}

#[cfg(test)]
mod tests {
    use super::LostRows;

    #[test]
    fn what_is_said_is_found_again() {
        for rows in [LostRows(7..=7), LostRows(0..=u64::MAX)] {
            assert_eq!(LostRows::find(&rows.to_string()), Some(rows.clone()));
            assert_eq!(LostRows::find(&format!("before; {rows}; 3 entries of the list")), Some(rows));
        }
    }

    #[test]
    fn the_words_never_change() {
        // Trails that exist say it in these words.
        let words = "lost are the rows of the audit trail from 3 to 12";
        assert_eq!(LostRows(3..=12).to_string(), words);
        for detail in [
            "",
            "lost are the rows",
            "lost are the rows of the audit trail from 3 to ",
            "rows of the audit trail from 3 to 12",
        ] {
            assert_eq!(LostRows::find(detail), None, "{detail}");
        }
    }
}
