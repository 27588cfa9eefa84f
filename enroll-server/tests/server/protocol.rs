//! What devices do.

use core::time::Duration;

use ca::bundle::TrustSigner;
use ca::crl::Reason;
use ca::hierarchy::{ROOT_LIFETIME, root_ca};
use ca::{CaCertificate, FileKey};
use enroll_server::clock::{Clock as _, SystemClock};
use rustls::HandshakeKind;
use rustls::crypto::aws_lc_rs::kx_group;
use shared::cose::{Content, Sign1};
use shared::message::latest::{Answer, Outcome, TrustBundle};
use shared::{Reject, UnixTime, endpoint};

use tokio::time::Instant;

use crate::kit::client::{Identity, Tls, exchange, http, request};
use crate::kit::device::{Device, Operational};
use crate::kit::{Site, assert_refused, identity, issued, until};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_device_enrolls_renews_and_reads_its_trust_bundle() {
    let mut site = Site::new().await;
    let device = site.device("SN-1").await;
    let (reply, key) = site.try_enroll(&device).await;
    assert_eq!(reply.header("content-type"), Some("application/cbor"));
    let answer = reply.answer();
    let issued = issued(&answer);
    assert_eq!(issued.chain.len(), 2, "the leaf and the issuing CA");
    assert_eq!(issued.broker.host, "broker.example");
    assert_eq!((issued.broker.port, issued.broker.keep_alive), (18883, 60));
    assert_eq!(issued.broker.telemetry_topic, "devices/SN-1/telemetry");
    assert_eq!(issued.broker.status_topic, "devices/SN-1/status");
    assert_eq!(issued.broker.command_topic, "devices/SN-1/command");
    assert_eq!(issued.renew_from, answer.server_time.after(DAY * 60));
    assert_eq!(issued.renew_by, answer.server_time.after(DAY * 75));

    let trust = site.tls().get(endpoint::TRUST).await;
    assert_eq!(trust.body, issued.trust_bundle);
    let sign1 = Sign1::decode(&trust.body, Content::TrustBundle, 4096).unwrap();
    let bundle = TrustBundle::decode(sign1.unverified_payload()).unwrap();
    assert_eq!((bundle.number, bundle.anchors.as_slice()), (1, [site.root().as_slice()].as_slice()));
    ca::bundle::verify(&trust.body, bundle.signer).unwrap();

    let first = identity(&reply, &key);
    let renewed = renew(&site, &device, &first).await;
    assert_ne!(renewed.chain[0], first.chain[0]);
    let _again = renew(&site, &device, &renewed).await;
    site.stop().await;
}

/// The first two handshakes of a client that keeps its tickets.
async fn handshakes(tls: &Tls) -> [Option<HandshakeKind>; 2] {
    let (config, mut kinds) = (tls.config(), [None; 2]);
    for kind in &mut kinds {
        let stream = tls.connect_with(&config).await.unwrap();
        *kind = stream.get_ref().1.handshake_kind();
        assert_eq!(exchange(stream, &request("GET", endpoint::TRUST, "", &[])).await.unwrap().status, 200);
    }
    kinds
}

#[tokio::test]
async fn a_ticket_is_for_clients_without_a_certificate_alone() {
    let mut site = Site::new().await;
    let device = site.device("SN-1").await;
    let resumed = [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)];
    // A server's first start takes its TLS settings up once more, and with them new keys for tickets.
    until("a ticket is taken", async || handshakes(&site.tls()).await == resumed).await;
    // With one, the key has to be shown each time: what a ticket brought back would be an identity without it.
    let (reply, key) = site.try_enroll(&device).await;
    let tls = site.tls().identity(&identity(&reply, &key));
    assert_eq!(handshakes(&tls).await, [Some(HandshakeKind::Full); 2]);
    site.stop().await;
}

