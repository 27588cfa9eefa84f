//! What every kind of evidence is refused for, driven through the real server: one runner, one row a fault, one
//! implementation of [`Subject`] a kind.

mod claim;
mod dice;
mod explain;
mod idevid;
mod psa;
mod said;
mod symmetric;
mod token;
pub mod tpm;

use shared::endpoint::{CHALLENGE, ENROLL};
use shared::limits::MAX_REQUEST;
use shared::message::latest::{
    Challenge, ChallengeRequest, EnrollRequest, EvidenceKind, FreshEvidence, Nonce, Outcome,
};
use shared::{DeviceId, Reject};

use super::device::{Csr, post, written};
use super::https::Reply;
use super::world::World;

pub use claim::{ClaimBatch, ClaimSubject};
pub use dice::{DICE_LAYERS, DICE_MODEL, DiceSubject};
pub use idevid::IdevidSubject;
pub use psa::{KeySource, PsaSubject};
pub use said::{CREDENTIAL_DIGEST, CREDENTIAL_MODEL};
pub use symmetric::{KeyOf, SymmetricSubject};
pub use token::TokenSubject;
pub use tpm::TpmSubject;

/// A fault in what a device presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// The evidence answers an earlier challenge than the request does.
    ReplayedNonce,
    /// Another device's evidence, genuine and fresh.
    OtherDevice,
    /// The evidence is for another key than the CSR's.
    OtherKey,
    /// The signature, or what stands for it, is wrong.
    BrokenSignature,
    /// All is right, but a maker vouches for it that the server does not know.
    WrongMaker,
    /// Genuine firmware, older than the policy wants.
    OldVersion,
    /// The debug port is open.
    OpenDebug,
    /// The evidence is cut in half.
    Truncated,
    /// The evidence is one byte longer than evidence of its kind may be.
    Oversized,
}

impl Spoil {
    /// All faults.
    pub const ALL: [Self; 9] = [
        Self::ReplayedNonce,
        Self::OtherDevice,
        Self::OtherKey,
        Self::BrokenSignature,
        Self::WrongMaker,
        Self::OldVersion,
        Self::OpenDebug,
        Self::Truncated,
        Self::Oversized,
    ];
}

/// What has to become of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A refusal with this code, by this rule.
    Refused(Reject, &'static str),
    /// The kind cannot have this fault, for this reason.
    Impossible(&'static str),
}

/// A challenge as a subject needs it.
#[derive(Clone, Debug)]
pub struct Challenged {
    /// The nonce.
    pub nonce: Nonce,
    /// The encrypted credential, where there is one.
    pub credential: Option<Vec<u8>>,
}

/// What a subject presents.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The evidence.
    pub body: Vec<u8>,
    /// Its endorsements.
    pub endorsements: Vec<Vec<u8>>,
}

/// A device that gives evidence of one kind, rightly or with a fault.
///
/// To implement: the faults that [`is_of_the_subject`] names are made by the subject; all others are made by the
/// runner out of good evidence.
pub trait Subject {
    /// The device that asks.
    fn device(&self) -> &DeviceId;

    /// The kind of evidence it gives.
    fn kind(&self) -> EvidenceKind;

