//! The random generator fails at each of its draws in turn: the device is told to come again, and nothing is made out of what
//! anybody could foresee. The salts of the trail are drawn in the store, and fail with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::bench::{ApiBench, Call};
use super::{Asked, KINDS, est_enrollment, leaf, renewal};
use crate::failpoint::Hook;
use crate::kit::{Device, Operational};
use crate::random::Failing;
use crate::startup;
use crate::store::CertificateState;
use shared::endpoint;
use shared::message::latest::Challenge;

/// What a device of each protocol asks for, from its challenge on.
#[derive(Clone, Copy, Debug)]
enum Way {
    Enrollment,
    Renewal,
    Est,
}

/// Goes one way, with the n-th draw failing; gives what was refused, or the certificate.
async fn go(bench: &ApiBench, way: Way, device: &Device, seen: &mut Seen) -> Option<Vec<u8>> {
    let asked = match way {
        Way::Enrollment => {
            let challenge = bench.challenge(&device.id).await;
            if !challenge.is_given() {
                assert!(challenge.is_later(), "{challenge:?}");
                return None;
            }
            let nonce = Challenge::decode(&challenge.body).unwrap().nonce;
            assert!(nonce[4..16] != [0; 12] && seen.drawn.insert(nonce[4..16].to_vec()), "{nonce:?}");
            let csr = Operational::new().csr;
            Asked::new(Call::native(endpoint::ENROLL, None, device.enroll(nonce, &csr)), &device.id, &csr)
        }
        Way::Renewal => renewal(&device.id, seen.identity.as_ref().unwrap()),
        Way::Est => est_enrollment(device),
    };
    let reply = bench.send(&asked.call).await;
    let rows = bench.admin.certificates(Some(&device.id)).await.unwrap();
    let made: Vec<_> = rows.iter().filter(|row| Some(row.key_sha256) == asked.key).collect();
    let Some(certificate) = leaf(&reply) else {
        assert!(reply.is_later(), "{way:?}: {reply:?}");
        assert!(made.is_empty(), "{way:?}: something is recorded: {made:?}");
        return None;
    };
    let [row] = made.as_slice() else { panic!("{way:?}: {made:?}") };
    assert_eq!(row.state, CertificateState::Issued);
    let random = &row.serial.as_bytes()[4..];
    assert!(random != [0; 12] && seen.drawn.insert(random.to_vec()), "{:?}", row.serial);
    Some(certificate)
}

/// What was drawn so far, and the identity in force.
#[derive(Default)]
struct Seen {
    drawn: BTreeSet<Vec<u8>>,
    identity: Option<crate::issuance::ClientIdentity>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_random_generator_fails_it_means_later_and_nothing_that_could_be_foreseen() {
    let random = Arc::new(Failing::default());
    let hook = Hook::default().with_failing(Arc::clone(&random));
    let bench = ApiBench::with_hook(KINDS, |_| {}, hook).await;
    let device = bench.device("SN-1").await;
    let mut seen = Seen::default();
    for (way, draws) in [(Way::Enrollment, 2), (Way::Renewal, 1), (Way::Est, 1)] {
        for n in 1..=draws {
            random.arm(n);
            assert_eq!(go(&bench, way, &device, &mut seen).await, None, "{way:?}: draw {n}");
        }
        random.arm(0);
        let certificate = go(&bench, way, &device, &mut seen).await.unwrap();
        assert_eq!(random.arm(0), draws, "{way:?}: a draw that did not fail in its turn");
        seen.identity = Some(crate::issuance::ClientIdentity::from_der(&certificate).unwrap());
    }
    // Nothing is left that a start would stumble over.
    let clock: Arc<dyn crate::clock::Clock> = Arc::new(bench.clock.clone());
    startup::open(&bench.config, &clock, Hook::default()).await.unwrap();
}
