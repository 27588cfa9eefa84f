//! Evidence inside the CSR, its nonce, and the CSR's link to its connection.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use core::time::Duration;
use rcgen::{Attribute, KeyPair};
use serde_json::Value;
use shared::message::latest::{EvidenceKind, Nonce};

use super::{Key, PKCS10, basic, certificate, csr, enroll, idevid, refused, send, send_over, site, tls};
use crate::kit::Site;
use crate::kit::client::Tls;
use crate::kit::device::Device;

const EVIDENCE: &str = "\"idevid-eat\"";

/// A DER element.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let head = match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, low @ 0..=0x7f] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// The attestation attribute with one statement of this kind.
fn attestation(kind: EvidenceKind, body: &[u8]) -> Attribute {
    let kind = appraisal::csr::statement_type(kind);
    let statement = der(0x30, &[&der(6, &[&kind]), &der(4, &[body])]);
    let bundle = der(0x30, &[&der(0x30, &[&statement])]);
    Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 16, 2, 59], values: der(0x31, &[&bundle]) }
}

fn challenge_password(text: &str) -> Attribute {
    let values = der(0x31, &[&der(0x0c, &[text.as_bytes()])]);
    Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 7], values }
}

async fn nonce(client: &Tls, operation: &str) -> Nonce {
    let reply = send(client, "GET", operation, "", &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/est-attestation-freshness+json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert!((1..=3_600).contains(&body["expiry"].as_u64().unwrap()));
    URL_SAFE_NO_PAD.decode(body["nonce"].as_str().unwrap()).unwrap().try_into().unwrap()
}

/// A key whose CSR carries the device's evidence for this nonce.
fn attested(device: &Device, nonce: &Nonce) -> Key {
    let pair = KeyPair::generate().unwrap();
    let eat = device.evidence(nonce, &csr(&pair, &[], vec![]));
    let csr = csr(&pair, &[], vec![attestation(EvidenceKind::IdevidEat, &eat)]);
    Key { pair, csr }
}

async fn made(kinds: &str, more: &str) -> (Site, Device, Tls) {
    let site = site(kinds, more).await;
    let device = site.device("SN-1").await;
    let client = tls(&site).identity(&idevid(&device));
    (site, device, client)
}

#[tokio::test]
async fn evidence_in_a_csr_is_appraised_as_ever() {
    let (site, mut device, client) = made(EVIDENCE, "").await;
    // Without it, TLS alone is not what this policy takes.
    refused(&enroll(&client, "simpleenroll", &Key::new()).await, 403, "no-accepted-evidence-kind");
    device.version = "0.9.0";
    let old = attested(&device, &nonce(&client, "nonce").await);
    refused(&enroll(&client, "simpleenroll", &old).await, 403, "firmware-unknown");
    device.version = "1.2.0";
    let key = attested(&device, &nonce(&client, "default/nonce").await);
    let first = certificate(&enroll(&client, "simpleenroll", &key).await);
    assert_eq!(certificate(&enroll(&client, "simpleenroll", &key).await), first, "the same request again");
    let found = site.admin().certificates(None).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].evidence.as_ref().unwrap().kind, EvidenceKind::IdevidEat);
    // It stays the answer when the nonce is past its time.
    site.later(Duration::from_secs(3_600));
    assert_eq!(certificate(&enroll(&client, "simpleenroll", &key).await), first);
}

