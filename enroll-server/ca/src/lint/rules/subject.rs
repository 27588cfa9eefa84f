//! The subject: which attributes, as which strings, how long, out of which characters.

use super::{Rule, unless};
use crate::der;
use crate::lint::view::{Attribute, View};
use crate::template::Attribute as Known;

pub(super) const RULES: &[Rule] = &[
    Rule { name: "subject-empty", section: "RFC 5280, 4.1.2.6", check: empty },
    Rule { name: "subject-attribute-known", section: "RFC 5280, 4.1.2.4", check: known },
    Rule { name: "subject-attribute-once", section: "CA/B BR 7.1.4.1", check: once },
    Rule { name: "subject-string-type", section: "RFC 5280, 4.1.2.4", check: string_type },
    Rule { name: "subject-string-length", section: "RFC 5280, A.1", check: length },
    Rule { name: "subject-printable", section: "X.680, 41.4", check: printable },
    Rule { name: "subject-characters", section: "RFC 5280, 7.1", check: characters },
    Rule { name: "subject-country", section: "RFC 5280, A.1", check: country },
    Rule { name: "subject-device", section: "profile", check: device },
];

/// UTF-8 characters that change how a text looks without being seen: marks of direction and joining, blanks, fillers.
const UNSEEN: &[core::ops::RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{ffff}',
    '\u{e000}'..='\u{f8ff}',
    '\u{e0000}'..='\u{10ffff}',
];

fn empty(view: &View<'_>) -> Result<(), String> {
    let part = view.rdns.iter().any(Vec::is_empty);
    unless(view.rdns.is_empty() || part, || "an empty subject, or an empty part of it".into())
}

fn known(view: &View<'_>) -> Result<(), String> {
    let unknown = view.attributes().any(|attribute| Known::from_oid(attribute.oid).is_none());
    unless(unknown, || "an attribute that has no place in our subjects".into())
}

fn once(view: &View<'_>) -> Result<(), String> {
    let several = view.rdns.iter().any(|rdn| rdn.len() > 1);
    let twice = |oid: &[u8]| view.attributes().filter(|attribute| attribute.oid == oid).count() > 1;
    let any_twice = view.attributes().any(|attribute| twice(attribute.oid));
    unless(several || any_twice, || "an attribute that stands there twice, or several in one part".into())
}

fn string_type(view: &View<'_>) -> Result<(), String> {
    view.attributes().try_for_each(|attribute| {
        let printable = matches!(Known::from_oid(attribute.oid), Some(Known::Country | Known::SerialNumber));
        let good =
            attribute.tag == der::PRINTABLE_STRING || (attribute.tag == der::UTF8_STRING && !printable);
        unless(!good, || {
            format!("a string of type {}; wanted a PrintableString or UTF8String", attribute.tag)
        })
    })
}

fn length(view: &View<'_>) -> Result<(), String> {
    view.attributes().try_for_each(|attribute| {
        let most = Known::from_oid(attribute.oid).map_or(64, Known::upper_bound);
        let found = text(attribute).map_or(0, |text| text.chars().count());
        unless(!(1..=most).contains(&found), || {
            format!("an attribute of {found} characters; wanted 1 to {most}")
        })
    })
}

fn printable(view: &View<'_>) -> Result<(), String> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
    let strings = view.attributes().filter(|attribute| attribute.tag == der::PRINTABLE_STRING);
    let wrong = strings.into_iter().any(|attribute| !attribute.value.iter().all(allowed));
    unless(wrong, || "a PrintableString with another character".into())
}

/// What would be changed by the preparation of strings (RFC 4518) that comparing names asks for, or cannot be seen.
fn characters(view: &View<'_>) -> Result<(), String> {
    view.attributes().try_for_each(|attribute| {
        let text = text(attribute).ok_or("a text that is not UTF-8")?;
        let odd = |c: char| c.is_control() || UNSEEN.iter().any(|range| range.contains(&c));
        unless(text.contains(odd), || format!("a character in {text:?} that cannot be seen"))?;
        let blanks = text.trim() != text
            || text.contains("  ")
            || text.contains(|c: char| c.is_whitespace() && c != ' ');
        unless(blanks, || format!("blanks at an end of {text:?}, several in a row, or of an unusual kind"))
    })
}

fn country(view: &View<'_>) -> Result<(), String> {
    let countries = view.attributes().filter(|a| Known::from_oid(a.oid) == Some(Known::Country));
    let wrong = countries.into_iter().any(|country| !country.value.iter().all(u8::is_ascii_uppercase));
    unless(wrong, || "a country that is no code of two capital letters (ISO 3166-1)".into())
}

/// Brokers know a device by its common name, this server by its serialNumber.
fn device(view: &View<'_>) -> Result<(), String> {
    if view.against.device.is_none() {
        return Ok(());
    }
    let names = |wanted: Known| {
        let found = view.attributes().find(|attribute| Known::from_oid(attribute.oid) == Some(wanted));
        found.map(|attribute| attribute.value) == view.against.device.map(str::as_bytes)
    };
    unless(!names(Known::CommonName) || !names(Known::SerialNumber), || {
        "a common name or serialNumber that is not the device's identifier".into()
    })
}

fn text<'a>(attribute: &Attribute<'a>) -> Option<&'a str> {
    core::str::from_utf8(attribute.value).ok()
}
