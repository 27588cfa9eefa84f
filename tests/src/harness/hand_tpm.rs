//! A device with a TPM, driven by hand: each part of its evidence by itself, so that a test can mix and spoil them.

use hmac::{Hmac, Mac as _};
use p256::ecdsa::Signature;
use rcgen::{CertificateParams, DistinguishedName, PublicKeyData, SignatureAlgorithm, SigningKey};
use sha2::{Digest as _, Sha256};
use shared::evidence::{Introduction, TpmEvidence, activation_message};
use shared::message::latest::Nonce;
use tpm_client::objects::KeyBlob;
use tpm_client::{EkKind, Tpm};

use super::device::{Csr, written};
use super::measured_boot::REGISTERS;

/// A device with a TPM.
#[derive(Clone, Debug)]
pub struct HandTpm {
    /// Its TPM.
    pub tpm: Tpm,
    /// Which endorsement key.
    pub ek: EkKind,
    /// What leads from the endorsement key's certificate to the maker.
    pub above: Vec<Vec<u8>>,
}

/// The parts of evidence.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Certificates of the endorsement key.
    pub ek_chain: Vec<Vec<u8>>,
    /// TPMT_PUBLIC.
    pub ek_public: Vec<u8>,
    /// TPMT_PUBLIC.
    pub ak_public: Vec<u8>,
    /// Proof of activation.
    pub activation: [u8; 32],
    /// TPMT_PUBLIC.
    pub key_public: Vec<u8>,
    /// TPMS_ATTEST.
    pub certify: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub certify_signature: Vec<u8>,
    /// TPMS_ATTEST.
    pub quote: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub quote_signature: Vec<u8>,
    /// Register and value.
    pub pcrs: Vec<(u8, Vec<u8>)>,
    /// The event log.
    pub event_log: Option<Vec<u8>>,
}

impl Parts {
    /// As the device sends it.
    ///
    /// # Panics
    /// Where there is more of something than fits.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let evidence = TpmEvidence {
            ek_chain: self.ek_chain.iter().map(Vec::as_slice).collect(),
            ek_public: &self.ek_public,
            ak_public: &self.ak_public,
            activation: self.activation,
            key_public: &self.key_public,
            certify: &self.certify,
            certify_signature: &self.certify_signature,
            quote: &self.quote,
            quote_signature: &self.quote_signature,
            pcrs: self.pcrs.iter().map(|(register, value)| (*register, value.as_slice())).collect(),
            event_log: self.event_log.as_deref(),
        };
        written(|out| evidence.encode(out))
    }

    /// Reads what a device sent.
    ///
    /// # Panics
    /// Where it is no evidence of a TPM.
    #[must_use]
    pub fn decode(body: &[u8]) -> Self {
        let evidence = TpmEvidence::decode(body).expect("evidence of a TPM");
        Self {
            ek_chain: evidence.ek_chain.iter().map(|der| der.to_vec()).collect(),
            ek_public: evidence.ek_public.to_vec(),
            ak_public: evidence.ak_public.to_vec(),
            activation: evidence.activation,
            key_public: evidence.key_public.to_vec(),
            certify: evidence.certify.to_vec(),
            certify_signature: evidence.certify_signature.to_vec(),
            quote: evidence.quote.to_vec(),
            quote_signature: evidence.quote_signature.to_vec(),
            pcrs: evidence.pcrs.iter().map(|(register, value)| (*register, value.to_vec())).collect(),
            event_log: evidence.event_log.map(<[u8]>::to_vec),
        }
    }
}

impl HandTpm {
    /// What goes with a challenge request.
    ///
    /// # Panics
    /// Where the TPM fails.
    #[must_use]
    pub fn introduction(&self) -> Vec<u8> {
        let (ek_public, ak_public) = self.tpm.identity(self.ek).expect("a TPM");
        let introduction = Introduction { ek_public: &ek_public, ak_public: &ak_public };
        written(|out| introduction.encode(out))
    }

    /// A new key in the TPM and the CSR for it; the key is given as the blob that its TPM can load.
    ///
    /// # Panics
    /// Where the TPM fails.
    #[must_use]
    pub fn csr(&self) -> Csr {
        self.csr_for(self.tpm.make_key().expect("a key"))
    }

    /// The CSR for a key in the TPM.
    ///
    /// # Panics
    /// Where the TPM fails.
    #[must_use]
    pub fn csr_for(&self, blob: KeyBlob) -> Csr {
        let key = InTpm { tpm: &self.tpm, point: blob.point().expect("a point"), blob };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let der = params.serialize_request(&key).expect("a CSR").der().to_vec();
        Csr { der, point: key.point, key: key.blob.to_bytes() }
    }

    /// Evidence for this nonce and key. A credential that this TPM cannot open is proved with zeros; a key that it
    /// cannot load is replaced by one of its own.
    ///
    /// # Panics
    /// Where the TPM fails.
    #[must_use]
    pub fn parts(&self, nonce: &Nonce, credential: &[u8], key: &[u8], event_log: Option<Vec<u8>>) -> Parts {
        let tpm = &self.tpm;
        let key = KeyBlob::from_bytes(key).ok().filter(|key| tpm.check_key(key).is_ok());
        let key = key.unwrap_or_else(|| tpm.make_key().expect("a key"));
        let (ek_public, ak_public) = tpm.identity(self.ek).expect("a TPM");
        let own = tpm.ek_certificate(self.ek).expect("a TPM");
        let ek_chain = own.into_iter().chain(self.above.iter().cloned()).collect();
        let certify = tpm.certify(&key, nonce).expect("a certification");
        let quote = tpm.quote(&REGISTERS, nonce).expect("a quote");
        let activation = match tpm.activate(self.ek, credential) {
            Ok(secret) => prove(&secret, nonce, &key.public),
            Err(_) => [0; 32],
        };
        Parts {
            ek_chain,
            ek_public,
            ak_public,
            activation,
            key_public: key.public,
            certify: certify.attest,
            certify_signature: certify.signature,
            quote: quote.signed.attest,
            quote_signature: quote.signed.signature,
            pcrs: quote.values,
            event_log,
        }
    }
}

/// The proof that a secret was read.
///
/// # Panics
/// Never: any secret makes a key.
#[must_use]
pub fn prove(secret: &[u8], nonce: &Nonce, key_public: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in activation_message(nonce, key_public) {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A key in the TPM, as the CSR's maker wants it.
struct InTpm<'t> {
    tpm: &'t Tpm,
    blob: KeyBlob,
    point: [u8; 65],
}

impl PublicKeyData for InTpm<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for InTpm<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let raw = self.tpm.sign(&self.blob, &digest).map_err(|_| rcgen::Error::RemoteKeyError)?;
        let signature = Signature::from_slice(&raw).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
