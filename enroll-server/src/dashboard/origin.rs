//! Whether a request that changes something was caused by a page of this very address.
//!
//! Besides the token in the form: a browser says by itself where a request comes from, and no page can say otherwise.
//! Every browser of today sends one of the two; who sends neither changes nothing.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use super::Refusal;

/// Fetch Metadata (W3C), section 2.4.
const SITE: &str = "sec-fetch-site";

/// Refuses what does not come from a page of this address.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let (site, origin, host) = (text(SITE), text(ORIGIN.as_str()), text(HOST.as_str()));
    let same_site = site.map(|site| site == "same-origin");
    let same_origin = origin.map(|origin| {
        let named = origin.strip_prefix("https://");
        named.is_some_and(|named| {
            !named.is_empty() && host.is_some_and(|host| named.eq_ignore_ascii_case(host))
        })
    });
    match (same_site, same_origin) {
        (Some(true), Some(true) | None) | (None, Some(true)) => Ok(()),
        (Some(false), _) | (_, Some(false)) | (None, None) => Err(Refusal::OtherSite),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_pages_of_this_address_cause_changes() {
        let host = ("host", "enroll.example:8445");
        let same = ("origin", "https://enroll.example:8445");
        for good in [
            &[host, same][..],
            &[host, same, ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("origin", "https://ENROLL.example:8445")],
        ] {
            check(&headers(good)).unwrap();
        }
        for wrong in [
            &[host][..],
            &[same],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://")],
            &[("host", ""), ("origin", "https://")],
            &[host, ("origin", "http://enroll.example:8445")],
            &[host, ("origin", "https://enroll.example")],
            &[host, ("origin", "https://enroll.example:8445.evil.example")],
            &[host, same, ("sec-fetch-site", "cross-site")],
            &[host, same, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(check(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }
}
