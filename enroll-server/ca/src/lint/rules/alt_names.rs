//! Subject alternative names: forms and syntax.

use core::net::Ipv4Addr;

use super::{Rule, unless};
use crate::der;
use crate::lint::view::View;
use crate::lint::walk::Element;
use crate::template::SUBJECT_ALT_NAME;

pub(super) const RULES: &[Rule] = &[
    Rule { name: "alt-name-form", section: "RFC 5280, 4.2.1.6; RFC 9598", check: form },
    Rule { name: "alt-name-once", section: "profile", check: once },
    Rule { name: "alt-name-dns", section: "RFC 1034, 3.5; RFC 5890, 2.3.1; RFC 9549", check: dns },
    Rule { name: "alt-name-uri", section: "RFC 5280, 4.2.1.6; RFC 3986", check: uri },
    Rule { name: "alt-name-ip", section: "RFC 5280, 4.2.1.6", check: ip },
    Rule { name: "alt-name-server", section: "RFC 9525, 6", check: server },
];

const DNS: u8 = der::context(2);
const URI: u8 = der::context(6);
const IP: u8 = der::context(7);
/// A SEQUENCE with serverAuth in it.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

fn names<'a>(view: &View<'a>) -> Option<Vec<Element<'a>>> {
    Element::only(view.extension(SUBJECT_ALT_NAME)?.value)?.children_of(der::SEQUENCE)
}

fn of_form<'a>(view: &View<'a>, tag: u8) -> impl Iterator<Item = &'a [u8]> {
    names(view).unwrap_or_default().into_iter().filter(move |name| name.tag == tag).map(|name| name.value)
}

fn form(view: &View<'_>) -> Result<(), String> {
    if view.extension(SUBJECT_ALT_NAME).is_none() {
        return Ok(());
    }
    // Addresses of mail, in either form, and registered identifiers have no place in certificates of machines.
    let good = names(view).is_some_and(|names| {
        !names.is_empty()
            && names.iter().all(|name| matches!(name.tag, DNS | URI | IP) && !name.value.is_empty())
    });
    unless(!good, || {
        "no name, an empty one, or one that is neither a DNS name, a URI nor an IP address".into()
    })
}

fn once(view: &View<'_>) -> Result<(), String> {
    let names = names(view).unwrap_or_default();
    let same = |one: &Element<'_>, other: &Element<'_>| {
        one.tag == other.tag && one.value.eq_ignore_ascii_case(other.value)
    };
    let twice = names.iter().any(|name| names.iter().filter(|other| same(name, other)).count() > 1);
    unless(twice, || "a name twice".into())
}

fn dns(view: &View<'_>) -> Result<(), String> {
    // A server on the same machine may be "localhost"; a device is below a domain.
    let least = if view.against.device.is_some() { 2 } else { 1 };
    of_form(view, DNS).try_for_each(|name| unless(!is_host_name(name, least), || not_host(name)))
}

fn not_host(name: &[u8]) -> String {
    format!(
        "{:?}; wanted labels out of letters, digits and inner hyphens, 63 characters each at most, and 253 \
         in all, without wildcards and international names",
        String::from_utf8_lossy(name)
    )
}

/// A name of at least so many labels. What has two hyphens in third and fourth place is kept for A-labels, which nobody
/// here can check.
fn is_host_name(name: &[u8], least: usize) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.get(2..4) != Some(b"--")
    };
    let labels: Vec<&[u8]> = name.split(|b| *b == b'.').collect();
    // The last one is no number, so that no name reads as an address.
    let top = labels.last().is_some_and(|last| last.iter().any(u8::is_ascii_alphabetic));
    name.len() <= 253 && labels.len() >= least && top && labels.into_iter().all(label)
}

fn uri(view: &View<'_>) -> Result<(), String> {
    of_form(view, URI).try_for_each(|uri| {
        unless(!is_absolute_uri(uri), || format!("{:?} as a URI", String::from_utf8_lossy(uri)))
    })
}

/// An absolute URI: a scheme, something behind it, only characters of RFC 3986, percent signs with two digits, and a
/// host that is a name of several labels or an address, where there is one.
pub(super) fn is_absolute_uri(uri: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(uri) else { return false };
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let escaped = rest.split('%').skip(1).all(|after| {
        after.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let one_fragment = rest.matches('#').count() <= 1;
    let host_good = rest.strip_prefix("//").is_none_or(|hierarchy| {
        let authority = hierarchy.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host
            .rsplit_once(':')
            .map_or(host, |(host, port)| if port.bytes().all(|b| b.is_ascii_digit()) { host } else { "" });
        is_host_name(host.as_bytes(), 2) || host.parse::<Ipv4Addr>().is_ok()
    });
    // RFC 8141, section 2: a URN has a namespace and a name in it.
    let urn_good = !scheme.eq_ignore_ascii_case("urn")
        || rest.split_once(':').is_some_and(|(space, name)| space.len() >= 2 && !name.is_empty());
    scheme_good
        && !rest.is_empty()
        && rest.bytes().all(allowed)
        && escaped
        && one_fragment
        && host_good
        && urn_good
}

fn ip(view: &View<'_>) -> Result<(), String> {
    let wrong = of_form(view, IP).any(|address| !matches!(address.len(), 4 | 16));
    unless(wrong, || "an IP address that has neither 4 nor 16 bytes".into())
}

/// Clients look for a server's name here and nowhere else.
fn server(view: &View<'_>) -> Result<(), String> {
    let purposes = view.extension(crate::template::EXTENDED_KEY_USAGE).and_then(|e| Element::only(e.value));
    let purposes = purposes.and_then(|list| list.children()).unwrap_or_default();
    let is_server = purposes.iter().any(|purpose| purpose.value == SERVER_AUTH);
    let named = of_form(view, DNS).next().is_some() || of_form(view, IP).next().is_some();
    unless(is_server && !named, || "a server without a DNS name or address".into())
}