async fn renew(site: &Site, device: &Device, with: &Identity) -> Identity {
    let key = Operational::new();
    let reply = site.tls().identity(with).post(endpoint::RENEW, &Device::renew(&device.id, &key.csr)).await;
    identity(&reply, &key)
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let first = site.tls().post(endpoint::ENROLL, &body).await;
    let second = site.tls().post(endpoint::ENROLL, &body).await;
    assert_eq!(issued(&first.answer()).chain, issued(&second.answer()).chain);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_have_their_code_and_change_nothing() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;

    let clone = site.maker.device("SN-1");
    assert_refused(&site.try_enroll(&clone).await.0, Reject::IdentityConflict);
    let mut changed = site.device("SN-2").await;
    changed.digest = [0; 32];
    assert_refused(&site.try_enroll(&changed).await.0, Reject::FirmwareUnknown);
    let foreign = crate::kit::device::Maker::new("Stranger").device("SN-3");
    assert_refused(&site.try_enroll(&foreign).await.0, Reject::UnknownMaker);

    // Authority comes from the TLS identity: nobody renews for another, and nobody without.
    let other = Device::renew(&changed.id, &Operational::new().csr);
    let reply = site.tls().identity(&identity).post(endpoint::RENEW, &other).await;
    assert_refused(&reply, Reject::NotYourDevice);
    let mine = Device::renew(&device.id, &Operational::new().csr);
    assert_refused(&site.tls().post(endpoint::RENEW, &mine).await, Reject::NotAuthenticated);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);

    site.admin().revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    let reply = site.tls().identity(&identity).post(endpoint::RENEW, &mine).await;
    assert_refused(&reply, Reject::CertificateRevoked);
    assert_refused(&site.try_enroll(&device).await.0, Reject::DeviceRevoked);

    // Counted and told to the operator, by name.
    let page = http(site.http(), "/metrics").await.text();
    for line in [
        "enroll_requests_total{endpoint=\"enroll\",outcome=\"refused\",reason=\"unknown-maker\"} 1",
        "enroll_requests_total{endpoint=\"renew\",outcome=\"refused\",reason=\"not-your-device\"} 1",
        "enroll_requests_total{endpoint=\"enroll\",outcome=\"issued\",reason=\"\"} 1",
        "enroll_certificates{state=\"revoked\"} 1",
        "enroll_devices{state=\"revoked\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn an_ended_certificate_is_told_so_and_the_device_enrolls_again() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let body = Device::renew(&device.id, &Operational::new().csr);
    site.later(DAY * 121);
    let reply = site.tls().identity(&identity).post(endpoint::RENEW, &body).await;
    assert_refused(&reply, Reject::CertificateExpired);
    let _fresh = site.enroll(&device).await;
}

#[tokio::test]
async fn a_held_device_waits_and_gets_its_certificate_after_approval() {
    let site = Site::with(|config| {
        let policy = std::fs::read_to_string(&config.files.policy).unwrap();
        std::fs::write(&config.files.policy, format!("[enrollment]\nfirst = \"hold\"\n{policy}")).unwrap();
        config.approval_retry = Duration::from_secs(7);
    });
    let site = site.await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let reply = site.tls().post(endpoint::ENROLL, &body).await;
    assert_eq!((reply.status, reply.header("retry-after")), (202, Some("7")));
    assert_eq!(reply.answer().outcome, Outcome::Pending { retry_after: Duration::from_secs(7) });
    site.other_admin().approve(&device.id).await.unwrap();
    site.later(Duration::from_secs(7_200));
    let reply = site.tls().post(endpoint::ENROLL, &body).await;
    assert_eq!(issued(&reply.answer()).chain.len(), 2);
}

#[tokio::test]
async fn a_revocation_by_another_process_is_published_within_a_fraction_of_a_second() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let mut revocations = site.server().revocations();
    let before = revocations.borrow_and_update().clone();
    assert!(before.is_empty() && before.number > 0, "a list is out from the start");
    let file = std::fs::read(&site.config.crl.der).unwrap();
    assert_eq!(file, before.der);

    let admin = site.other_admin();
    let begun = Instant::now();
    admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), revocations.changed()).await.unwrap().unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "published after {took:?}");
    let list = revocations.borrow().clone();
    assert!(list.number > before.number);
    assert_eq!(std::fs::read(&site.config.crl.der).unwrap(), list.der);
    assert_eq!(std::fs::read(&site.config.crl.pem).unwrap(), list.pem);
    let (_, leaf) = x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap();
    assert!(list.contains(leaf.raw_serial()));
    for path in ["/crl.der", "/crl/issuing.crl", "/crl/1/0.crl"] {
        assert_eq!(http(site.http(), path).await.body, list.der);
        assert_eq!(site.tls().get(path).await.body, list.der);
    }
    assert_eq!(http(site.http(), "/crl.pem").await.body, list.pem);
}

#[tokio::test]
async fn a_revocation_list_is_renewed_long_before_it_ends() {
    let site = Site::new().await;
    let mut revocations = site.server().revocations();
    let before = revocations.borrow_and_update().clone();
    site.later(site.config.crl.valid / 2);
    tokio::time::timeout(Duration::from_secs(5), revocations.changed()).await.unwrap().unwrap();
    assert!(revocations.borrow().next_update > before.next_update);
}

#[tokio::test]
async fn the_hook_runs_after_each_publication_and_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let command = format!("cat \"$CRL_PEM\" >> '{}'; exit 1", seen.display());
    let site = Site::with(|config| config.crl.hook = vec!["/bin/sh".into(), "-c".into(), command]).await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    site.admin().revoke(&device.id, Reason::Unspecified).await.unwrap();
    until("the hook to see two lists", async || {
        let text = std::fs::read_to_string(&seen).unwrap_or_default();
        text.matches("BEGIN X509 CRL").count() >= 2
    })
    .await;
}

