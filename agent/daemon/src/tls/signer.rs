//! A key of the device as rustls wants it: whatever can sign a digest can log in, in software or in hardware.

use core::fmt;
use std::sync::Arc;

use agent_core::platform::{ClientIdentity, SigningKey};
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// The client certificate of one connection.
pub(super) fn resolver<K>(identity: ClientIdentity<'_, K>) -> Identity
where
    K: SigningKey + Clone + Send + Sync + 'static,
{
    Identity(certified(identity))
}

/// The certificates with their key, as rustls has them.
pub(crate) fn certified<K>(identity: ClientIdentity<'_, K>) -> Arc<CertifiedKey>
where
    K: SigningKey + Clone + Send + Sync + 'static,
{
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Arc::new(CertifiedKey::new(chain, Arc::new(Key(identity.key.clone()))))
}

/// Offers one certificate, whatever authorities the server names: the device has no other.
#[derive(Debug)]
pub(super) struct Identity(Arc<CertifiedKey>);

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        schemes.contains(&SCHEME).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

struct Key<K>(K);

// The key behind it is none of a log's business.
impl<K> fmt::Debug for Key<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(<redacted>)")
    }
}

impl<K: SigningKey + Clone + Send + Sync + 'static> rustls::sign::SigningKey for Key<K> {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(Self(self.0.clone())) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl<K: SigningKey + Send + Sync> Signer for Key<K> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let raw = self.0.sign_digest(&digest).map_err(|error| Error::General(error.to_string()))?;
        let signature = p256::ecdsa::Signature::from_slice(&raw)
            .map_err(|_| Error::General("the key made a signature that is none".to_owned()))?;
        // TLS wants the DER form (RFC 8446, section 4.2.3).
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}
