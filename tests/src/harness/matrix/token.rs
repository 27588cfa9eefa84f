//! Evidence by one-time token, which is bound to nothing but the device it was made for.

use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use super::{Challenged, Expected, Presented, Spoil, Subject};
use crate::harness::device::Csr;

/// A device with a token of its own.
#[derive(Debug)]
pub struct TokenSubject {
    id: DeviceId,
    token: String,
}

impl TokenSubject {
    /// The device `id` with the token that an operator made for it.
    ///
    /// # Panics
    /// Where `id` is no identifier.
    #[must_use]
    pub fn new(id: &str, token: &str) -> Self {
        Self { id: DeviceId::new(id).expect("an identifier"), token: token.to_owned() }
    }
}

impl Subject for TokenSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::OneTimeToken
    }

    fn present(&self, _: &Challenged, _: &Csr, spoil: Option<Spoil>) -> Presented {
        let token = if spoil == Some(Spoil::WrongMaker) {
            self.token.chars().rev().collect()
        } else {
            self.token.clone()
        };
        Presented { body: token.into_bytes(), endorsements: Vec::new() }
    }

    /// Before the nonce counts, the token is used up.
    fn again(&self) -> (Reject, &'static str) {
        (Reject::BadToken, "token")
    }

    fn expected(&self, spoil: Spoil) -> Expected {
        match spoil {
            Spoil::ReplayedNonce => Expected::Impossible("a token answers no nonce; it counts once"),
            Spoil::OtherKey => Expected::Impossible("a token is for whatever key its device has"),
            Spoil::OldVersion | Spoil::OpenDebug => {
                Expected::Impossible("a token says nothing of the device or its firmware")
            }
            Spoil::OtherDevice | Spoil::BrokenSignature | Spoil::WrongMaker | Spoil::Truncated => {
                Expected::Refused(Reject::BadToken, "token")
            }
            Spoil::Oversized => Expected::Refused(Reject::MalformedMessage, "message"),
        }
    }
}
