//! A request that is under way, and what it needs is gone, or cannot be read just now.

mod support;

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use agent_core::evidence::IdevidAttester;
use agent_core::keystore::SoftKey;
use agent_core::lifecycle::Phase;
use agent_core::platform::{AttestError, Attester, PublicPoint, Record};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, endpoint, limits};
use support::server::Fault;
use support::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Gives evidence for the nonce whose credential it keeps, and for no other, as a TPM does; it keeps one.
struct OneCredential<'d> {
    idevid: IdevidAttester<'d, SoftKey>,
    kept: Rc<Cell<Option<Nonce>>>,
}

impl Attester for OneCredential<'_> {
    fn device_id(&self) -> &DeviceId {
        self.idevid.device_id()
    }

    fn kind(&self) -> EvidenceKind {
        self.idevid.kind()
    }

    fn take_credential(&mut self, nonce: &Nonce, _credential: &[u8]) -> Result<(), AttestError> {
        self.kept.set(Some(*nonce));
        Ok(())
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        if self.kept.get() != Some(*nonce) {
            return Err(AttestError::Kind);
        }
        self.idevid.attest(nonce, csr_key, out)
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        self.idevid.endorsements()
    }
}

/// A world whose server sends credentials, and what its device keeps of them.
fn with_credentials() -> (World, Rc<Cell<Option<Nonce>>>) {
    let world = World::new();
    world.office.borrow_mut().credential = Some(vec![1; 40]);
    (world, Rc::default())
}

fn run(world: &World, kept: &Rc<Cell<Option<Nonce>>>, duration: Duration) {
    world.run_with(OneCredential { idevid: world.idevid(), kept: Rc::clone(kept) }, duration);
}

/// The power fails between the credential of the next nonce and the state that names it, or the file is lost.
#[test]
fn a_request_whose_evidence_cannot_be_made_any_more_begins_with_another_nonce() {
    let (world, kept) = with_credentials();
    world.fault(endpoint::ENROLL, Fault::Pending(60));
    run(&world, &kept, Duration::from_secs(30));
    assert_eq!(world.asked(endpoint::ENROLL), 1);
    kept.set(None);
    run(&world, &kept, HOUR);
    assert_eq!((world.count("attest-failed"), world.status().phase), (1, Phase::Operational));
    assert_eq!(world.asked(endpoint::CHALLENGE), 2);
}

/// A device that waits for an operator asks for the time meanwhile, and whether there is something to do.
#[test]
fn the_answer_to_a_question_does_not_take_the_place_of_a_requests_credential() {
    let (mut world, kept) = with_credentials();
    run(&world, &kept, HOUR);
    world.check_in = HOUR;
    for _ in 0..4 {
        world.fault(endpoint::RENEW, Fault::Pending(3 * 3600));
    }
    world.command(60, br#"{"command":"renew"}"#);
    let before = world.asked(endpoint::CHALLENGE);
    run(&world, &kept, DAY);
    assert!(world.asked(endpoint::CHALLENGE) > before + 3, "it asked questions meanwhile");
    assert_eq!((world.count("attest-failed"), world.count("rotated")), (0, 1));
}

/// A one-time token is used up with the first request: another one with another key would be refused.
#[test]
fn a_key_that_cannot_be_read_once_is_not_given_up() {
    let mut failed = 0;
    for read in 1..8 {
        let world = World::new();
        world.office.borrow_mut().wants_token = Some("a-one-time-token".into());
        world.fault(endpoint::ENROLL, Fault::AnswerLost);
        world.storage.0.borrow_mut().fails_at = Some((Record::KeyA, read));
        let control = world.control_for(DAY);
        let mut agent = world.boot_with_token("a-one-time-token");
        let ended = world.drive(agent.run(&control)).unwrap();
        if ended.is_err() {
            // It did not even start.
            continue;
        }
        drop(agent);
        failed += usize::from(world.storage.0.borrow_mut().fails_at.take().is_none());
        assert_eq!(world.count("key-made"), 1, "read {read}");
        assert_eq!(world.office.borrow().issued.len(), 1, "read {read}");
        assert_eq!(world.status().phase, Phase::Operational, "read {read}");
    }
    assert!(failed >= 2, "{failed} reads failed");
}
