//! The derivations of the Open Profile for DICE, with its defaults: SHA-512, HKDF (RFC 5869) over it, and ECDSA on
//! P-256 with keys out of an HMAC_DRBG (RFC 6979, section 3.2).

use hkdf::Hkdf;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use rcgen::KeyPair;
use rfc6979::HmacDrbg;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::{BootError, Code};

/// In which mode a layer runs ("Mode Value Details").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All is configured, debugging is closed.
    Normal,
    /// Debugging is open.
    Debug,
}

impl Mode {
    /// The mode input.
    #[must_use]
    pub const fn value(self) -> u8 {
        match self {
            Self::Normal => 1,
            Self::Debug => 2,
        }
    }
}

/// The input values that a layer is derived from ("Input Values"); the hidden ones are zero.
pub(super) struct Inputs {
    pub(super) code: [u8; 64],
    pub(super) configuration: [u8; 64],
    pub(super) configuration_descriptor: String,
    /// "If a code authorization mechanism is disabled or not supported, this input should be 64 zero bytes."
    pub(super) authority: [u8; 64],
    pub(super) mode: Mode,
}

impl Inputs {
    pub(super) fn new(code: &Code<'_>, mode: Mode) -> Self {
        let configuration_descriptor = format!("{} {}", code.name, code.version);
        Self {
            code: code.hash,
            configuration: Sha512::digest(&configuration_descriptor).into(),
            configuration_descriptor,
            authority: [0; 64],
            mode,
        }
    }
}

/// ASYM_SALT and ID_SALT ("Salt").
const ASYM_SALT: &str = "63B6A04D2C077FC10F639F21DA793844356CC2B0B441B3A77124035C03F8E1BE\
                         6035D31F282821A7450A02222AB1B3CFF1679B05AB1CA5D1AFFB789CCD2B0B3B";
const ID_SALT: &str = "DBDBAEBC8020DA9FF0DD5A24C83AA5A54286DFC263031E329B4DA148430659FE\
                       62CDB5B7E1E00FC680306711EB444AF77209359496FCFF1DB9520BA51C7B29EA";

/// `KDF(length, ikm, salt, info)`.
fn kdf<const LENGTH: usize>(ikm: &[u8], salt: &[u8], info: &str) -> Zeroizing<[u8; LENGTH]> {
    let mut out = Zeroizing::new([0; LENGTH]);
    let done = Hkdf::<Sha512>::new(Some(salt), ikm).expand(info.as_bytes(), out.as_mut_slice());
    debug_assert!(done.is_ok(), "HKDF gives up to 255 times 64 bytes");
    out
}

/// `CDI_Attest[n+1] = KDF(32, CDI_Attest[n], H(code + config + authority + mode + hidden), "CDI_Attest")`.
pub(super) fn cdi_attest(secret: &[u8; 32], inputs: &Inputs) -> Zeroizing<[u8; 32]> {
    let salt = Sha512::new()
        .chain_update(inputs.code)
        .chain_update(inputs.configuration)
        .chain_update(inputs.authority)
        .chain_update([inputs.mode.value()])
        .chain_update([0; 64])
        .finalize();
    kdf(secret, &salt, "CDI_Attest")
}

/// The secret of the attestation key, which the profile leaves to the last layer.
pub(super) fn attestation_secret(cdi: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    kdf(cdi, &[], "Attestation Key")
}

/// `ASYM_KDF(secret)`.
pub(super) fn key_pair(secret: &[u8; 32]) -> Result<SecretKey, BootError> {
    let seed = kdf::<32>(secret, &hex::decode(ASYM_SALT).unwrap_or_default(), "Key Pair");
    let mut drbg = HmacDrbg::<Sha512>::new(seed.as_slice(), &[], &[]);
    // A candidate outside of the group's order has a chance of one in 2^32.
    for _ in 0..16 {
        let mut candidate = Zeroizing::new([0; 32]);
        drbg.fill_bytes(candidate.as_mut_slice());
        if let Ok(key) = SecretKey::from_slice(candidate.as_slice()) {
            return Ok(key);
        }
    }
    Err(BootError::Key)
}

/// `KDF(20, public key, ID_SALT, "ID")`, the topmost bit cleared.
pub(super) fn id(key: &SecretKey) -> [u8; 20] {
    let point = key.public_key().to_encoded_point(false);
    let coordinates = point.as_bytes().get(1..).unwrap_or_default();
    let mut id = *kdf::<20>(coordinates, &hex::decode(ID_SALT).unwrap_or_default(), "ID");
    if let Some(first) = id.first_mut() {
        *first &= 0x7f;
    }
    id
}

/// The key for the library that makes certificates.
pub(super) fn for_rcgen(key: &SecretKey) -> Result<KeyPair, BootError> {
    let der = key.to_pkcs8_der().map_err(|_| BootError::Key)?;
    Ok(KeyPair::try_from(der.as_bytes())?)
}