    /// What goes with a challenge request; nothing for most kinds.
    fn introduction(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether an operator has to approve its enrollment.
    fn is_held(&self) -> bool {
        false
    }

    /// A new key and the CSR for it; kinds whose keys live in hardware make their own.
    fn csr(&self) -> Csr {
        Csr::new()
    }

    /// Evidence for this challenge and this CSR key, with a fault of its own where one is given.
    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented;

    /// Spoils the signature of good evidence.
    fn break_signature(&self, presented: &mut Presented) {
        if let Some(last) = presented.body.last_mut() {
            *last ^= 1;
        }
    }

    /// The refusal, and its rule, of a second request for another key that answers the challenge of the first.
    fn again(&self) -> (Reject, &'static str) {
        (Reject::UsedNonce, "nonce")
    }

    /// What has to become of a fault; by default, as with evidence that a key of the device's own signs, endorsed by its
    /// maker.
    fn expected(&self, spoil: Spoil) -> Expected {
        of_signed_evidence(spoil)
    }
}

/// What becomes of each fault of evidence that a key of the device's own signs, endorsed by its maker.
const fn of_signed_evidence(spoil: Spoil) -> Expected {
    let (reject, rule) = match spoil {
        Spoil::ReplayedNonce => (Reject::EvidenceNonce, "evidence-nonce"),
        Spoil::OtherDevice => (Reject::EvidenceDevice, "evidence-device"),
        Spoil::OtherKey => (Reject::EvidenceKey, "evidence-key"),
        Spoil::BrokenSignature => (Reject::EvidenceSignature, "evidence-signature"),
        Spoil::WrongMaker => (Reject::UnknownMaker, "endorsement"),
        Spoil::OldVersion => (Reject::FirmwareTooOld, "firmware-version"),
        Spoil::OpenDebug => (Reject::DebugOpen, "debug"),
        Spoil::Truncated => (Reject::BadEvidence, "evidence-form"),
        Spoil::Oversized => (Reject::MalformedMessage, "message"),
    };
    Expected::Refused(reject, rule)
}

/// Whether the subject itself makes this fault.
#[must_use]
pub const fn is_of_the_subject(spoil: Spoil) -> bool {
    matches!(spoil, Spoil::WrongMaker | Spoil::OldVersion | Spoil::OpenDebug)
}

/// Sends each fault to the server and checks what becomes of it; then enrolls the device, with an operator's approval
/// where it needs one, and shows that its nonce does not work a second time. Of every refusal `policy explain` has to
/// name the rule. `other` is another device of the same kind. `seen` is called with each request that was refused, and
/// the rule that has to be named for it.
///
/// # Panics
/// Where the server decides otherwise than it has to.
pub fn run(
    world: &World,
    subject: &impl Subject,
    other: &impl Subject,
    mut seen: impl FnMut(Spoil, &[u8], Reject, &'static str),
) {
    for spoil in Spoil::ALL {
        let (reject, rule) = match subject.expected(spoil) {
            Expected::Refused(reject, rule) => (reject, rule),
            Expected::Impossible(reason) => {
                assert!(!reason.is_empty(), "{spoil:?} is left out without a reason");
                continue;
            }
        };
        let request = spoiled(world, subject, other, spoil);
        let reply = post(world, ENROLL, &request);
        assert_eq!(refused(&reply), Some(reject), "{:?}, {spoil:?}: {reply:?}", subject.kind());
        explain::check(world, subject, Some(spoil), &request, (reject, rule));
        seen(spoil, &request, reject, rule);
    }

    let (csr, challenged) = (subject.csr(), challenge(world, subject));
    let presented = subject.present(&challenged, &csr, None);
    let request = request(subject, &csr, &challenged.nonce, &presented);
    let mut reply = post(world, ENROLL, &request);
    if subject.is_held() {
        assert!(matches!(reply.answer().outcome, Outcome::Pending { .. }), "{:?}: {reply:?}", subject.kind());
        let _approved = world.server(&["device", "approve", subject.device().as_str()]).success();
        reply = post(world, ENROLL, &request);
    }
    assert!(matches!(reply.answer().outcome, Outcome::Issued(_)), "{:?}: {reply:?}", subject.kind());
    let again = post(world, ENROLL, &request);
    assert!(matches!(again.answer().outcome, Outcome::Issued(_)), "the same request again: {again:?}");

    // The nonce counts once.
    let another = subject.csr();
    let presented = subject.present(&challenged, &another, None);
    let replayed = self::request(subject, &another, &challenged.nonce, &presented);
    let (reject, rule) = subject.again();
    let told = refused(&post(world, ENROLL, &replayed));
    assert_eq!(told, Some(reject), "{:?}: a nonce counted twice", subject.kind());
    explain::check(world, subject, None, &replayed, (reject, rule));
}

/// Asks for a challenge.
///
/// # Panics
/// Where there is none for this kind.
#[must_use]
pub fn challenge(world: &World, subject: &impl Subject) -> Challenged {
    let introduction = subject.introduction();
    let asked = ChallengeRequest {
        device: subject.device().clone(),
        kinds: [subject.kind()].into_iter().collect(),
        introduction: introduction.as_deref(),
    };
    let reply = post(world, CHALLENGE, &written(|out| asked.encode(out)));
    assert_eq!(reply.status, 200, "{:?}: {reply:?}", subject.kind());
    let challenge = Challenge::decode(&reply.body).expect("a challenge");
    assert_eq!(challenge.kind, subject.kind());
    Challenged { nonce: challenge.nonce, credential: challenge.credential.map(<[u8]>::to_vec) }
}

/// The request for a certificate.
#[must_use]
pub fn request(subject: &impl Subject, csr: &Csr, nonce: &Nonce, presented: &Presented) -> Vec<u8> {
    let evidence = FreshEvidence {
        nonce: *nonce,
        kind: subject.kind(),
        body: &presented.body,
        endorsements: presented.endorsements.iter().map(Vec::as_slice).collect(),
    };
    let request = EnrollRequest { device: subject.device().clone(), csr: &csr.der, evidence, trust: None };
    written(|out| request.encode(out))
}

fn spoiled(world: &World, subject: &impl Subject, other: &impl Subject, spoil: Spoil) -> Vec<u8> {
    let (csr, challenged) = (subject.csr(), challenge(world, subject));
    let presented = match spoil {
        Spoil::ReplayedNonce => {
            let earlier = challenge(world, subject);
            subject.present(&earlier, &csr, None)
        }
        Spoil::OtherDevice => other.present(&challenged, &csr, None),
        Spoil::OtherKey => subject.present(&challenged, &subject.csr(), None),
        Spoil::WrongMaker | Spoil::OldVersion | Spoil::OpenDebug => {
            subject.present(&challenged, &csr, Some(spoil))
        }
        Spoil::BrokenSignature | Spoil::Truncated | Spoil::Oversized => {
            let mut presented = subject.present(&challenged, &csr, None);
            match spoil {
                Spoil::Truncated => presented.body.truncate(presented.body.len() / 2),
                Spoil::Oversized => presented.body.resize(subject.kind().max_body() + 1, 0),
                _ => subject.break_signature(&mut presented),
            }
            presented
        }
    };
    request(subject, &csr, &challenged.nonce, &presented)
}

/// The refusal that an answer is, if it is one.
fn refused(reply: &Reply) -> Option<Reject> {
    assert!(reply.body.len() <= MAX_REQUEST, "{reply:?}");
    match reply.answer().outcome {
        Outcome::Rejected(rejected) => rejected.reject(),
        _ => None,
    }
}
