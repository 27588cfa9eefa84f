//! What brokers, terminators and clients of EST ask of devices while the database fails: never a yes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ca::crl::Reason;
use serde_json::json;

use super::super::bench::{ApiBench, Call, Listener, Reply};
use super::KINDS;
use crate::peers::BrokerToken;
use crate::store::Injected;

/// Questions about the client with this certificate, and what a yes contains.
fn questions(name: &str, token: &str, leaf: &[u8]) -> Vec<(Call, String)> {
    let bearer = format!("Bearer {token}");
    let ask = |path: &str, body: String| {
        let call = Call::native(&format!("/broker/v1/{path}"), None, body.into_bytes()).by(bearer.clone());
        Call { headers: call.headers.into_iter().skip(1).collect(), ..call }
    };
    let login = json!({ "username": name, "clientid": name, "common_name": name });
    let shown = json!({ "username": name, "clientid": name, "common_name": name,
        "certificate": STANDARD.encode(leaf) });
    let topic = format!("devices/{name}/telemetry");
    let wish = json!({ "username": name, "clientid": name, "action": "publish", "topic": topic });
    let mut certificate = ask("certificate", String::new());
    let header = axum::http::HeaderName::from_static("x-client-certificate");
    certificate.headers.push((header, STANDARD.encode(leaf)));
    let cacerts = Call {
        listener: Listener::Est(vec![leaf.to_vec()]),
        path: "/.well-known/est/cacerts".into(),
        headers: vec![],
        body: vec![],
    };
    vec![
        (ask("emqx/authenticate", login.to_string()), "allow".to_owned()),
        (ask("emqx/authenticate", shown.to_string()), "allow".to_owned()),
        (ask("emqx/authorize", wish.to_string()), "allow".to_owned()),
        (ask("rabbitmq/user", format!("username={name}")), "allow".to_owned()),
        (ask("rabbitmq/vhost", format!("username={name}&vhost=%2F&client_id={name}")), "allow".to_owned()),
        (certificate, name.to_owned()),
        // Public, and not for whoever comes with a certificate that is revoked.
        (cacerts, "MI".to_owned()),
    ]
}

fn says(reply: &Reply, yes: &str) -> bool {
    reply.status == 200 && String::from_utf8_lossy(&reply.body).contains(yes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nobody_is_told_that_a_device_is_in_force() {
    let bench = ApiBench::new(KINDS, |_| {}).await;
    let faults = Injected::at(bench.database());
    let _made = BrokerToken::read_or_make(&bench.config.files.broker_token).unwrap();
    let token = std::fs::read_to_string(&bench.config.files.broker_token).unwrap();
    for revoked in [false, true] {
        let device = bench.device(if revoked { "OUT" } else { "IN" }).await;
        let (_, leaf) = bench.enrolled(&device).await;
        if revoked {
            bench.admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap();
        }
        for (call, yes) in questions(device.id.as_str(), token.trim(), &leaf) {
            let mut failed = 0;
            for n in 1.. {
                faults.arm(n);
                let reply = bench.send(&call).await;
                let told = format!("{} with a fault at {n}: {reply:?}", call.path);
                match faults.disarm() {
                    Some(true) => {
                        assert_eq!((says(&reply, &yes), reply.status), (false, 503), "{told}");
                        failed += 1;
                    }
                    Some(false) => {}
                    None => {
                        assert_eq!(says(&reply, &yes), !revoked, "{told}");
                        break;
                    }
                }
            }
            assert!(failed > 2, "{}: only {failed} faults", call.path);
        }
    }
}

/// OCSP says to come later, and never that a certificate is good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_ocsp_says_of_no_certificate_that_it_is_good() {
    let bench = ApiBench::new(KINDS, |_| {}).await;
    let faults = Injected::at(bench.database());
    let (identity, _) = bench.enrolled(&bench.device("SN-1").await).await;
    let issuer = bench.api.issuance.authorities().issuer().certificate().der().to_vec();
    let request = ocsp_request(&issuer, &identity.serial().to_der_value());
    let mut outcomes = std::collections::BTreeSet::new();
    for n in 1.. {
        faults.arm(n);
        let outcome = bench.api.ocsp.answer(&request).await.outcome;
        match faults.disarm() {
            Some(true) => drop(outcomes.insert(outcome)),
            Some(false) => {}
            None => {
                assert!(["signed", "kept"].contains(&outcome), "{outcome}");
                break;
            }
        }
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["try-later"]);
}

/// A request about one certificate, with SHA-256 (RFC 6960, section 4.1.1).
fn ocsp_request(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let tlv = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
    let (_, issuer) = x509_parser::parse_x509_certificate(issuer).unwrap();
    let hash = |bytes: &[u8]| tlv(4, &crate::issuance::sha256(bytes));
    let sha256 = [6, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 5, 0];
    let key = &issuer.public_key().subject_public_key.data;
    let id = [tlv(0x30, &sha256), hash(issuer.subject().as_raw()), hash(key), tlv(2, serial)].concat();
    (0..5).fold(id, |inner, _| tlv(0x30, &inner))
}
