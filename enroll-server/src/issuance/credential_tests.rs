//! Enrollments by what an operator handed out: symmetric keys and tokens of groups.

mod audited;
mod held;

use core::time::Duration;

use appraisal::GroupName;
use aws_lc_rs::hmac;
use shared::cose::{encode_mac0, mac_bytes};
use shared::evidence::ueid_of_name;
use shared::keytext::{KeyText, Scope};
use shared::message::latest::{EnrollRequest, EvidenceKind, FreshEvidence};
use shared::{DeviceId, Reject};

use super::tests::Bench;
use super::{Denied, Outcome};
use crate::audit::EventKind;
use crate::credential::{BatchRequest, KeyFor, KeyRequest, NewKey, TokenRequest};
use crate::kit::{Device, Operational};
use crate::store::{CertificateState, CredentialKind, Page};

const POLICY: &str = "[evidence]\nkinds = [\"symmetric-key\", \"one-time-token\"]\n";
const OPEN: &str = "[inventory]\nrequired = false\n";
const KINDS: &[CredentialKind] = &[CredentialKind::DeviceKey, CredentialKind::GroupKey];

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn for_group(name: &str) -> KeyRequest {
    let key_for = KeyFor::Group(name.parse().unwrap());
    KeyRequest { key_for, enroll_group: None, lifetime: None, quota: None }
}

fn for_device(device: &str) -> KeyRequest {
    KeyRequest { key_for: KeyFor::Device(id(device)), ..for_group("x") }
}

impl Bench {
    async fn key(&self, request: KeyRequest) -> NewKey {
        let wrapping = self.admin.wrapping_key(&self.config.files.credential_key).await.unwrap();
        let made = self.admin.make_key(request, &wrapping).unwrap();
        self.admin.add_key(&made).await.unwrap();
        made
    }

    /// The body of an enrollment by the key in `text`; a group's is derived from first.
    fn by_key(&self, device: &Device, text: &str) -> Vec<u8> {
        self.by_key_for(device, text, self.nonce(&device.id), &Operational::new().csr)
    }

    fn by_key_for(&self, device: &Device, text: &str, nonce: [u8; 32], csr: &[u8]) -> Vec<u8> {
        let key = KeyText::parse(text).unwrap();
        let secret = match key.scope() {
            Scope::Device => key.key().to_vec(),
            Scope::Group => appraisal::derive(key.key(), &device.id).to_vec(),
        };
        let payload = device.payload(&nonce, csr, ueid_of_name(&device.id));
        let mut covered = Vec::new();
        mac_bytes(key.kid(), &payload, |part| covered.extend_from_slice(part));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &covered);
        let mut eat = vec![0; 2048];
        let length = encode_mac0(key.kid(), &payload, tag.as_ref().try_into().unwrap(), &mut eat).unwrap();
        body(&device.id, csr, EvidenceKind::SymmetricKey, nonce, &eat[..length])
    }

    async fn group_of(&self, device: &str) -> GroupName {
        let now = self.issuance.now();
        let snapshot = self.issuance.store().snapshot(&id(device), now).await.unwrap();
        snapshot.known.unwrap().group
    }

    async fn used(&self, credential: &str) -> u32 {
        let all = self.admin.credentials(KINDS, Page::first(1_000)).await.unwrap().credentials;
        all.iter().find(|found| found.id == credential).unwrap().used
    }
}

fn body(device: &DeviceId, csr: &[u8], kind: EvidenceKind, nonce: [u8; 32], evidence: &[u8]) -> Vec<u8> {
    let evidence = FreshEvidence { nonce, kind, body: evidence, endorsements: [].into_iter().collect() };
    let mut out = vec![0; 8192];
    let length =
        EnrollRequest { device: device.clone(), csr, evidence, trust: None }.encode(&mut out).unwrap();
    out.truncate(length);
    out
}

#[track_caller]
fn refused(outcome: Result<Outcome, Denied>, reject: Reject, rule: &str) {
    let denied = outcome.unwrap_err();
    assert_eq!((denied.reject(), denied.rule()), (reject, rule), "{denied}");
}

