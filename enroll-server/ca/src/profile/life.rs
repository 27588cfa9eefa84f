//! Spans of time in profiles: whole days or hours.

use core::time::Duration;

use toml::de::DeValue;

use super::MAX_LIFETIME;

/// Shortest life that a profile may give: a device has to renew within a sixth of it.
pub(crate) const MIN_LIFETIME: Duration = Duration::from_secs(HOUR);

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

pub(super) fn read(value: &DeValue<'_>) -> Result<Duration, String> {
    value.as_str().and_then(parse).ok_or_else(|| {
        let most = MAX_LIFETIME.as_secs() / DAY;
        format!("a number of days or hours, such as \"90d\" or \"12h\", from \"1h\" to \"{most}d\"")
    })
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix('d') {
        Some(number) => (number, DAY),
        None => (text.strip_suffix('h')?, HOUR),
    };
    let plain = (1..=6).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| plain)?;
    let life = Duration::from_secs(number.checked_mul(unit)?);
    (MIN_LIFETIME..=MAX_LIFETIME).contains(&life).then_some(life)
}

/// The text that [`read`] reads.
pub(super) fn write(life: Duration) -> String {
    let seconds = life.as_secs();
    if seconds.is_multiple_of(DAY) { format!("{}d", seconds / DAY) } else { format!("{}h", seconds / HOUR) }
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn spans_have_units_and_bounds() {
        for good in ["1h", "36h", "90d", "180d"] {
            assert_eq!(write(parse(good).unwrap()), good);
        }
        assert_eq!(write(parse("48h").unwrap()), "2d");
        for bad in ["", "h", "0h", "90", "181d", "4321h", "-1d", "+1d", "1.5d", "1m", "9999999h", " 1d"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
