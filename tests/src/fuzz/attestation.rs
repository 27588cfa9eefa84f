//! Evidence as others define it: PSA tokens, and evidence inside a CSR.

use appraisal::psa::claimed_instance;

use super::oracle;

/// A PSA token: COSE_Sign1 and claims.
pub(super) fn psa_token(data: &[u8]) -> bool {
    let taken = claimed_instance(data).is_some();
    if taken {
        oracle::bounded_payload(data);
    }
    taken
}

/// The attestation attribute of a CSR.
pub(super) fn csr_evidence(data: &[u8]) -> bool {
    match appraisal::csr::evidence(data) {
        Ok(Some(found)) => {
            assert!(found.body.len() <= shared::limits::MAX_EVIDENCE);
            assert!(found.endorsements.len() <= shared::limits::MAX_CHAIN);
            true
        }
        Ok(None) | Err(_) => false,
    }
}
