//! Extensions in general, and those of keys and CAs.

use super::{Rule, unless};
use crate::der::{self, tlv};
use crate::lint::view::{Extension, View};
use crate::lint::walk::{Element, is_well_formed};
use crate::template::{
    AUTHORITY_INFO_ACCESS, AUTHORITY_KEY_ID, BASIC_CONSTRAINTS, CERTIFICATE_POLICIES,
    CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, KEY_USAGE, OCSP_NOCHECK, SUBJECT_ALT_NAME, SUBJECT_KEY_ID,
    key_id,
};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "extension-once", section: "RFC 5280, 4.2", check: once },
    Rule { name: "extension-critical-form", section: "X.690, 11.1 and 11.5", check: critical_form },
    Rule { name: "extension-known", section: "RFC 5280, 4.2", check: known },
    Rule { name: "extension-critical", section: "RFC 5280, 4.2", check: critical },
    Rule { name: "extension-der", section: "RFC 5280, 4.2", check: well_formed },
    Rule { name: "basic-constraints", section: "RFC 5280, 4.2.1.9", check: basic_constraints },
    Rule { name: "subject-key-identifier", section: "RFC 5280, 4.2.1.2", check: subject_key_id },
    Rule { name: "authority-key-identifier", section: "RFC 5280, 4.2.1.1", check: authority_key_id },
];

const KNOWN: &[&[u8]] = &[
    AUTHORITY_INFO_ACCESS,
    AUTHORITY_KEY_ID,
    BASIC_CONSTRAINTS,
    CERTIFICATE_POLICIES,
    CRL_DISTRIBUTION_POINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    OCSP_NOCHECK,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_ID,
];
/// Those that are always critical here (RFC 5280, sections 4.2.1.3 and 4.2.1.9).
const CRITICAL: &[&[u8]] = &[BASIC_CONSTRAINTS, KEY_USAGE];
/// Deepest nesting in an extension.
const MAX_DEPTH: usize = 8;

fn once(view: &View<'_>) -> Result<(), String> {
    let twice = |oid: &[u8]| view.extensions.iter().filter(|extension| extension.oid == oid).count() > 1;
    unless(view.extensions.iter().any(|extension| twice(extension.oid)), || "an extension twice".into())
}

fn critical_form(view: &View<'_>) -> Result<(), String> {
    // FALSE is the default and not written; TRUE is 0xff.
    let wrong = view.extensions.iter().any(|extension| extension.critical.is_some_and(|flag| flag != [0xff]));
    unless(wrong, || "a critical flag that is not in DER".into())
}

fn known(view: &View<'_>) -> Result<(), String> {
    let known = |extension: &Extension<'_>| {
        KNOWN.contains(&extension.oid) || view.against.custom.iter().any(|oid| oid == extension.oid)
    };
    unless(!view.extensions.iter().all(known), || "an extension that the profile does not have".into())
}

fn critical(view: &View<'_>) -> Result<(), String> {
    let wrong = |extension: &&Extension<'_>| extension.is_critical() != CRITICAL.contains(&extension.oid);
    unless(view.extensions.iter().any(|extension| wrong(&extension)), || {
        "an extension that is critical and must not be, or is not and must be".into()
    })
}

fn well_formed(view: &View<'_>) -> Result<(), String> {
    let good = |extension: &Extension<'_>| {
        Element::only(extension.value).is_some() && is_well_formed(extension.value, MAX_DEPTH)
    };
    unless(!view.extensions.iter().all(good), || "an extension whose value is not one element in DER".into())
}

fn basic_constraints(view: &View<'_>) -> Result<(), String> {
    let constraints = view.extension(BASIC_CONSTRAINTS).map(|extension| extension.value);
    let good = match (view.against.is_ca, constraints) {
        // cA is false by default, and a path length is for CAs only.
        (false, Some(value)) => value == [der::SEQUENCE, 0],
        (true, Some(value)) => {
            value.starts_with(&[der::SEQUENCE]) && value.get(2..5) == Some(&[der::BOOLEAN, 1, 0xff])
        }
        (_, None) => false,
    };
    unless(!good, || "basic constraints that do not say whether this is a CA as it should be".into())
}

fn subject_key_id(view: &View<'_>) -> Result<(), String> {
    // RFC 7093, section 2: our identifiers are of the key's hash, so that one key has one.
    let wanted = view.key.whole.last_chunk::<65>().map(|point| tlv(der::OCTET_STRING, &[&key_id(point)]));
    let found = view.extension(SUBJECT_KEY_ID).map(|extension| extension.value);
    unless(found.is_none() || found != wanted.as_deref(), || {
        "no subject key identifier, or not that of the key".into()
    })
}

fn authority_key_id(view: &View<'_>) -> Result<(), String> {
    let found = view.extension(AUTHORITY_KEY_ID).map(|extension| extension.value);
    let good = match (view.against.issuer_key_id, found) {
        (Some(id), Some(found)) => found == tlv(der::SEQUENCE, &[&tlv(der::context(0), &[id])]),
        // A certificate that signs itself may leave it out.
        (None, None) => true,
        _ => false,
    };
    unless(!good, || "an authority key identifier that is not just the CA's subject key identifier".into())
}
