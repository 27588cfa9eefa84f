//! What points elsewhere: revocation lists, responders, policies.

use super::alt_names::is_absolute_uri;
use super::{Rule, unless};
use crate::der;
use crate::lint::view::View;
use crate::lint::walk::Element;
use crate::template::{AUTHORITY_INFO_ACCESS, CERTIFICATE_POLICIES, CPS, CRL_DISTRIBUTION_POINTS, OCSP};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "crl-distribution-points", section: "RFC 5280, 4.2.1.13", check: crl },
    Rule { name: "authority-information-access", section: "RFC 5280, 4.2.2.1", check: access },
    Rule { name: "certificate-policies", section: "RFC 5280, 4.2.1.4", check: policies },
];

/// id-ad-caIssuers.
const CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// anyPolicy.
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 0x20, 0x00];

fn list<'a>(view: &View<'a>, oid: &[u8]) -> Option<Vec<Element<'a>>> {
    let list = Element::only(view.extension(oid)?.value)?.children_of(der::SEQUENCE)?;
    (!list.is_empty()).then_some(list)
}

/// Fetching a list over TLS may need a list (RFC 5280, section 8).
fn is_http(uri: &[u8]) -> bool {
    uri.starts_with(b"http://") && uri.iter().all(u8::is_ascii_graphic) && uri.len() > b"http://".len()
}

fn crl(view: &View<'_>) -> Result<(), String> {
    if view.extension(CRL_DISTRIBUTION_POINTS).is_none() {
        return Ok(());
    }
    let good = list(view, CRL_DISTRIBUTION_POINTS).is_some_and(|points| {
        // One point: webpki misread several once. With a full name, and neither reasons nor another issuer.
        points.len() == 1 && points.first().and_then(full_name).is_some_and(is_http)
    });
    unless(!good, || "a distribution point that is not one http:// address and nothing else".into())
}

/// The one name in a distribution point.
fn full_name<'a>(point: &Element<'a>) -> Option<&'a [u8]> {
    let [name] = *point.children_of(der::SEQUENCE)?.as_slice() else { return None };
    let [full] = *name.children_of(der::context_constructed(0))?.as_slice() else { return None };
    let [uri] = *full.children_of(der::context_constructed(0))?.as_slice() else { return None };
    (uri.tag == der::context(6)).then_some(uri.value)
}

fn access(view: &View<'_>) -> Result<(), String> {
    if view.extension(AUTHORITY_INFO_ACCESS).is_none() {
        return Ok(());
    }
    let good = |description: &Element<'_>| {
        let parts = description.children_of(der::SEQUENCE).unwrap_or_default();
        let [method, place] = *parts.as_slice() else { return false };
        method.tag == der::OID
            && [OCSP, CA_ISSUERS].contains(&method.value)
            && place.tag == der::context(6)
            && is_http(place.value)
    };
    let all = list(view, AUTHORITY_INFO_ACCESS).is_some_and(|list| list.iter().all(good));
    unless(!all, || {
        "access to information by another method than OCSP or caIssuers, or not at http://".into()
    })
}

fn policies(view: &View<'_>) -> Result<(), String> {
    if view.extension(CERTIFICATE_POLICIES).is_none() {
        return Ok(());
    }
    let list = list(view, CERTIFICATE_POLICIES).unwrap_or_default();
    let identifiers: Vec<&[u8]> = list.iter().filter_map(policy).collect();
    let twice = |oid: &&[u8]| identifiers.iter().filter(|other| *other == oid).count() > 1;
    let wrong = list.is_empty() || identifiers.len() != list.len();
    unless(wrong, || {
        "no policy, one that cannot be read, or one with another qualifier than a CPS address".into()
    })?;
    unless(identifiers.iter().any(twice), || "a policy twice".into())?;
    unless(!view.against.is_ca && identifiers.contains(&ANY_POLICY), || "anyPolicy, which is for CAs".into())
}

/// The identifier of a policy that has no qualifiers but addresses of practice statements.
fn policy<'a>(information: &Element<'a>) -> Option<&'a [u8]> {
    let parts = information.children_of(der::SEQUENCE)?;
    let (oid, qualifiers) = parts.split_first()?;
    let good = match qualifiers {
        [] => true,
        [qualifiers] => {
            let list = qualifiers.children_of(der::SEQUENCE)?;
            !list.is_empty() && list.iter().all(is_cps)
        }
        _ => false,
    };
    (oid.tag == der::OID && good).then_some(oid.value)
}

fn is_cps(qualifier: &Element<'_>) -> bool {
    let parts = qualifier.children_of(der::SEQUENCE).unwrap_or_default();
    let [id, uri] = *parts.as_slice() else { return false };
    let web = uri.value.starts_with(b"http://") || uri.value.starts_with(b"https://");
    id.value == CPS && uri.tag == der::IA5_STRING && web && is_absolute_uri(uri.value)
}