#[tokio::test]
async fn devices_of_a_group_come_in_by_derived_keys_and_land_in_the_group() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}")).await;
    let group = bench.key(for_group("lot-7")).await;
    for name in ["SN-1", "SN-2"] {
        let device = bench.maker.device(name);
        let body = bench.by_key(&device, &group.text);
        let first = bench.send(&body).await.unwrap();
        assert!(matches!(first, Outcome::Granted(_)));
        assert_eq!(bench.send(&body).await.unwrap(), first, "a lost answer costs nothing");
        // A second enrollment by the same key is the same device.
        bench.send(&bench.by_key(&device, &group.text)).await.unwrap();
        assert_eq!(bench.group_of(name).await.as_str(), "lot-7");
    }
    assert_eq!(bench.used(&group.credential.id).await, 2, "each device counts once");

    // Another group's key does not lead to them, and no key to a device with an IDevID.
    let other =
        bench.key(KeyRequest { enroll_group: Some("lot-7".parse().unwrap()), ..for_group("b") }).await;
    let body = bench.by_key(&bench.maker.device("SN-1"), &other.text);
    refused(bench.send(&body).await, Reject::IdentityConflict, "pinned-key");
    let maker = bench.device("SN-3").await;
    refused(bench.send(&bench.by_key(&maker, &group.text)).await, Reject::IdentityConflict, "pinned-key");
    assert!(bench.events(EventKind::CloneSuspected).await >= 2);
    // A device of another group stays there.
    let foreign = bench.key(for_group("lot-8")).await;
    let body = bench.by_key(&bench.maker.device("SN-1"), &foreign.text);
    refused(bench.send(&body).await, Reject::BadCredential, "credential");
}

#[tokio::test]
async fn a_devices_own_key_overrides_its_groups_even_when_it_is_revoked() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}")).await;
    let group = bench.key(for_group("lot-7")).await;
    let device = bench.maker.device("SN-1");
    bench.send(&bench.by_key(&device, &group.text)).await.unwrap();
    let own = bench.key(for_device("SN-1")).await;
    let by_group = bench.by_key(&device, &group.text);
    refused(bench.send(&by_group).await, Reject::BadCredential, "credential");
    // The same device by its own key: the operator said so.
    bench.send(&bench.by_key(&device, &own.text)).await.unwrap();
    let mut states = bench.states(&device.id).await;
    states.sort();
    assert_eq!(states, [CertificateState::Issued, CertificateState::Revoked]);

    bench.admin.revoke_credential(&own.credential.id, KINDS).await.unwrap();
    let by_own = bench.by_key(&device, &own.text);
    refused(bench.send(&by_own).await, Reject::BadCredential, "credential");
    refused(bench.send(&by_group).await, Reject::BadCredential, "credential");
    // Others of the group are not touched.
    bench.send(&bench.by_key(&bench.maker.device("SN-2"), &group.text)).await.unwrap();
    // A key for one device is for no other.
    let stranger = KeyText::parse(&bench.key(for_device("SN-9")).await.text).unwrap();
    let text: String = stranger.characters().collect();
    let body = bench.by_key(&bench.maker.device("SN-4"), &text);
    refused(bench.send(&body).await, Reject::BadCredential, "credential");
}

#[tokio::test]
async fn ends_revocations_and_unknown_names_refuse() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}")).await;
    let day = Duration::from_secs(86_400);
    let short = bench.key(KeyRequest { lifetime: Some(day), ..for_group("a") }).await;
    let device = bench.maker.device("SN-1");
    bench.send(&bench.by_key(&device, &short.text)).await.unwrap();
    bench.later(day + Duration::from_secs(1));
    refused(bench.send(&bench.by_key(&device, &short.text)).await, Reject::BadCredential, "credential");
    let unknown: String = KeyText::new(Scope::Device, [9; 8], [9; 32]).characters().collect();
    refused(bench.send(&bench.by_key(&device, &unknown)).await, Reject::BadCredential, "credential");
    let group = bench.key(for_group("b")).await;
    bench.admin.revoke_credential(&group.credential.id, KINDS).await.unwrap();
    let body = bench.by_key(&bench.maker.device("SN-2"), &group.text);
    refused(bench.send(&body).await, Reject::BadCredential, "credential");
    // The right name with another secret.
    let good = KeyText::parse(&bench.key(for_group("c")).await.text).unwrap();
    let wrong: String = KeyText::new(Scope::Group, *good.kid(), [1; 32]).characters().collect();
    let body = bench.by_key(&bench.maker.device("SN-3"), &wrong);
    refused(bench.send(&body).await, Reject::EvidenceSignature, "evidence-signature");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_devices_at_once_get_as_many_certificates_as_the_quota_allows() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}")).await;
    let group = bench.key(KeyRequest { quota: Some(10), ..for_group("lot-7") }).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let body = bench.by_key(&bench.maker.device(&format!("SN-{number}")), &group.text);
        let issuance = std::sync::Arc::clone(&bench.issuance);
        tasks.spawn(async move { issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await });
    }
    let mut granted = 0;
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(Outcome::Granted(_)) => granted += 1,
            other => refused(other, Reject::QuotaReached, "quota"),
        }
    }
    assert_eq!(granted, 10);
    let certificates = bench.admin.certificates(None).await.unwrap();
    assert_eq!(certificates.len(), 10);
    assert_eq!(bench.used(&group.credential.id).await, 10);
    assert_eq!(bench.events(EventKind::QuotaReached).await, 1);
    // Those that are in may come again.
    let name = certificates[0].device.to_string();
    bench.send(&bench.by_key(&bench.maker.device(&name), &group.text)).await.unwrap();
}

