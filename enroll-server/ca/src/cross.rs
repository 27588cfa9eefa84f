//! Cross-certificates (RFC 5280, section 3.2): the name and key of one CA, certified by another one.
//!
//! They carry a peer that trusts only the old root over to certificates of the new one. Which CA is worth one is for
//! the caller to decide; nothing here signs for anything but a CA that exists already.

use core::time::Duration;

use shared::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::certificate::{CaCertificate, CaCertificateError};
use crate::hierarchy::{HierarchyError, ISSUING_LIFETIME};
use crate::issuer::Issuer;
use crate::lint::lint_template;
use crate::profile::Validity;
use crate::serial::Serial;
use crate::template::{Attribute, Extra, Template, Usage, key_id};

/// Certifies the name and key of `subject` by `issuer`, for as long as both live, at most [`ISSUING_LIFETIME`].
///
/// Below it may stand as many CAs as `subject` allows, and fewer than `issuer` does.
///
/// # Errors
/// Where `issuer` allows no CA below it, `subject` names itself in another way than CAs of this program do, or nothing
/// is signed.
pub fn cross_certificate(
    subject: &CaCertificate,
    issuer: &Issuer,
    now: UnixTime,
) -> Result<CaCertificate, HierarchyError> {
    let (own, above) = (subject.validity(), issuer.certificate().validity());
    let within = Validity {
        not_before: own.not_before.max(above.not_before),
        not_after: own.not_after.min(above.not_after),
    };
    // Paths are built by key identifiers: the same key has to have the same one in both certificates.
    if subject.key_id() != key_id(subject.public_point()) {
        return Err(HierarchyError::ForeignCa);
    }
    let most = u32::from(u8::MAX);
    let most = issuer.certificate().path_length().map_or(most, |most| most.saturating_sub(1));
    let path_length = subject.path_length().unwrap_or(u32::MAX).min(most);
    let template = Template {
        serial: Serial::random()?,
        validity: Validity::clamped(now, ISSUING_LIFETIME, within),
        subject: attributes(subject)?,
        point: *subject.public_point(),
        names: vec![],
        usage: Usage::Ca { path_length: u8::try_from(path_length).unwrap_or(u8::MAX) },
        crl_url: None,
        ocsp_url: None,
        extra: Extra::default(),
    };
    // Byte for byte: verifiers compare names so.
    if template.subject_der() != subject.subject_der() {
        return Err(HierarchyError::ForeignCa);
    }
    let linted = lint_template(template, issuer.certificate(), LONGEST, now)?;
    Ok(CaCertificate::from_der(issuer.issue(linted, now)?.der())?)
}

/// Whether a cross-certificate of `issuer` for the root `subject` can carry an issuing CA below it: `issuer` has to
/// allow two levels of CAs.
#[must_use]
pub fn reaches_below(issuer: &CaCertificate) -> bool {
    issuer.path_length().is_none_or(|most| most >= 2)
}

const LONGEST: Duration = ISSUING_LIFETIME;

fn attributes(ca: &CaCertificate) -> Result<Vec<(Attribute, String)>, HierarchyError> {
    let (_, certificate) = X509Certificate::from_der(ca.der()).map_err(|_| CaCertificateError::Malformed)?;
    let read = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let kind = Attribute::of(attribute.attr_type().as_bytes())?;
        Some((kind, attribute.as_str().ok()?.to_owned()))
    };
    let found: Option<Vec<_>> = certificate.subject().iter_attributes().map(read).collect();
    found.ok_or(HierarchyError::ForeignCa)
}