#[tokio::test]
async fn tls_is_1_3_with_p_256_first_and_nothing_else() {
    let site = Site::new().await;
    let stream = site.tls().groups(&[kx_group::SECP256R1, kx_group::X25519]).connect().await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::secp256r1);
    let stream = site.tls().groups(&[kx_group::X25519]).connect().await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519);
    assert!(site.tls().groups(&[kx_group::SECP384R1]).connect().await.is_err());
    assert!(site.tls().versions(&[&rustls::version::TLS12]).connect().await.is_err());
}

#[tokio::test]
async fn what_the_server_answers_fits_the_smallest_device() {
    let site = Site::with(|config| {
        // As many roots as a trust bundle may have.
        let read = |path: &std::path::Path| {
            let pem = std::fs::read(path).unwrap();
            CaCertificate::from_der(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap()
        };
        let (now, tenant) = (SystemClock.now(), "T".repeat(64));
        let mut anchors = vec![read(&config.files.root_certificate)];
        anchors.resize_with(shared::limits::MAX_ANCHORS, || root_ca(&tenant, ROOT_LIFETIME, now).unwrap().0);
        let anchors: Vec<&CaCertificate> = anchors.iter().collect();
        let key = config.files.trust_bundle.with_file_name("trust-signer.key");
        let signer = TrustSigner::new(&FileKey::load(&key).unwrap()).unwrap();
        let bundle = signer.sign(1, now, &anchors, signer.public_point()).unwrap();
        std::fs::write(&config.files.trust_bundle, bundle).unwrap();
        config.broker.host = "h".repeat(shared::limits::MAX_HOST);
    })
    .await;
    let longest = "D".repeat(shared::limits::MAX_DEVICE_ID);
    let device = site.device(&longest).await;
    let (reply, _) = site.try_enroll(&device).await;
    assert_eq!(reply.status, 200);
    let answer = reply.answer();
    let sign1 = Sign1::decode(issued(&answer).trust_bundle, Content::TrustBundle, 4096).unwrap();
    let bundle = TrustBundle::decode(sign1.unverified_payload()).unwrap();
    assert_eq!(bundle.anchors.len(), shared::limits::MAX_ANCHORS);
    assert!(reply.body.len() <= shared::limits::MAX_ANSWER, "{}", reply.body.len());
}

#[tokio::test]
async fn health_and_readiness_tell_what_is_wrong() {
    let mut site = Site::new().await;
    assert_eq!(http(site.http(), "/healthz").await.status, 200);
    assert_eq!(
        http(site.http(), "/readyz").await.text(),
        "store: ok\nissuing CA: ok\nissuing key: ok\nrevocation list: ok\nrollover: ok\nlog: ok\n"
    );
    // A database that another process holds, long enough for the list to run out.
    let holder = rusqlite::Connection::open(&site.config.files.store).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    site.later(site.config.crl.valid);
    let ready = http(site.http(), "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("store: the database is busy"), "{}", ready.text());
    assert!(ready.text().contains("revocation list: ran out at"), "{}", ready.text());
    assert_eq!(http(site.http(), "/healthz").await.status, 200, "alive all the same");
    holder.execute_batch("ROLLBACK").unwrap();
    until("readiness", async || http(site.http(), "/readyz").await.status == 200).await;
    site.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_servers_time() {
    let site = Site::new().await;
    let time = UnixTime::from_secs(1_900_000_000);
    site.clock.set(time);
    let reply = site.tls().get("/nothing").await;
    assert_eq!(Answer::decode(&reply.body).unwrap().server_time, time);
}

/// Nobody is refused: it may be the other clock that is off.
#[tokio::test]
async fn a_server_whose_clock_is_behind_says_by_how_much() {
    let site = Site::new().await;
    // The life of the CA has to have begun by the other clock too.
    site.later(DAY);
    site.enroll(&site.device("SN-1").await).await;
    let behind = async || {
        let page = http(site.http(), "/metrics").await.text();
        let value = page.split("\nenroll_clock_behind_seconds ").nth(1).unwrap().lines().next().unwrap();
        value.parse::<u64>().unwrap()
    };
    assert_eq!(behind().await, 0);
    site.clock.set(site.clock.now().before(Duration::from_secs(3_600)));
    assert_eq!(behind().await, 3_600);
    site.enroll(&site.device("SN-2").await).await;
    assert_eq!(behind().await, 3_600, "what it wrote itself meanwhile is no proof");
}