#[tokio::test]
async fn the_database_alone_is_worth_nothing() {
    let bench = Bench::new(&format!("{POLICY}{OPEN}")).await;
    let one = bench.key(for_device("SN-1")).await;
    let other = bench.key(for_device("SN-2")).await;
    let secret = KeyText::parse(&one.text).unwrap();
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    let wrapped: Vec<u8> = raw
        .query_row("SELECT secret FROM credentials WHERE id = ?", [&one.credential.id], |row| row.get(0))
        .unwrap();
    assert!(!wrapped.windows(32).any(|window| window == secret.key()));
    // A key that somebody moves to another row does not open there.
    raw.execute("UPDATE credentials SET secret = ? WHERE id = ?", (&wrapped, &other.credential.id)).unwrap();
    let body = bench.by_key(&bench.maker.device("SN-2"), &other.text);
    let denied = bench.send(&body).await.unwrap_err();
    assert!(matches!(denied, Denied::NotOpened(_)), "{denied}");
    assert_eq!(denied.reject(), Reject::Internal);
    // A row that somebody makes for another device neither: its place is part of what is sealed.
    raw.execute("UPDATE credentials SET device = 'SN-3' WHERE id = ?", [&one.credential.id]).unwrap();
    let body = bench.by_key(&bench.maker.device("SN-3"), &one.text);
    assert!(matches!(bench.send(&body).await.unwrap_err(), Denied::NotOpened(_)));
    // What is shown and logged of a key is not its secret.
    let shown = format!("{one:?}{:?}", bench.admin.credentials(KINDS, Page::first(1_000)).await.unwrap());
    assert!(!shown.contains(&hex::encode(secret.key())), "{shown}");
}

fn token_for(group: &str, short: bool) -> TokenRequest {
    let (group, lifetime) = (Some(group.parse().unwrap()), Duration::from_secs(60));
    TokenRequest { device: None, group, lifetime, short }
}

impl Bench {
    fn by_token(&self, device: &str, token: &str) -> Vec<u8> {
        Device::enroll_by_token(&id(device), token, self.nonce(&id(device)), &Operational::new().csr)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_uses_of_a_groups_token_give_one_certificate_in_the_group() {
    let bench = Bench::new(OPEN).await;
    let token = bench.admin.create_tokens(&token_for("lot-7", false), 1).await.unwrap().remove(0);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let body = bench.by_token(&format!("T-{number}"), &token.text);
        let issuance = std::sync::Arc::clone(&bench.issuance);
        tasks.spawn(async move { issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await });
    }
    let mut granted = 0;
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(_) => granted += 1,
            Err(denied) => {
                assert_eq!((denied.reject(), denied.rule()), (Reject::BadToken, "token"), "{denied}")
            }
        }
    }
    assert_eq!(granted, 1);
    let certificates = bench.admin.certificates(None).await.unwrap();
    assert_eq!(certificates.len(), 1);
    assert_eq!(bench.group_of(certificates[0].device.as_str()).await.as_str(), "lot-7");
}

