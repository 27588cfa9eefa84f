//! The server's proof, message by message: Certificate once, then CertificateVerify once (RFC 8446,
//! sections 4.4.2 and 4.4.3).
//!
//! embedded-tls calls its verifier for the messages that come, in the order they come, or not at all. So this is
//! a state machine that counts any other order as a fault, and whose end is a value: [`Authenticated`].

use agent_core::platform::Server;
use agent_core::x509::{PathError, VerifiedServer, verify_server};
use embedded_tls::{
    CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme, TlsError, TlsVerifier,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{DerSignature, Signature};
use sha2::{Digest as _, Sha256};
use shared::limits::MAX_CHAIN;

use super::suite::InspectedAes128GcmSha256;

/// Why the server has not proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFault {
    /// A second Certificate message, or one behind CertificateVerify.
    #[error("the server sent its certificate twice or too late")]
    UnexpectedCertificate,
    /// A CertificateVerify message without a Certificate before it, or a second one.
    #[error("the server sent CertificateVerify without a certificate, or twice")]
    UnexpectedCertificateVerify,
    /// The handshake ended before the server had proved anything.
    #[error("the server ended the handshake without proving who it is")]
    Unproved,
    /// The certificates were refused.
    #[error("the server's certificate was refused: {0}")]
    Path(PathError),
    /// A signature scheme other than ecdsa_secp256r1_sha256.
    #[error("the server signed with a scheme that was not offered")]
    Scheme,
    /// The signature over the handshake is wrong: the peer does not have the certificate's key.
    #[error("the server's signature over the handshake is wrong")]
    Signature,
}

/// The proof that the peer holds the key of a certificate that leads to a trust anchor and names the host.
/// Nothing but the [`Verifier`] makes it.
#[derive(Debug)]
pub struct Authenticated(());

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Certificate,
    /// The certificate is good; the hash is that of the handshake up to and including it.
    CertificateVerify { server: VerifiedServer, transcript: Sha256 },
    /// Both came, and are good.
    Proved(Authenticated),
    /// Something was wrong; it stays so.
    Refused(VerifyFault),
}

/// Judges one handshake.
#[derive(Debug)]
pub struct Verifier<'s> {
    server: Server<'s>,
    state: State,
}

impl<'s> Verifier<'s> {
    /// For one connection to `server`.
    #[must_use]
    pub const fn new(server: Server<'s>) -> Self {
        Self { server, state: State::Certificate }
    }

    /// What became of it.
    ///
    /// # Errors
    /// The first fault; [`VerifyFault::Unproved`] where a message is missing.
    pub fn finish(self) -> Result<Authenticated, VerifyFault> {
        match self.state {
            State::Proved(proof) => Ok(proof),
            State::Refused(fault) => Err(fault),
            #[cfg(feature = "plants")]
            _ if shared::plant::has(shared::plant::Plant::UnprovedServer) => Ok(Authenticated(())),
            State::Certificate | State::CertificateVerify { .. } => Err(VerifyFault::Unproved),
        }
    }

    /// The fault, once there is one.
    #[must_use]
    pub const fn fault(&self) -> Option<VerifyFault> {
        match self.state {
            State::Refused(fault) => Some(fault),
            _ => None,
        }
    }

    fn certificate(&self, message: &CertificateRef<'_>) -> Result<VerifiedServer, VerifyFault> {
        if !matches!(self.state, State::Certificate) {
            return Err(VerifyFault::UnexpectedCertificate);
        }
        let mut chain: heapless::Vec<&[u8], MAX_CHAIN> = heapless::Vec::new();
        for entry in &message.entries {
            let CertificateEntryRef::X509(der) = entry else {
                return Err(VerifyFault::Path(PathError::Malformed));
            };
            chain.push(der).map_err(|_| VerifyFault::Path(PathError::ChainLength))?;
        }
        verify_server(&chain, self.server.anchors, self.server.host, self.server.validity)
            .map_err(VerifyFault::Path)
    }

    fn settle(&mut self, next: Result<State, VerifyFault>) -> Result<(), TlsError> {
        match next {
            Ok(state) if self.fault().is_none() => {
                self.state = state;
                Ok(())
            }
            Ok(_) => Err(TlsError::InvalidCertificate),
            Err(fault) => {
                self.state = State::Refused(self.fault().unwrap_or(fault));
                Err(TlsError::InvalidCertificate)
            }
        }
    }
}

impl TlsVerifier<InspectedAes128GcmSha256> for Verifier<'_> {
    fn set_hostname_verification(&mut self, _hostname: &str) -> Result<(), TlsError> {
        // The host comes with the server's settings, whether or not it is sent as server name.
        Ok(())
    }

    fn verify_certificate(
        &mut self,
        transcript: &Sha256,
        message: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        let next = self
            .certificate(&message)
            .map(|server| State::CertificateVerify { server, transcript: transcript.clone() });
        self.settle(next)
    }

    fn verify_signature(&mut self, message: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let next = match &self.state {
            State::CertificateVerify { server, transcript } => {
                check(server, transcript.clone(), &message).map(|()| State::Proved(Authenticated(())))
            }
            _ => Err(VerifyFault::UnexpectedCertificateVerify),
        };
        self.settle(next)
    }
}

/// RFC 8446, section 4.4.3: 64 spaces, a context, a zero byte and the hash of the handshake are signed.
fn check(
    server: &VerifiedServer,
    transcript: Sha256,
    message: &CertificateVerifyRef<'_>,
) -> Result<(), VerifyFault> {
    if message.signature_scheme != SignatureScheme::EcdsaSecp256r1Sha256 {
        return Err(VerifyFault::Scheme);
    }
    let mut signed = Sha256::new();
    signed.update([b' '; 64]);
    signed.update(b"TLS 1.3, server CertificateVerify\0");
    signed.update(transcript.finalize());
    let signature = DerSignature::from_bytes(message.signature).map_err(|_| VerifyFault::Signature)?;
    let signature = Signature::try_from(signature).map_err(|_| VerifyFault::Signature)?;
    server.public_key().verify_prehash(&signed.finalize(), &signature).map_err(|_| VerifyFault::Signature)
}
