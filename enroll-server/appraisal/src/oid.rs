//! Object identifiers, as the bytes of their DER values unless it says otherwise.

/// ecdsa-with-SHA256 (RFC 5758, section 3.2).
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// The same as an AlgorithmIdentifier in DER; its parameters are absent.
pub(crate) const ALGORITHM_ECDSA_WITH_SHA256: &[u8] =
    &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// id-at-serialNumber, 2.5.4.5 (RFC 5280, appendix A.1).
pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
/// id-at-commonName, 2.5.4.3 (RFC 5280, appendix A.1).
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// challengePassword, 1.2.840.113549.1.9.7 (RFC 2985, section 5.4.1).
pub(crate) const CHALLENGE_PASSWORD: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07];
/// id-ecPublicKey (RFC 5480, section 2.1.1).
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// id-on-hardwareModuleName, 1.3.6.1.5.5.7.8.4 (RFC 4108, section 5).
pub(crate) const HARDWARE_MODULE_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04];
/// The Trusted Computing Group's arc, 2.23.133: a hardware module type below it names a TPM or a layer, not the
/// device (IEEE 802.1AR-2018, section 8.10.4, leaves the type to its owner).
pub(crate) const TCG: &[u8] = &[0x67, 0x81, 0x05];
/// id-ce-issuingDistributionPoint, 2.5.29.28 (RFC 5280, section 5.2.5).
pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
/// tcg-dice-TcbInfo, 2.23.133.5.4.1 (TCG DICE Attestation Architecture 1.1, section 6.1.1).
pub(crate) const DICE_TCB_INFO: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x01];
/// tcg-dice-MultiTcbInfo, 2.23.133.5.4.5 (section 6.1.2).
pub(crate) const DICE_MULTI_TCB_INFO: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x05];
/// tcg-dice-Ueid, 2.23.133.5.4.4 (section 6.1.3).
pub(crate) const DICE_UEID: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x04];
/// The arc of the extended key usages of DICE, 2.23.133.5.4.100 (section 5).
pub(crate) const DICE_KEY_PURPOSES: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x64];
/// diceAttestationData, 1.3.6.1.4.1.11129.2.1.24 (Open Profile for DICE, "CDI Custom Extension Fields").
pub(crate) const OPEN_DICE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x01, 0x18];
/// id-ce: subjectAltName, basicConstraints, keyUsage, extKeyUsage, nameConstraints (RFC 5280, section 4.2.1).
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// ecdsa-with-SHA384 (RFC 5758, section 3.2).
pub(crate) const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// id-Ed25519 (RFC 8410, section 3).
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// id-ce-deltaCRLIndicator, 2.5.29.27 (RFC 5280, section 5.2.4).
pub(crate) const DELTA_CRL: &[u8] = &[0x55, 0x1d, 0x1b];
/// rsaEncryption (RFC 8017, appendix A.1).
pub(crate) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-aa-attestation, 1.2.840.113549.1.9.16.2.59 (draft-ietf-lamps-csr-attestation).
pub(crate) const ATTESTATION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x3b];
/// id-pe-cmw, 1.3.6.1.5.5.7.1.35 (draft-ietf-rats-msg-wrap).
pub(crate) const CMW: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x23];
/// This project's arc of statement types, the number of the kind below it: 2.25 and the UUID
/// ad711942-e686-4b65-810f-8ae6cc2791e1, which nobody has to register (ITU-T X.667).
pub(crate) const EVIDENCE_KINDS: &[u8] = &[
    0x69, 0x82, 0xda, 0xf1, 0x8c, 0xd0, 0xdc, 0xe8, 0xb2, 0xad, 0xcb, 0x81, 0x87, 0xe2, 0xdc, 0xec, 0xe1,
    0x9e, 0xa3, 0x61,
];
