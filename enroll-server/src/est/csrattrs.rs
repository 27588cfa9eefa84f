//! The answer of csrattrs (RFC 7030, section 4.5.2; RFC 8951, section 3.2): what we want of a CSR.

use appraisal::csr::EvidenceInCsr;
use appraisal::policy::Policy;
use der::Encode as _;
use der::asn1::{Any, ObjectIdentifier, SetOfVec};

/// id-ecPublicKey and secp256r1 (RFC 5480, sections 2.1.1 and 2.1.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// ecdsa-with-SHA256 (RFC 5758, section 3.2).
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// id-aa-attestation (draft-ietf-lamps-csr-attestation).
const ATTESTATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.59");

/// `Attribute ::= SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY }`
#[derive(der::Sequence)]
struct Attribute {
    kind: ObjectIdentifier,
    values: SetOfVec<Any>,
}

/// CsrAttrs in DER: a key on P-256, a signature by ecdsa-with-SHA256 and, where `policy` accepts a kind of evidence
/// that can travel in a CSR, the attribute that it travels in.
///
/// # Errors
/// None in practice: everything is bounded.
pub fn csr_attributes(policy: &Policy) -> Result<Vec<u8>, der::Error> {
    let mut curves = SetOfVec::new();
    curves.insert(Any::encode_from(&P256)?)?;
    // Each an object identifier or an attribute.
    let mut wanted = vec![
        Any::encode_from(&Attribute { kind: EC_PUBLIC_KEY, values: curves })?,
        Any::encode_from(&ECDSA_WITH_SHA256)?,
    ];
    if policy.kinds().iter().any(|kind| EvidenceInCsr::KINDS.contains(kind)) {
        wanted.push(Any::encode_from(&ATTESTATION)?);
    }
    wanted.to_der()
}

#[cfg(test)]
mod tests {
    use super::csr_attributes;
    use appraisal::Policy;

    /// SEQUENCE of an attribute { id-ecPublicKey, SET { secp256r1 } } and of an OBJECT IDENTIFIER.
    const KEY_AND_SIGNATURE: &str = "301506072a8648ce3d0201310a06082a8648ce3d03010706082a8648ce3d040302";

    fn attributes(kinds: &str) -> String {
        let policy = Policy::parse("policy.toml", &format!("[evidence]\nkinds = [{kinds}]\n")).unwrap();
        hex::encode(csr_attributes(&policy).unwrap())
    }

    #[test]
    fn the_attestation_is_asked_for_where_it_can_come() {
        let plain = format!("3021{KEY_AND_SIGNATURE}");
        assert_eq!(attributes("\"one-time-token\", \"idevid-tls\", \"tpm2\""), plain);
        let attested = format!("302e{KEY_AND_SIGNATURE}060b2a864886f70d010910023b");
        for kind in ["idevid-eat", "psa-token", "dice"] {
            assert_eq!(attributes(&format!("\"one-time-token\", {kind:?}")), attested);
        }
    }
}