#[tokio::test]
async fn evidence_answers_a_nonce_of_this_server_for_this_device_and_once() {
    let (site, device, client) = made(EVIDENCE, "").await;
    let other = site.device("SN-2").await;
    let by_other = tls(&site).identity(&idevid(&other));
    refused(&send(&tls(&site), "GET", "nonce", "", &[]).await, 401, "not-authenticated");

    let invented = attested(&device, &[7; 32]);
    refused(&enroll(&client, "simpleenroll", &invented).await, 403, "unknown-nonce");
    let others = attested(&device, &nonce(&by_other, "nonce").await);
    refused(&enroll(&client, "simpleenroll", &others).await, 403, "unknown-nonce");
    // Another device's evidence under one's own connection, and one's own under another's.
    let relayed = attested(&other, &nonce(&by_other, "nonce").await);
    refused(&enroll(&client, "simpleenroll", &relayed).await, 403, "unknown-nonce");
    let relayed = attested(&other, &nonce(&client, "nonce").await);
    refused(&enroll(&client, "simpleenroll", &relayed).await, 403, "evidence-signature");

    let fresh = nonce(&client, "nonce").await;
    let (first, second) = (attested(&device, &fresh), attested(&device, &fresh));
    certificate(&enroll(&client, "simpleenroll", &first).await);
    refused(&enroll(&client, "simpleenroll", &second).await, 403, "used-nonce");
    // Evidence for the key of one CSR, moved into another.
    let fresh = nonce(&client, "nonce").await;
    let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let eat = device.evidence(&fresh, &csr(&theirs, &[], vec![]));
    let moved = csr(&mine, &[], vec![attestation(EvidenceKind::IdevidEat, &eat)]);
    let moved = Key { pair: mine, csr: moved };
    refused(&enroll(&client, "simpleenroll", &moved).await, 403, "evidence-key");
    let late = attested(&device, &nonce(&client, "nonce").await);
    site.later(Duration::from_secs(3_600));
    refused(&enroll(&client, "simpleenroll", &late).await, 403, "expired-nonce");
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn evidence_is_refused_where_it_would_be_passed_over_or_cannot_be_fresh() {
    let (site, device, client) =
        made("\"idevid-tls\", \"idevid-eat\", \"tpm2\", \"one-time-token\"", "").await;
    let of_kind = |kind| {
        let pair = KeyPair::generate().unwrap();
        let csr = csr(&pair, &[], vec![attestation(kind, b"something")]);
        Key { pair, csr }
    };
    for kind in [EvidenceKind::Tpm2, EvidenceKind::OneTimeToken, EvidenceKind::SymmetricKey] {
        let reply = enroll(&client, "simpleenroll", &of_kind(kind)).await;
        refused(&reply, 403, "no-accepted-evidence-kind");
    }
    // Broken evidence is not the same as none.
    let reply = enroll(&client, "simpleenroll", &of_kind(EvidenceKind::IdevidEat)).await;
    refused(&reply, 403, "unknown-nonce");
    // A statement that says nothing but "it was TLS" is not one.
    certificate(&enroll(&client, "simpleenroll", &of_kind(EvidenceKind::IdevidTls)).await);
    let token = site.admin().create_token(Some(&device.id), Duration::from_secs(60)).await.unwrap().text;
    let headers = format!("{PKCS10}{}", basic("SN-1", &token));
    let key = attested(&device, &nonce(&client, "nonce").await);
    refused(&send(&tls(&site), "POST", "simpleenroll", &headers, &key.body()).await, 400, "bad-evidence");
}

#[tokio::test]
async fn a_renewal_brings_fresh_evidence_where_the_policy_asks_for_it() {
    let (site, device, client) = made(EVIDENCE, "[renewal]\nevidence = true").await;
    let key = attested(&device, &nonce(&client, "nonce").await);
    let ldevid = key.identity(certificate(&enroll(&client, "simpleenroll", &key).await));
    let by_ldevid = tls(&site).identity(&ldevid);
    refused(&enroll(&by_ldevid, "simplereenroll", &Key::new()).await, 403, "evidence-wanted");
    let fresh = nonce(&by_ldevid, "nonce").await;
    let pair = KeyPair::generate().unwrap();
    let eat = device.evidence(&fresh, &csr(&pair, &[], vec![]));
    // The IDevID is not what this connection shows: its chain has to come along.
    let bare = csr(&pair, &[], vec![attestation(EvidenceKind::IdevidEat, &eat)]);
    let bare = Key {
        pair: KeyPair::from_pkcs8_der_and_sign_algo(
            &pair.serialize_der().as_slice().into(),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .unwrap(),
        csr: bare,
    };
    refused(&enroll(&by_ldevid, "simplereenroll", &bare).await, 403, "bad-endorsement");
    let kind = appraisal::csr::statement_type(EvidenceKind::IdevidEat);
    let statement = der(0x30, &[&der(6, &[&kind]), &der(4, &[&eat])]);
    let bundle = der(0x30, &[&der(0x30, &[&statement]), &der(0x30, &[&device.idevid])]);
    let attribute = Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 16, 2, 59], values: der(0x31, &[&bundle]) };
    let csr = csr(&pair, &[], vec![attribute]);
    certificate(&enroll(&by_ldevid, "simplereenroll", &Key { pair, csr }).await);
}

#[tokio::test]
async fn a_challenge_password_is_the_connections_channel_binding_or_refused() {
    let (_site, _device, client) = made("\"idevid-tls\"", "").await;
    let ask = async |versions: &[&'static rustls::SupportedProtocolVersion], wrong: bool| {
        let stream = client.clone().versions(versions).connect().await.unwrap();
        let session = stream.get_ref().1;
        let binding =
            session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap();
        let binding = if wrong { [7; 32] } else { binding };
        let key = Key::asking(&[], vec![challenge_password(&STANDARD.encode(binding))]);
        send_over(stream, "POST", "simpleenroll", PKCS10, &key.body()).await
    };
    let (new, old): (&[_], &[_]) = (&[&rustls::version::TLS13], &[&rustls::version::TLS12]);
    certificate(&ask(new, false).await);
    refused(&ask(new, true).await, 400, "bad-csr");
    // TLS 1.2 has no binding that could be told good from bad here.
    refused(&ask(old, false).await, 400, "bad-csr");
    let text = Key::asking(&[], vec![challenge_password("a password")]);
    refused(&enroll(&client, "simpleenroll", &text).await, 400, "bad-csr");
}
