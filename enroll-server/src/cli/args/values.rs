//! Values on the command line that are no plain texts and numbers.

use core::time::Duration;

use shared::UnixTime;

use crate::config::parse_duration;
use crate::store::{ListPlace, Page};

/// Which part of a list that has the newest first.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Part {
    /// Begin behind this place: what the page before names.
    #[arg(long, value_name = "PLACE")]
    after: Option<ListPlace>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

impl Part {
    pub(in crate::cli) fn page(self) -> Page<ListPlace> {
        Page { after: self.after, limit: self.limit }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 7d, 12h or 30m".to_owned())
}

pub(super) fn time(text: &str) -> Result<UnixTime, String> {
    let wrong = || "expected seconds since 1970, or a time such as 2026-11-25T19:00:00Z".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(UnixTime::from_secs(seconds));
    }
    let numbers: Vec<u64> = text
        .strip_suffix('Z')
        .ok_or_else(wrong)?
        .split(['-', 'T', ':'])
        .map(|part| part.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let [year, month, day, hour, minute, second] = numbers.as_slice() else { return Err(wrong()) };
    UnixTime::from_civil(*year, *month, *day, *hour, *minute, *second).ok_or_else(wrong)
}

/// SHA-256 of something, on the command line.
pub(in crate::cli) type Sha256Arg = [u8; 32];

pub(super) fn sha256(text: &str) -> Result<Sha256Arg, String> {
    let mut hash = [0; 32];
    let decoded = hex::decode_to_slice(text.replace(':', ""), &mut hash);
    decoded.map(|()| hash).map_err(|_| "expected 64 hexadecimal digits".to_owned())
}
