//! The request of an issuing CA to its root: PKCS#10 (RFC 2986) with the public key, the organisation and a proof that
//! the key is there. Nothing else: what the certificate says is for the root's side to decide.

use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue};

use crate::issuer::{IssueError, Signing};
use crate::key::IssuerKey;

/// Makes a request in DER, signed with `key`.
///
/// # Errors
/// Where the key does not sign.
pub fn make(organization: &str, key: &dyn IssuerKey) -> Result<Vec<u8>, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String(organization.into()));
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String("Issuing CA".into()));
    let signing = Signing::new(key);
    let request = params.serialize_request(&signing).map_err(|error| signing.blame(error))?;
    Ok(request.der().to_vec())
}
