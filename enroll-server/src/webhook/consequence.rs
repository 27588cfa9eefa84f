//! What follows from a receiver's answer: pure.

use core::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use shared::UnixTime;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The receiver has taken it.
    Delivered,
    /// It is sent again, after at least this time where the receiver asked for one.
    Again(Option<Duration>),
    /// As [`Again`](Self::Again), and it counts: the receiver calls the event bad.
    Refused(Option<Duration>),
    /// The receiver refuses it for good.
    Park,
}

/// An event that its receiver has called bad so often is parked.
pub const TRIES: u32 = 8;

/// Judges an answer; `None`: there was none. `refusals`: so often the receiver has called this event bad, should this
/// answer do so too.
///
/// Only a status that speaks of the message itself makes an event a bad one. All others speak of the receiver (its
/// address, its keys, its load), where the next event would fare no better: it is tried for as long as it takes.
#[must_use]
pub fn consequence(answer: Option<(StatusCode, &HeaderMap)>, refusals: u32, now: UnixTime) -> Consequence {
    let Some((status, headers)) = answer else { return Consequence::Again(None) };
    if status.is_success() {
        return Consequence::Delivered;
    }
    if !speaks_of_the_message(status) {
        return Consequence::Again(retry_after(headers, now));
    }
    if refusals >= TRIES { Consequence::Park } else { Consequence::Refused(retry_after(headers, now)) }
}

/// Statuses of RFC 9110, section 15.5, and RFC 6585 that blame the content or the form of a request.
const fn speaks_of_the_message(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 406 | 409 | 411 | 413 | 414 | 415 | 416 | 417 | 422 | 431)
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(UnixTime::from_secs(date.as_secs()).since(now))
}

#[cfg(test)]
mod tests {
    use super::{Consequence, TRIES, consequence};
    use axum::http::{HeaderMap, HeaderValue, StatusCode};
    use shared::UnixTime;

    const NOW: UnixTime = UnixTime::from_secs(784_111_777);

    fn judge(status: u16, refusals: u32) -> Consequence {
        let headers = HeaderMap::new();
        consequence(Some((StatusCode::from_u16(status).unwrap(), &headers)), refusals, NOW)
    }

    #[test]
    fn only_success_is_a_delivery_and_only_a_bad_message_is_ever_parked() {
        let mut parked = vec![];
        for status in 100..=599 {
            let success = (200..300).contains(&status);
            assert_eq!(judge(status, 1_000_000) == Consequence::Delivered, success, "{status}");
            if judge(status, TRIES) == Consequence::Park {
                parked.push(status);
                assert_eq!(judge(status, TRIES - 1), Consequence::Refused(None));
            }
        }
        assert_eq!(parked, [400, 406, 409, 411, 413, 414, 415, 416, 417, 422, 431]);
        assert_eq!(consequence(None, u32::MAX, NOW), Consequence::Again(None));
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_str(text).unwrap());
            match consequence(Some((StatusCode::SERVICE_UNAVAILABLE, &headers)), 1, NOW) {
                Consequence::Again(asked) => asked.map(|asked| asked.as_secs()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0), "in the past");
        for nonsense in ["soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
    }
}
