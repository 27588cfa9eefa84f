//! A one-time token as evidence: proves possession of the token, nothing about the device.

use core::fmt;

use shared::DeviceId;
use shared::limits::{MAX_CHAIN, MAX_TOKEN};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::tokentext::{self, NotShort};
use zeroize::Zeroizing;

use crate::platform::{AttestError, Attester, PublicPoint};

/// Attests with a one-time token. Zeroizes its copy of the token on drop.
pub struct TokenAttester {
    device: DeviceId,
    token: Zeroizing<[u8; MAX_TOKEN]>,
    length: usize,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Empty, too long, or with characters that are not printable ASCII.
    #[error("a token has 1 to {MAX_TOKEN} printable ASCII characters")]
    Form,
    /// A token in the short form whose check symbol does not fit.
    #[error("the token has a typing error: its check symbol does not fit")]
    Mistyped,
}

impl TokenAttester {
    /// An attester for `device` with a token made for it.
    ///
    /// # Errors
    /// Where `token` cannot be one.
    pub fn new(device: DeviceId, token: &str) -> Result<Self, TokenError> {
        let bytes = token.as_bytes();
        if tokentext::canonical(bytes) == Err(NotShort::Mistyped) {
            return Err(TokenError::Mistyped);
        }
        let mut kept = Zeroizing::new([0; MAX_TOKEN]);
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Form);
        }
        kept.get_mut(..bytes.len()).ok_or(TokenError::Form)?.copy_from_slice(bytes);
        Ok(Self { device, token: kept, length: bytes.len() })
    }
}

impl Attester for TokenAttester {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::OneTimeToken
    }

    fn attest(
        &mut self,
        _nonce: &Nonce,
        _csr_key: &PublicPoint,
        out: &mut [u8],
    ) -> Result<usize, AttestError> {
        let token = self.token.get(..self.length).ok_or(AttestError::TooLong)?;
        out.get_mut(..token.len()).ok_or(AttestError::TooLong)?.copy_from_slice(token);
        Ok(token.len())
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        heapless::Vec::new()
    }
}

impl fmt::Debug for TokenAttester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenAttester({}, token redacted)", self.device)
    }
}
