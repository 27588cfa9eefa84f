//! Requests that wait, asked for again by another proof than the one they were held on.

use shared::Reject;

use super::{Bench, CLAIMS, Lot, OPEN, POLICY, for_device, id, refused, token_for};
use crate::issuance::Outcome;
use crate::kit::{Device, Operational};
use crate::store::{CertificateState, CredentialKind, Page};

impl Bench {
    async fn brought_in(&self, batch: &str) -> u32 {
        let all =
            self.admin.credentials(&[CredentialKind::Batch], Page::first(1_000)).await.unwrap().credentials;
        all.iter().find(|found| found.id == batch).unwrap().used
    }
}

/// A nonce is for a device, not for one proof: with another one whoever holds the key would pass the hold, and use nothing up.
#[tokio::test]
async fn what_a_batch_holds_is_released_by_that_batch_and_by_nothing_else() {
    let bench = Bench::new(&format!("{CLAIMS}{OPEN}")).await;
    let (lot, other) = (Lot::new(), Lot::new());
    let held_by = bench.batch(&lot, true, Some(5)).await;
    let open = bench.batch(&other, false, Some(1)).await;
    let token = bench.admin.create_tokens(&token_for("lot-7", false), 1).await.unwrap().remove(0);
    for name in ["SN-1", "SN-2", "SN-3"] {
        let (nonce, csr) = (bench.nonce(&id(name)), Operational::new().csr);
        let body = lot.claims(name, nonce, &csr);
        assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
        for others in [
            Device::enroll_by_token(&id(name), &token.text, nonce, &csr),
            other.claims(name, nonce, &csr),
            bench.maker.device(name).enroll(nonce, &csr),
        ] {
            refused(bench.send(&others).await, Reject::UsedNonce, "nonce");
            assert_eq!(bench.states(&id(name)).await, [CertificateState::Held]);
            assert_eq!(bench.admin.device(&id(name)).await.unwrap().idevid_sha256, None);
        }
    }
    let tokens = bench.admin.tokens(Page::first(100)).await.unwrap().tokens;
    assert!(tokens.iter().all(|token| token.used_by.is_none()), "{tokens:?}");
    assert_eq!((bench.brought_in(&held_by).await, bench.brought_in(&open).await), (3, 0));

    // An operator's approval is for the proof that was shown, too.
    let (nonce, csr) = (bench.nonce(&id("SN-4")), Operational::new().csr);
    let body = lot.claims("SN-4", nonce, &csr);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    bench.admin.approve(&id("SN-4")).await.unwrap();
    let by_token = Device::enroll_by_token(&id("SN-4"), &token.text, nonce, &csr);
    refused(bench.send(&by_token).await, Reject::UsedNonce, "nonce");
    // Made anew, as by a device that started again meanwhile: another signature, the same proof.
    assert!(matches!(bench.send(&lot.claims("SN-4", nonce, &csr)).await.unwrap(), Outcome::Granted(_)));
    assert!(bench.admin.device(&id("SN-4")).await.unwrap().idevid_sha256.is_some());
    assert_eq!(bench.brought_in(&held_by).await, 4);
    // What was not used up is good for a request of its own.
    assert!(matches!(bench.send(&bench.by_token("SN-5", &token.text)).await.unwrap(), Outcome::Granted(_)));
    assert!(matches!(bench.send(&bench.by_claim("SN-6", &other)).await.unwrap(), Outcome::Granted(_)));
}

/// All keys of a device's own are one identity: each is counted by itself.
#[tokio::test]
async fn what_one_key_or_token_holds_is_not_released_by_another() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}[enrollment]\nfirst = \"hold\"\n")).await;
    let (one, other) = (bench.key(for_device("SN-1")).await, bench.key(for_device("SN-1")).await);
    let (device, nonce, csr) = (bench.maker.device("SN-1"), bench.nonce(&id("SN-1")), Operational::new().csr);
    let body = bench.by_key_for(&device, &one.text, nonce, &csr);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    bench.admin.approve(&device.id).await.unwrap();
    let by_other = bench.by_key_for(&device, &other.text, nonce, &csr);
    refused(bench.send(&by_other).await, Reject::BadCredential, "credential");
    assert_eq!(bench.used(&other.credential.id).await, 0);
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));

    let tokens = bench.admin.create_tokens(&token_for("lot-7", false), 2).await.unwrap();
    let (nonce, csr) = (bench.nonce(&id("T-1")), Operational::new().csr);
    let by = |text: &str| Device::enroll_by_token(&id("T-1"), text, nonce, &csr);
    assert_eq!(bench.send(&by(&tokens[0].text)).await.unwrap(), Outcome::Held);
    bench.admin.approve(&id("T-1")).await.unwrap();
    refused(bench.send(&by(&tokens[1].text)).await, Reject::UsedNonce, "nonce");
    assert!(matches!(bench.send(&by(&tokens[0].text)).await.unwrap(), Outcome::Granted(_)));
    let unused = bench
        .admin
        .tokens(Page::first(100))
        .await
        .unwrap()
        .tokens
        .iter()
        .filter(|token| token.used_by.is_none())
        .count();
    assert_eq!(unused, 1);
}
