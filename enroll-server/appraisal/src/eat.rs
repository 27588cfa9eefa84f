//! What binds an EAT of this protocol to its request: the nonce and the key of the CSR.
//!
//! To be called once it is known who signed the claims.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared::Reject;
use shared::codec::DecodeError;
use shared::evidence::{Claims, Ueid, key_thumbprint};
use shared::message::latest::Nonce;

use crate::csr::CheckedCsr;
use crate::key::hex;
use crate::record::{Refusal, Trail, rule};

/// Refuses what cannot be read as `form`.
pub(crate) fn refuse_form(trail: &mut Trail, error: DecodeError, form: &'static str) -> Refusal {
    trail.refuse(rule::EVIDENCE_FORM, Reject::BadEvidence, error.to_string(), form)
}

/// Checks `eat_nonce` and `cnf`.
pub(crate) fn check_binding(
    claims: &Claims<'_>,
    nonce: &Nonce,
    csr: &CheckedCsr,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    trail.require(
        verify_slices_are_equal(&claims.nonce, nonce).is_ok(),
        rule::EVIDENCE_NONCE,
        Reject::EvidenceNonce,
        format!("eat_nonce {}", hex(&claims.nonce)),
        format!("the nonce of this challenge {}", hex(nonce)),
    )?;
    let thumbprint = key_thumbprint(csr.point());
    trail.require(
        verify_slices_are_equal(&claims.confirmation, &thumbprint).is_ok(),
        rule::EVIDENCE_KEY,
        Reject::EvidenceKey,
        format!("cnf {}", hex(&claims.confirmation)),
        format!("the thumbprint of the CSR's key {}", hex(&thumbprint)),
    )
}

/// Checks `ueid`; `wanted` says whose it has to be.
pub(crate) fn check_ueid(
    claims: &Claims<'_>,
    ueid: &Ueid,
    wanted: &str,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    trail.require(
        claims.ueid == *ueid,
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        format!("ueid {}", hex(&claims.ueid)),
        format!("the ueid of {wanted} {}", hex(ueid)),
    )
}