#[tokio::test]
async fn a_groups_token_is_for_devices_of_that_group_or_of_none() {
    let bench = Bench::new("").await;
    let tokens = bench.admin.create_tokens(&token_for("lot-7", false), 3).await.unwrap();
    assert_eq!(tokens.len(), 3);
    let csv = "device,model,idevid_sha256\nT-1,,\nT-2,,\n";
    bench.admin.import_devices(csv).await.unwrap();
    // One that is in no group is put into it.
    bench.send(&bench.by_token("T-1", &tokens[0].text)).await.unwrap();
    assert_eq!(bench.group_of("T-1").await.as_str(), "lot-7");
    let lot = "lot-8".parse().unwrap();
    bench.admin.act_on(&id("T-2"), crate::store::Action::Transfer(lot)).await.unwrap();
    refused(bench.send(&bench.by_token("T-2", &tokens[1].text)).await, Reject::BadToken, "token");
    // The refusal did not use it up, and its end does.
    bench.later(Duration::from_secs(61));
    refused(bench.send(&bench.by_token("T-1", &tokens[1].text)).await, Reject::BadToken, "token");
    refused(bench.send(&bench.by_token("T-1", "no such token")).await, Reject::BadToken, "token");
}

#[tokio::test]
async fn a_token_in_the_short_form_may_be_typed_in_any_spelling() {
    let bench = Bench::new(OPEN).await;
    let tokens = bench.admin.create_tokens(&token_for("lot-7", true), 2).await.unwrap();
    let text = tokens[0].text.as_str();
    assert_eq!((text.len(), text.matches('-').count()), (19, 3));
    let typed = text.to_ascii_lowercase().replace('-', "").replace('0', "o").replace('1', "l");
    bench.send(&bench.by_token("T-1", &typed)).await.unwrap();
    refused(bench.send(&bench.by_token("T-2", text)).await, Reject::BadToken, "token");
    bench.send(&bench.by_token("T-2", &tokens[1].text)).await.unwrap();
}

/// A batch: its CA, and the claim certificate that its devices share.
struct Lot {
    pem: String,
    claim: Device,
}

impl Lot {
    fn new() -> Self {
        let ca = crate::kit::Maker::new("Batch CA");
        Self { claim: ca.device("BATCH-7"), pem: ca.pem }
    }

    /// The body of an enrollment by its claim certificate.
    fn claims(&self, device: &str, nonce: [u8; 32], csr: &[u8]) -> Vec<u8> {
        let payload = self.claim.payload(&nonce, csr, ueid_of_name(&id(device)));
        let eat = self.claim.sign(&payload);
        let endorsements = [self.claim.idevid.as_slice()].into_iter().collect();
        let evidence =
            FreshEvidence { nonce, kind: EvidenceKind::ClaimCertificate, body: &eat, endorsements };
        let mut out = vec![0; 8192];
        let length =
            EnrollRequest { device: id(device), csr, evidence, trust: None }.encode(&mut out).unwrap();
        out.truncate(length);
        out
    }
}

impl Bench {
    async fn batch(&self, lot: &Lot, hold: bool, quota: Option<u32>) -> String {
        let request = BatchRequest { group: "lot-7".parse().unwrap(), hold, quota, lifetime: None };
        self.admin.add_batch(&lot.pem, request).await.unwrap().id
    }

    /// The body of an enrollment by the lot's claim certificate.
    fn by_claim(&self, device: &str, lot: &Lot) -> Vec<u8> {
        lot.claims(device, self.nonce(&id(device)), &Operational::new().csr)
    }
}

const CLAIMS: &str = "[evidence]\nkinds = [\"claim-certificate\", \"one-time-token\", \"idevid-eat\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_devices_of_a_batch_at_once_get_as_many_certificates_as_its_quota_allows() {
    let bench = Bench::new(&format!("{CLAIMS}{OPEN}")).await;
    let lot = Lot::new();
    bench.batch(&lot, false, Some(10)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let body = bench.by_claim(&format!("SN-{number}"), &lot);
        let issuance = std::sync::Arc::clone(&bench.issuance);
        tasks.spawn(async move { issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await });
    }
    let mut granted = 0;
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(Outcome::Granted(_)) => granted += 1,
            other => refused(other, Reject::QuotaReached, "quota"),
        }
    }
    assert_eq!(granted, 10);
    assert_eq!(bench.admin.certificates(None).await.unwrap().len(), 10);
    assert_eq!(bench.events(EventKind::QuotaReached).await, 1);
}

