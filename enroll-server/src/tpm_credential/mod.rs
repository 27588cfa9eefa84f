//! Makes credentials for TPMs, as TPM2_MakeCredential does (TPM 2.0 Library, part 1, section 24, and annexes B.10
//! and C.6): a secret that only the TPM with this endorsement key can read, and only while the attestation key
//! of this name is loaded in it.
//!
//! What the secret is, and whether it was read, is the appraisal's affair.

mod kdf;

use appraisal::tpm::{ActivationSecret, KeyFault, Name, check_ak, check_ek, name, spki_der};
use aws_lc_rs::agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use shared::evidence::Introduction;
use shared::tpm2::{Key, PublicArea, Tpm2Error};
use zeroize::Zeroizing;

use kdf::{SEED, kdfa, kdfe};

/// Keys of a TPM, fit to be challenged. They are claims until the evidence comes.
#[derive(Clone, Copy, Debug)]
pub struct Introduced<'a> {
    ek: PublicArea<'a>,
    ak: PublicArea<'a>,
}

/// Why a TPM cannot be challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no introduction.
    #[error("the challenge request has no introduction of the TPM's keys")]
    Missing,
    /// The introduction cannot be read.
    #[error("the introduction cannot be read")]
    Form(#[from] shared::codec::DecodeError),
    /// A public area cannot be read.
    #[error("a public area in the introduction cannot be read")]
    Public(#[from] Tpm2Error),
    /// A key is not what its part takes.
    #[error("a key in the introduction is of no use")]
    Key(#[from] KeyFault),
    /// The endorsement key is no key.
    #[error("the endorsement key in the introduction is no key that something can be encrypted to")]
    Unusable,
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
}

impl<'a> Introduced<'a> {
    /// Reads an introduction.
    ///
    /// # Errors
    /// Where it cannot be read, or its keys are of the wrong kind.
    pub fn read(introduction: &'a [u8]) -> Result<Self, CredentialError> {
        let introduction = Introduction::decode(introduction)?;
        let ek = PublicArea::parse(introduction.ek_public)?;
        let ak = PublicArea::parse(introduction.ak_public)?;
        check_ek(&ek)?;
        check_ak(&ak)?;
        Ok(Self { ek, ak })
    }

    /// The endorsement key.
    #[must_use]
    pub const fn ek(&self) -> &PublicArea<'a> {
        &self.ek
    }

    /// The attestation key.
    #[must_use]
    pub const fn ak(&self) -> &PublicArea<'a> {
        &self.ak
    }

    /// Makes the credential: TPM2B_ID_OBJECT, then TPM2B_ENCRYPTED_SECRET.
    ///
    /// # Errors
    /// Where the endorsement key is no key, or there is no randomness.
    pub fn credential(&self, secret: &ActivationSecret) -> Result<Vec<u8>, CredentialError> {
        let (seed, encrypted_seed) = share_seed(&self.ek)?;
        let identity = seal(&seed, &name(&self.ak), secret).ok_or(CredentialError::Unusable)?;
        Ok([sized(&identity), sized(&encrypted_seed)].concat())
    }
}

/// What identity objects are labelled with (part 1, section 24.4).
const IDENTITY: &[u8] = b"IDENTITY\0";

/// Draws a seed and encrypts it to the endorsement key.
fn share_seed(ek: &PublicArea<'_>) -> Result<(Zeroizing<[u8; SEED]>, Vec<u8>), CredentialError> {
    match ek.key {
        Key::Rsa { .. } => share_by_rsa(&spki_der(ek)),
        Key::P256 { x, .. } => share_by_ecdh(&ek.point().ok_or(CredentialError::Unusable)?, &x),
    }
}

/// By OAEP with the key's name algorithm (annex B.10.3).
fn share_by_rsa(spki: &[u8]) -> Result<(Zeroizing<[u8; SEED]>, Vec<u8>), CredentialError> {
    let mut seed = Zeroizing::new([0; SEED]);
    SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| CredentialError::Random)?;
    let key = PublicEncryptingKey::from_der(spki).map_err(|_| CredentialError::Unusable)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| CredentialError::Unusable)?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let encrypted = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, seed.as_slice(), &mut encrypted, Some(IDENTITY))
        .map_err(|_| CredentialError::Unusable)?
        .to_vec();
    Ok((seed, encrypted))
}

/// By one-pass Diffie-Hellman: the TPM gets our point, both sides derive the seed (annex C.6.1).
fn share_by_ecdh(
    point: &[u8; 65],
    ek_x: &[u8; 32],
) -> Result<(Zeroizing<[u8; SEED]>, Vec<u8>), CredentialError> {
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    let ours = ours.map_err(|_| CredentialError::Random)?;
    let public = ours.compute_public_key().map_err(|_| CredentialError::Random)?;
    let (x, y) = match public.as_ref() {
        [4, coordinates @ ..] => coordinates.split_at_checked(32).ok_or(CredentialError::Random)?,
        _ => return Err(CredentialError::Random),
    };
    let encrypted = [sized(x), sized(y)].concat();
    let theirs = UnparsedPublicKey::new(&ECDH_P256, point);
    let seed = agreement::agree_ephemeral(ours, theirs, CredentialError::Unusable, |shared_x| {
        Ok(kdfe(shared_x, IDENTITY, x, ek_x))
    })?;
    Ok((seed, encrypted))
}

/// Encrypts the secret and ties it to the attestation key's name (part 1, sections 24.4 and 24.5): TPMS_ID_OBJECT.
fn seal(seed: &[u8; SEED], ak_name: &Name, secret: &ActivationSecret) -> Option<Vec<u8>> {
    let key = kdfa::<16>(seed, b"STORAGE", ak_name);
    let mut identity = sized(secret.expose());
    let key = UnboundCipherKey::new(&AES_128, key.as_slice()).and_then(EncryptingKey::cfb128).ok()?;
    // The key is used once, so the initial vector is zero.
    let vector = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    let _context = key.less_safe_encrypt(&mut identity, vector).ok()?;

    let key = kdfa::<32>(seed, b"INTEGRITY", &[]);
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
    mac.update(&identity);
    mac.update(ak_name);
    Some([sized(mac.sign().as_ref()), identity].concat())
}

/// A TPM2B: its length in 16 bits, then its content; none here has more than 512 bytes.
fn sized(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), content].concat()
}
