//! From a TOML file to a [`Profile`]. What may stand where is decided here; characters and syntax are for the lints.

use toml::de::DeValue;
use toml_places::{Problems, Table, list, one_of, text};

use super::oid::Oid;
use super::pattern::{Pattern, Variable};
use super::usage::{self, KeyUse};
use super::{CertificatePolicy, CustomExtension, NameForm, Profile, life};
use crate::template::Attribute;

/// Most names of one form, certificate policies, purposes or extensions.
const MOST: usize = 4;
/// Longest value of an extension, in bytes.
const MAX_EXTENSION: usize = 128;
/// Longest URI, and longest address of a practice statement, in characters.
const MAX_URI: usize = 160;
/// Longest pattern as written.
const MAX_PATTERN: usize = 200;

pub(super) fn profile<'t>(top: &mut Table<'t>, problems: &mut Problems<'t>) -> Profile {
    let mut profile = Profile::default();
    top.table("validity", problems, |t, p| validity(&mut profile, t, p));
    top.table("subject", problems, |t, p| subject(&mut profile, t, p));
    top.table("names", problems, |t, p| {
        if let Some(uris) = names(t, p, NameForm::Uri) {
            profile.uris = uris;
        }
        if let Some(dns) = names(t, p, NameForm::Dns) {
            profile.dns = dns;
        }
    });
    top.table("usage", problems, |t, p| usages(&mut profile, t, p));
    if let Some(policies) = top.tables("certificate_policy", problems, policy) {
        at_most(top, problems, "certificate_policy", policies.len());
        let known = |oid: &Oid| policies.iter().filter(|policy| policy.oid == *oid).count() > 1;
        if policies.iter().any(|policy| known(&policy.oid)) {
            // RFC 5280, section 4.2.1.4.
            top.problem(problems, "certificate_policy", "an identifier stands here twice");
        }
        profile.policies = policies;
    }
    if let Some(extensions) = top.tables("extension", problems, extension) {
        at_most(top, problems, "extension", extensions.len());
        let known = |oid: &Oid| extensions.iter().filter(|other| other.oid == *oid).count() > 1;
        if extensions.iter().any(|extension| known(&extension.oid)) {
            // RFC 5280, section 4.2.
            top.problem(problems, "extension", "an identifier stands here twice");
        }
        profile.extensions = extensions;
    }
    profile
}

fn validity<'t>(profile: &mut Profile, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    let default = table.take("default", problems, life::read);
    profile.least = table.take("least", problems, life::read).unwrap_or(profile.least);
    profile.most = table.take("most", problems, life::read).unwrap_or(profile.most);
    if profile.least > profile.most {
        table.problem(problems, "least", "is longer than `most`");
    }
    // A default that is not written bends to the bounds.
    profile.default = default.unwrap_or_else(|| profile.default.min(profile.most).max(profile.least));
    if profile.default < profile.least || profile.default > profile.most {
        table.problem(problems, "default", "is not between `least` and `most`");
    }
}

fn subject<'t>(profile: &mut Profile, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    profile.subject.clear();
    for (attribute, key) in super::SUBJECT {
        let default = (*attribute == Attribute::Organization).then(super::default_organization);
        let taken = table.has(key);
        let read = table.take(key, problems, |value| attribute_pattern(*attribute, value));
        if let Some(pattern) = if taken { read } else { default } {
            profile.subject.push((*attribute, pattern));
        }
    }
    for fixed in ["common_name", "serial_number"] {
        table.take::<()>(fixed, problems, |_| {
            Err("nothing: it is always the device's identifier, by which brokers and this server know it"
                .into())
        });
    }
}

fn attribute_pattern(attribute: Attribute, value: &DeValue<'_>) -> Result<Pattern, String> {
    let most = attribute.upper_bound();
    let pattern = pattern(value)?;
    if attribute == Attribute::Country && pattern.variables().next().is_some() {
        return Err("a country code of two letters, without variables".into());
    }
    if attribute == Attribute::Organization && pattern.has(Variable::Model) {
        return Err("a text without {model}, which not every device has".into());
    }
    if pattern.longest() > most {
        return Err(format!(
            "a text that comes to {most} characters at most whatever its variables stand for; this one can come to {}",
            pattern.longest()
        ));
    }
    Ok(pattern)
}

fn pattern(value: &DeValue<'_>) -> Result<Pattern, String> {
    Pattern::parse(&text(MAX_PATTERN)(value)?)
}

fn names<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>, form: NameForm) -> Option<Vec<Pattern>> {
    let names = table.take(form.key(), problems, |value| {
        let items = value.as_array().ok_or("a list of texts")?;
        let read = items.iter().map(|item| {
            let pattern = pattern(item.get_ref())?;
            check_name(form, &pattern)?;
            Ok(pattern)
        });
        read.collect::<Result<Vec<_>, String>>().map_err(|wanted| format!("a list, each {wanted}"))
    })?;
    at_most(table, problems, form.key(), names.len());
    Some(names)
}

