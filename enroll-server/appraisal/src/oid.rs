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
/// id-on-hardwareModuleName, 1.3.6.1.5.5.7.8.4 (RFC 4108, section 5).
pub(crate) const HARDWARE_MODULE_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04];
/// The Trusted Computing Group's arc, 2.23.133: a hardware module type below it names a TPM or a layer, not the
/// device (IEEE 802.1AR-2018, section 8.10.4, leaves the type to its owner).
pub(crate) const TCG: &[u8] = &[0x67, 0x81, 0x05];
/// id-ce-issuingDistributionPoint, 2.5.29.28 (RFC 5280, section 5.2.5).
pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
/// id-ce-deltaCRLIndicator, 2.5.29.27 (RFC 5280, section 5.2.4).
pub(crate) const DELTA_CRL: &[u8] = &[0x55, 0x1d, 0x1b];
