//! What embedded-tls asks of a device in one handshake: randomness, the verifier, the client certificate and
//! its key.

use agent_core::platform::{ClientIdentity, SigningKey};
use embedded_tls::{Certificate, CryptoProvider, CryptoRngCore, SignatureScheme, TlsError, TlsVerifier};
use p256::ecdsa::signature::{Error as SigningFailed, Signer, SignerMut};
use p256::ecdsa::{DerSignature, Signature};
use sha2::{Digest as _, Sha256};

use super::suite::InspectedAes128GcmSha256;
use super::verifier::Verifier;

/// Serves one handshake.
#[derive(Debug)]
pub struct Provider<'p, K, R> {
    rng: R,
    verifier: Verifier<'p>,
    identity: Option<ClientIdentity<'p, K>>,
}

impl<'p, K: SigningKey, R: CryptoRngCore> Provider<'p, K, R> {
    /// With `identity` the server gets a client certificate where it asks for one; embedded-tls sends the leaf
    /// alone, so a server needs the issuing CA among its trust anchors.
    pub const fn new(rng: R, verifier: Verifier<'p>, identity: Option<ClientIdentity<'p, K>>) -> Self {
        Self { rng, verifier, identity }
    }

    /// The verifier, with its verdict.
    pub fn into_verifier(self) -> Verifier<'p> {
        self.verifier
    }
}

impl<K: SigningKey, R: CryptoRngCore> CryptoProvider for Provider<'_, K, R> {
    type CipherSuite = InspectedAes128GcmSha256;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.rng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Self::CipherSuite>, TlsError> {
        Ok(&mut self.verifier)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        let identity = self.identity.as_ref().ok_or(TlsError::InvalidPrivateKey)?;
        Ok((Handshaker(identity.key), SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        let leaf = self.identity.as_ref()?.chain.first()?;
        Some(Certificate::X509(*leaf))
    }
}

/// Signs the handshake with the device's key.
struct Handshaker<'k, K>(&'k K);

impl<K: SigningKey> Signer<DerSignature> for Handshaker<'_, K> {
    fn try_sign(&self, message: &[u8]) -> Result<DerSignature, SigningFailed> {
        let digest = Sha256::digest(message).into();
        let raw = self.0.sign_digest(&digest).map_err(|_| SigningFailed::new())?;
        Ok(Signature::from_slice(&raw)?.to_der())
    }
}
