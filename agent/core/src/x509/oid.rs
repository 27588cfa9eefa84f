//! The registry numbers of this module: contents of OBJECT IDENTIFIERs and whole AlgorithmIdentifiers.

/// id-ce, 2.5.29 (RFC 5280, section 4.2.1).
macro_rules! id_ce {
    ($arc:literal) => {
        &[0x55, 0x1d, $arc]
    };
}
/// id-at, 2.5.4 (RFC 5280, appendix A.1).
macro_rules! id_at {
    ($arc:literal) => {
        &[0x55, 0x04, $arc]
    };
}
/// id-kp, 1.3.6.1.5.5.7.3 (RFC 5280, section 4.2.1.12).
macro_rules! id_kp {
    ($arc:literal) => {
        &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, $arc]
    };
}

pub(super) const SUBJECT_KEY_ID: &[u8] = id_ce!(14);
pub(super) const KEY_USAGE: &[u8] = id_ce!(15);
pub(super) const SUBJECT_ALT_NAME: &[u8] = id_ce!(17);
pub(super) const BASIC_CONSTRAINTS: &[u8] = id_ce!(19);
pub(super) const NAME_CONSTRAINTS: &[u8] = id_ce!(30);
pub(super) const POLICY_MAPPINGS: &[u8] = id_ce!(33);
pub(super) const AUTHORITY_KEY_ID: &[u8] = id_ce!(35);
pub(super) const POLICY_CONSTRAINTS: &[u8] = id_ce!(36);
pub(super) const EXT_KEY_USAGE: &[u8] = id_ce!(37);
pub(super) const INHIBIT_ANY_POLICY: &[u8] = id_ce!(54);
/// id-pe-authorityInfoAccess, 1.3.6.1.5.5.7.1.1 (RFC 5280, section 4.2.2.1).
pub(super) const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

/// id-on-hardwareModuleName, 1.3.6.1.5.5.7.8.4 (RFC 4108, section 5).
pub(super) const HARDWARE_MODULE_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04];

pub(super) const COMMON_NAME: &[u8] = id_at!(3);
pub(super) const SERIAL_NUMBER: &[u8] = id_at!(5);

pub(super) const SERVER_AUTH: &[u8] = id_kp!(1);
pub(super) const CLIENT_AUTH: &[u8] = id_kp!(2);
/// anyExtendedKeyUsage, 2.5.29.37.0.
pub(super) const ANY_EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];

/// AlgorithmIdentifier of ecdsa-with-SHA256, 1.2.840.10045.4.3.2, without parameters (RFC 5758, section 3.2).
pub(super) const ECDSA_SHA256: &[u8] =
    &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// What stands before the 65 bytes of an uncompressed point in a SubjectPublicKeyInfo: id-ecPublicKey
/// (1.2.840.10045.2.1) with the named curve secp256r1 (1.2.840.10045.3.1.7), and the head of the BIT STRING
/// (RFC 5480, section 2).
pub(super) const P256_SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