#[tokio::test]
async fn a_claim_certificate_never_leads_to_a_device_that_is_there() {
    let bench = Bench::new(&format!("{CLAIMS}{OPEN}")).await;
    let lot = Lot::new();
    bench.batch(&lot, false, Some(10)).await;
    let body = bench.by_claim("SN-1", &lot);
    let first = bench.send(&body).await.unwrap();
    assert_eq!(bench.send(&body).await.unwrap(), first, "a lost answer costs nothing");
    assert_eq!(bench.group_of("SN-1").await.as_str(), "lot-7");
    refused(bench.send(&bench.by_claim("SN-1", &lot)).await, Reject::IdentityConflict, "second-enrollment");
    assert_eq!(bench.events(EventKind::CloneSuspected).await, 1);
    // One with an IDevID in the inventory.
    bench.device("SN-2").await;
    refused(bench.send(&bench.by_claim("SN-2", &lot)).await, Reject::IdentityConflict, "pinned-key");
    // One that came in by a token, whose certificate has ended: the store remembers.
    let token = bench.admin.create_token(Some(&id("SN-3")), Duration::from_secs(60)).await.unwrap();
    bench.send(&bench.by_token("SN-3", &token.text)).await.unwrap();
    bench.later(Duration::from_secs(200 * 86_400));
    let denied = bench.send(&bench.by_claim("SN-3", &lot)).await.unwrap_err();
    assert_eq!(denied.reject(), Reject::IdentityConflict, "{denied}");
    assert_eq!(bench.count(&id("SN-1"), CertificateState::Issued).await, 1, "the first is untouched");
}

#[tokio::test]
async fn a_held_batch_waits_and_counts_each_device_once() {
    let bench = Bench::new(&format!("{CLAIMS}{OPEN}")).await;
    let lot = Lot::new();
    let batch = bench.batch(&lot, true, Some(2)).await;
    let body = bench.by_claim("SN-1", &lot);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    // A device that begins again waits again, and is one device.
    let body = bench.by_claim("SN-1", &lot);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    assert_eq!(bench.send(&bench.by_claim("SN-2", &lot)).await.unwrap(), Outcome::Held);
    refused(bench.send(&bench.by_claim("SN-3", &lot)).await, Reject::QuotaReached, "quota");
    bench.admin.approve(&id("SN-1")).await.unwrap();
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));
    refused(bench.send(&bench.by_claim("SN-1", &lot)).await, Reject::IdentityConflict, "second-enrollment");

    bench.admin.revoke_credential(&batch, &[CredentialKind::Batch]).await.unwrap();
    bench.admin.approve(&id("SN-2")).await.unwrap();
    refused(bench.send(&bench.by_claim("SN-2", &lot)).await, Reject::BadCredential, "credential");
    let again = BatchRequest { group: "a".parse().unwrap(), hold: true, quota: None, lifetime: None };
    let error = bench.admin.add_batch(&lot.pem, again).await.unwrap_err().to_string();
    assert!(error.contains("was added before"), "{error}");
    let unbounded = BatchRequest { group: "a".parse().unwrap(), hold: false, quota: None, lifetime: None };
    let error = bench.admin.add_batch(&Lot::new().pem, unbounded).await.unwrap_err().to_string();
    assert!(error.contains("neither held nor has a quota"), "{error}");
}

/// The key under which the others are wrapped may be on another disk, which is not there yet.
#[tokio::test]
async fn a_wrapping_key_out_of_reach_means_later_and_then_the_same_request_goes_through() {
    let away = |file: &std::path::Path| file.with_extension("away");
    let bench = Bench::with(&format!("{POLICY}{OPEN}"), |config| {
        let file = &config.files.credential_key;
        std::fs::rename(file, away(file)).unwrap();
    })
    .await;
    let (file, away) = (&bench.config.files.credential_key, away(&bench.config.files.credential_key));
    std::fs::rename(&away, file).unwrap();
    let group = bench.key(for_group("lot-7")).await;
    std::fs::rename(file, &away).unwrap();
    let body = bench.by_key(&bench.maker.device("SN-1"), &group.text);
    refused(bench.send(&body).await, Reject::Unavailable, appraisal::record::rule::SERVER);
    std::fs::rename(&away, file).unwrap();
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));
    assert_eq!(bench.used(&group.credential.id).await, 1);
}