/// A name stands for one device and for no other: two devices must never come to the same one.
fn check_name(form: NameForm, pattern: &Pattern) -> Result<(), String> {
    if pattern.has(Variable::Model) {
        return Err("a name without {model}, which may hold any text".into());
    }
    let around = pattern.around_device().ok_or("a name that has {id} or {id-hash} once")?;
    let (start, end) = pattern.edges();
    match form {
        NameForm::Dns => {
            let bounded = (around.before.is_empty() || around.before.ends_with('.'))
                && around.after.starts_with('.')
                && !around.touches;
            let domain = end.split('.').filter(|label| !label.is_empty()).count();
            if !bounded || domain < 2 {
                return Err("a DNS name with the device as a label of its own below a domain, such as \
                            \"{id}.devices.example\""
                    .into());
            }
            if pattern.longest() > 253 {
                return Err("a DNS name of 253 characters at most whatever its variables stand for".into());
            }
        }
        NameForm::Uri => {
            // What is the same for all devices of a server needs no mark between it and the device.
            let varies = pattern.has(Variable::Group) || pattern.has(Variable::Label);
            let before = around.before.ends_with([':', '/', '=']);
            let after = around.after.is_empty() || around.after.starts_with(['/', '?', '#', ';', '&']);
            if varies && (!before || !after || around.touches) {
                return Err("a URI in which the device stands between \":\", \"/\" or \"=\" and \"/\", \"?\", \"#\", \
                            \";\", \"&\" or the end, because another variable stands there too"
                    .into());
            }
            if !start.contains(':') {
                return Err(
                    "a URI that begins with its scheme, such as \"urn:dev:os:{enterprise}-{id}\"".into()
                );
            }
            if pattern.longest() > MAX_URI {
                return Err(format!(
                    "a URI of {MAX_URI} characters at most whatever its variables stand for"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a lower-case text is a label of a host name, and none that is kept for others (RFC 1034, section 3.5; RFC
/// 5890, section 2.3.1: two hyphens in third and fourth place).
pub(super) fn is_dns_label(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.get(2..4) != Some("--")
}

fn usages<'t>(profile: &mut Profile, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    if let Some(mut uses) = table.take("key", problems, list(one_of(KeyUse::NAMES))) {
        uses.sort_unstable();
        uses.dedup();
        if !uses.contains(&KeyUse::DigitalSignature) {
            table.problem(problems, "key", "lacks \"digital-signature\", without which there is no TLS 1.3");
        }
        profile.key_uses = uses;
    }
    let purposes = table.take(
        "extended",
        problems,
        list(|value| usage::purpose(value.as_str().ok_or_else(|| "a name or an identifier".to_owned())?)),
    );
    if let Some(purposes) = purposes {
        if !purposes.contains(&None) {
            table.problem(problems, "extended", "lacks \"client-auth\", without which no broker takes it");
        }
        profile.purposes.clear();
        for purpose in purposes.into_iter().flatten() {
            if !profile.purposes.contains(&purpose) {
                profile.purposes.push(purpose);
            }
        }
        at_most(table, problems, "extended", profile.purposes.len());
    }
}

fn policy<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>) -> Option<CertificatePolicy> {
    let oid = table.required("oid", problems, |value| {
        let oid = value.as_str().and_then(Oid::parse);
        // RFC 5280, section 4.2.1.4: anyPolicy and everything else below 2.5.29 means something to path validation.
        oid.filter(|oid| !oid.arcs().starts_with(&[2, 5, 29]))
            .ok_or_else(|| "a dotted object identifier that is not below 2.5.29".into())
    });
    let cps = table.take("cps", problems, text(MAX_URI));
    Some(CertificatePolicy { oid: oid?, cps })
}

fn extension<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>) -> Option<CustomExtension> {
    let oid = table.required("oid", problems, |value| {
        value.as_str().and_then(Oid::parse).filter(Oid::is_private).ok_or_else(|| {
            "a dotted object identifier below the number of an enterprise, 1.3.6.1.4.1.N.…, other than 311 and 11129: \
             what the standards define has fields of its own, or is not for devices"
                .into()
        })
    });
    let value = table.required("der", problems, |value| {
        value.as_str().and_then(from_hex).filter(|value| value.len() <= MAX_EXTENSION).ok_or_else(|| {
            format!("the value in DER, 2 to {MAX_EXTENSION} bytes in lower-case hexadecimal digits")
        })
    });
    Some(CustomExtension { oid: oid?, value: value? })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() < 2 || !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

fn at_most<'t>(table: &Table<'t>, problems: &mut Problems<'t>, key: &str, found: usize) {
    if found > MOST {
        table.problem(problems, key, format!("{found} entries; {MOST} are allowed"));
    }
}
