//! What a certificate must have in its place on a path: as the server's, as an intermediate CA's, as an anchor.
//!
//! Everything but signatures is decided here, for one certificate or for a pair of certificate and issuer. The
//! order within a function only decides which of several reasons is reported.

use super::name::{Host, check_common_names};
use super::{Certificate, PathError, Validity};

/// Checks the first certificate as that of a server called `host`.
pub(super) fn check_server(
    server: &Certificate<'_>,
    host: &Host<'_>,
    validity: Validity,
) -> Result<(), PathError> {
    check_any(server, validity)?;
    let extensions = &server.extensions;
    if server.is_ca() {
        return Err(PathError::CaAsServer);
    }
    // TLS 1.3 signs the handshake with the key (RFC 8446, section 4.4.2.2). keyCertSign goes with the CA bit
    // only (RFC 5280, section 4.2.1.9).
    if extensions.key_usage.is_some_and(|usage| !usage.digital_signature || usage.key_cert_sign) {
        return Err(PathError::KeyUsage);
    }
    // Required, so that a device's operational certificate (clientAuth) never serves as a server's.
    let usage = extensions.ext_key_usage.ok_or(PathError::ExtKeyUsage)?;
    if !usage.server_auth || usage.any {
        return Err(PathError::ExtKeyUsage);
    }
    check_authority_key_id(server)?;
    let names = extensions.alt_names.ok_or(PathError::NoAltName)?;
    // RFC 5280, section 4.2.1.6.
    if names.is_critical() != server.subject().is_empty() {
        return Err(PathError::Criticality);
    }
    host.check(names)?;
    check_common_names(server.common_names(), names)
}

/// Checks `issuer` as the intermediate CA that signed `subject`, with `cas_below` CAs between it and the
/// server, self-issued ones not counted.
pub(super) fn check_intermediate(
    issuer: &Certificate<'_>,
    subject: &Certificate<'_>,
    cas_below: usize,
    validity: Validity,
) -> Result<(), PathError> {
    check_key_ids(issuer, subject)?;
    check_ca(issuer, cas_below, validity)?;
    check_ext_key_usage_of_ca(issuer)?;
    check_authority_key_id(issuer)
}

/// Checks `anchor` as the trust anchor that signed `subject`. An anchor gets no rebate: it may have expired, or
/// be no CA, like any other.
pub(super) fn check_anchor(
    anchor: &Certificate<'_>,
    subject: &Certificate<'_>,
    cas_below: usize,
    validity: Validity,
) -> Result<(), PathError> {
    check_key_ids(anchor, subject)?;
    check_ca(anchor, cas_below, validity)?;
    if anchor.is_self_issued() {
        if anchor.extensions.ext_key_usage.is_some() {
            return Err(PathError::ExtKeyUsage);
        }
        // A root need not name its own key, but if it does, it names that and nothing else.
        if let Some(authority) = anchor.extensions.authority_key_id
            && (authority.more || authority.key_id != anchor.subject_key_id())
        {
            return Err(PathError::AuthorityKeyId);
        }
        Ok(())
    } else {
        check_ext_key_usage_of_ca(anchor)?;
        check_authority_key_id(anchor)
    }
}

/// What holds for every certificate on a path.
fn check_any(certificate: &Certificate<'_>, validity: Validity) -> Result<(), PathError> {
    let extensions = &certificate.extensions;
    if extensions.unknown_critical {
        return Err(PathError::UnknownCritical);
    }
    if extensions.name_constraints {
        return Err(PathError::NameConstraints);
    }
    if extensions.policy_constraints {
        return Err(PathError::PolicyConstraints);
    }
    if extensions.misplaced_critical || extensions.ext_key_usage.is_some_and(|usage| usage.critical) {
        return Err(PathError::Criticality);
    }
    certificate.dates().check(validity)
}

/// A CA's subject is not empty (RFC 5280, section 4.1.2.6), because it is the issuer of another certificate.
fn check_ca(ca: &Certificate<'_>, cas_below: usize, validity: Validity) -> Result<(), PathError> {
    check_any(ca, validity)?;
    let constraints = ca.extensions.basic_constraints.ok_or(PathError::NotCa)?;
    if !constraints.ca || !constraints.critical {
        return Err(PathError::NotCa);
    }
    if constraints.path_len.is_some_and(|most| cas_below > usize::from(most)) {
        return Err(PathError::PathLength);
    }
    if ca.extensions.key_usage.is_some_and(|usage| !usage.key_cert_sign) {
        return Err(PathError::KeyUsage);
    }
    Ok(())
}

/// extKeyUsage in an intermediate CA narrows what it may issue for.
fn check_ext_key_usage_of_ca(ca: &Certificate<'_>) -> Result<(), PathError> {
    match ca.extensions.ext_key_usage {
        Some(usage) if !usage.server_auth => Err(PathError::ExtKeyUsage),
        Some(_) | None => Ok(()),
    }
}

fn check_authority_key_id(certificate: &Certificate<'_>) -> Result<(), PathError> {
    certificate.authority_key_id().map(|_| ()).ok_or(PathError::AuthorityKeyId)
}

/// Checked first, because another key of the same name says nothing about the right one.
fn check_key_ids(issuer: &Certificate<'_>, subject: &Certificate<'_>) -> Result<(), PathError> {
    match issuer.subject_key_id() {
        None => Err(PathError::SubjectKeyId),
        key_id if key_id == subject.authority_key_id() => Ok(()),
        Some(_) => Err(PathError::KeyIdMismatch),
    }
}
