//! The secret in a TPM's credential: computed anew from the nonce whenever it is wanted, so that no replica has to
//! remember it.

use core::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use shared::evidence::{ACTIVATION_SECRET, ActivationProof, activation_message};
use shared::message::latest::Nonce;
use shared::tpm2::PublicArea;
use zeroize::Zeroizing;

use super::keys::name;

/// The key from which the secrets of credentials are made; the same on every replica.
pub struct ActivationKey(hmac::Key);

impl ActivationKey {
    /// Takes the key over.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The secret for this challenge and this pair of keys, and no other.
    #[must_use]
    pub fn secret(&self, nonce: &Nonce, ek: &PublicArea<'_>, ak: &PublicArea<'_>) -> ActivationSecret {
        let mut mac = hmac::Context::with_key(&self.0);
        // All parts have a fixed length, so that no two inputs run together.
        mac.update(nonce);
        mac.update(&name(ek));
        mac.update(&name(ak));
        let tag = mac.sign();
        let mut secret = Zeroizing::new([0; ACTIVATION_SECRET]);
        for (to, from) in secret.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        ActivationSecret(secret)
    }
}

impl fmt::Debug for ActivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivationKey([redacted])")
    }
}

/// A secret that only one TPM can read.
pub struct ActivationSecret(Zeroizing<[u8; ACTIVATION_SECRET]>);

impl ActivationSecret {
    /// For the credential.
    #[must_use]
    pub fn expose(&self) -> &[u8; ACTIVATION_SECRET] {
        &self.0
    }

    /// Whether whoever made this proof knows the secret.
    #[must_use]
    pub fn is_proved_by(&self, proof: &ActivationProof, nonce: &Nonce, key_public: &[u8]) -> bool {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.expose()));
        for part in activation_message(nonce, key_public) {
            mac.update(part);
        }
        verify_slices_are_equal(mac.sign().as_ref(), proof).is_ok()
    }
}

impl fmt::Debug for ActivationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivationSecret([redacted])")
    }
}
