//! Object identifiers, as the bytes of their DER values unless it says otherwise.

/// ecdsa-with-SHA256 (RFC 5758, section 3.2).
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// The same as an AlgorithmIdentifier in DER; its parameters are absent.
pub(crate) const ALGORITHM_ECDSA_WITH_SHA256: &[u8] =
    &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// id-at-serialNumber, 2.5.4.5 (RFC 5280, appendix A.1).
pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
/// id-ecPublicKey (RFC 5480, section 2.1.1).
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
