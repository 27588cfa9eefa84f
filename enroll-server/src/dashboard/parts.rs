//! Small parts that pages are made of.

use core::fmt::Display;
use core::time::Duration;

use maud::{Markup, html};
use shared::UnixTime;

use super::form::TOKEN;
use super::session::SignedIn;
use crate::audit::Severity;
use crate::store::{CertificateState, DeviceState, Ruled};

/// What a badge says at a glance. Its text says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Info,
    Quiet,
    Warning,
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Info => "info",
            Self::Quiet => "quiet",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

pub(super) fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

pub(super) fn device_state(state: DeviceState) -> Markup {
    let tone = match state {
        DeviceState::Enrolled => Tone::Good,
        DeviceState::Registered => Tone::Info,
        DeviceState::Held | DeviceState::Suspended => Tone::Warning,
        DeviceState::Revoked => Tone::Bad,
        DeviceState::Retired => Tone::Quiet,
    };
    badge(tone, state.name())
}

/// How a certificate stands now. One that has ended is no longer what its record says.
pub(super) fn certificate_state(state: CertificateState, ended: bool) -> Markup {
    let tone = match state {
        CertificateState::Issued if ended => return badge(Tone::Quiet, "ended"),
        CertificateState::Issued => Tone::Good,
        CertificateState::Held => Tone::Warning,
        CertificateState::Intent => Tone::Info,
        CertificateState::Revoked => Tone::Bad,
        CertificateState::Voided => Tone::Quiet,
    };
    badge(tone, state.name())
}

pub(super) fn ruled(ruled: Ruled) -> Markup {
    let tone = match ruled {
        Ruled::Accepted => Tone::Good,
        Ruled::Held => Tone::Warning,
        Ruled::Refused => Tone::Bad,
    };
    badge(tone, ruled.name())
}

/// The severity of an event, by its name.
pub(super) fn severity(name: &str) -> Markup {
    let tone = match Severity::from_name(name) {
        Some(Severity::Critical) => Tone::Bad,
        Some(Severity::Warning) => Tone::Warning,
        Some(Severity::Notice) => Tone::Info,
        Some(Severity::Info) | None => Tone::Quiet,
    };
    badge(tone, name)
}

/// A time, to the minute.
pub(super) fn time(at: UnixTime) -> Markup {
    let (year, month, day, hour, minute, _) = at.to_civil();
    html! { time datetime=(at) { (format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")) } }
}

/// A time, and how far it is from now.
pub(super) fn time_from(at: UnixTime, now: UnixTime) -> Markup {
    let far = match (at > now, at.since(now).max(now.since(at))) {
        (_, length) if length < Duration::from_secs(60) => "now".to_owned(),
        (true, length) => format!("in {}", span(length)),
        (false, length) => format!("{} ago", span(length)),
    };
    html! { (time(at)) " " span.far { (far) } }
}

/// A length of time, in its largest unit.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// A day of a time, as in a calendar.
pub(super) fn day(at: UnixTime) -> String {
    let (year, month, day, ..) = at.to_civil();
    format!("{year:04}-{month:02}-{day:02}")
}

/// A whole number with thin gaps between its thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let gaps = digits.chars().enumerate().flat_map(|(place, digit)| {
        let gap = place > 0 && (digits.len() - place).is_multiple_of(3);
        gap.then_some('\u{202f}').into_iter().chain([digit])
    });
    gaps.collect()
}

/// Something long in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> Markup {
    html! { code.hash { (hex::encode(bytes)) } }
}

/// A dash where there is nothing.
pub(super) fn or_dash(text: Option<impl Display>) -> Markup {
    match text {
        Some(text) => html! { (text.to_string()) },
        None => html! { span.none { "none" } },
    }
}

/// A form of this session.
pub(super) fn form(who: &SignedIn, action: &str, content: &Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name=(TOKEN) value=(who.form_token().as_str());
            (content)
        }
    }
}

/// A table that can be scrolled sideways, by the keyboard too, where it does not fit.
pub(super) fn table(caption: &str, head: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption.unseen { (caption) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Where a list goes on.
pub(super) fn paging(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.paging aria-label="Parts of the list" {
                @if let Some(first) = first { a href=(first) { "From the beginning" } }
                @if let Some(next) = next { a href=(next) rel="next" { "Next" } }
            }
        }
    }
}

/// An address with a query made of those fields that are filled in.
pub(super) fn address(path: &str, fields: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page of a device. Identifiers have letters, digits and a few signs that may stand in a path, and `:`.
pub(super) fn device_link(device: &str) -> Markup {
    html! { a.device href={ "/devices/" (device) } { (device) } }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{address, badge, number, span, time_from};
    use shared::UnixTime;

    #[test]
    fn numbers_and_times_are_read_easily() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        for (seconds, text) in [(1, "1 second"), (119, "1 minute"), (7_200, "2 hours"), (172_800, "2 days")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        let now = UnixTime::from_secs(1_800_000_000);
        let shown = time_from(now.after(Duration::from_secs(3 * 86_400)), now).into_string();
        assert!(shown.contains("2027-01-18 08:00") && shown.contains("in 3 days"), "{shown}");
        assert!(time_from(now, now).into_string().contains(">now<"));
        assert!(time_from(now.before(Duration::from_secs(60)), now).into_string().contains(">1 minute ago<"));
    }

    #[test]
    fn what_is_put_into_a_page_or_an_address_stays_text() {
        let hostile = "\"><script>alert(1)</script>&'";
        let shown = badge(super::Tone::Good, hostile).into_string();
        assert!(!shown.contains("<script") && shown.contains("&lt;script&gt;"), "{shown}");
        let address = address("/devices", &[("find", Some(hostile)), ("state", None)]);
        assert!(!address.contains(['"', '<', '>', '\'']), "{address}");
    }
}
