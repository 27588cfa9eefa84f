//! Certificates of brokers, servers and this server at brokers, of which the trail has the serial numbers: revoked by showing them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ca::crl::Reason;
use ca::hierarchy::{SERVER_LIFETIME, client_certificate, server_certificate};
use ca::{CaCertificate, FileKey, Issuer, Serial};
use enroll_server::audit::EventKind;
use enroll_server::clock::Clock as _;
use enroll_server::peers::BrokerToken;
use enroll_server::store::EventQuery;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::cli::{error, json, on};
use crate::kit::client::http;
use crate::kit::ocsp::{Hash, asked, post, request, statuses};
use crate::kit::{Site, until};

/// A backup with the key of the server's own place at brokers, out of which every device can be commanded.
#[tokio::test]
async fn a_stolen_key_of_the_servers_own_place_at_brokers_is_revoked() {
    let site = Site::new().await;
    let folder = site.folder.path();
    let token = folder.join("server/broker.token");
    let _made = BrokerToken::read_or_make(&token).unwrap();
    let issuing = issuing(&site);
    let now = site.clock.now();
    let [stolen, new] = [(); 2].map(|()| {
        let key = FileKey::generate().unwrap();
        client_certificate("Acme", "enroll_server", &key, &issuing, SERVER_LIFETIME, now).unwrap()
    });
    let emqx = async |der: &[u8]| {
        let question = json!({
            "username": "enroll_server", "clientid": "enroll_server", "common_name": "enroll_server",
            "certificate": STANDARD.encode(der),
        });
        let headers = format!("Authorization: Bearer {}\r\n", std::fs::read_to_string(&token).unwrap());
        let path = "/broker/v1/emqx/authenticate";
        let reply = site.tls().try_request("POST", path, &headers, question.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_str(&reply.unwrap().text()).unwrap();
        answer["result"].as_str().unwrap().to_owned()
    };
    let ocsp = async |der: &[u8]| {
        let question = request(&[asked(issuing.certificate().der(), Hash::Sha256, &serial(der))], None);
        statuses(&post(site.http(), "application/ocsp-request", &question).await.body)
    };
    assert_eq!((emqx(stolen.der()).await.as_str(), ocsp(stolen.der()).await), ("allow", Some(vec![2])));

    // The chain as the file has it: the certificate first.
    let file = folder.join("stolen.crt");
    let chain = ca::pem::chain([stolen.der(), issuing.certificate().der()]);
    std::fs::write(&file, chain).unwrap();
    let words =
        ["cert", "revoke", "--json", "--reason", "key-compromise", "--certificate", file.to_str().unwrap()];
    let told = json(&on(folder, &words));
    assert_eq!((&told["revoked_now"], &told["reason"]), (&true.into(), &"key-compromise".into()), "{told}");
    assert!(told["subject"].as_str().unwrap().contains("enroll_server"), "{told}");
    assert_eq!(json(&on(folder, &words))["revoked_now"], false, "a second time");

    until("the complete list", async || listed(&site).await == [serial(stolen.der())]).await;
    let pem = async || http(site.http(), "/crl.pem").await.body;
    until("the file for brokers", async || std::fs::read(&site.config.crl.pem).unwrap() == pem().await).await;
    assert_eq!(ocsp(stolen.der()).await, Some(vec![1]));
    assert_eq!(emqx(stolen.der()).await, "deny");
    assert_eq!((emqx(new.der()).await.as_str(), ocsp(new.der()).await), ("allow", Some(vec![2])));
    let events = site.admin().find_events(EventQuery::last(9)).await.unwrap();
    let told = events.iter().find(|event| event.kind == "peer-revoked").unwrap();
    assert!(told.actor.starts_with("operator:") && told.detail.contains("CN=enroll_server"), "{told:?}");
}

/// Whoever looks for a certificate that nobody should have finds who asked for it, and by its file it is revoked.
#[tokio::test]
async fn a_certificate_for_a_broker_stands_in_the_trail_with_who_asked_for_it() {
    let site = Site::new().await;
    let folder = site.folder.path();
    let out = folder.join("broker");
    let words = ["broker", "certificate", "--json", "--name", "mqtt.example", "--name", "10.0.0.1", "--out"];
    let made = json(&on(folder, &[&words[..], &[out.to_str().unwrap()]].concat()));
    let events = json(&on(folder, &["event", "list", "--json", "--kind", "peer-issued"]));
    // The one before is this server's own.
    let [event, own] = events.as_array().unwrap().as_slice() else { panic!("{events}") };
    assert!(own["detail"].as_str().unwrap().starts_with("enroll-server, found in its file: "), "{own}");
    let pem = std::fs::read(out.join("broker.crt")).unwrap();
    let serial = serial(&ca::pem::read_certificates(&pem).unwrap()[0]);
    let serial = Serial::from_der_value(&serial).unwrap().to_string();
    assert_eq!(made["serial"], serial, "{made}");
    let until = made["not_after"].as_str().unwrap();
    assert_eq!(event["detail"], format!("serial {serial} until {until} for mqtt.example, 10.0.0.1"));
    assert!(event["actor"].as_str().unwrap().starts_with("operator:"), "{event}");
    assert!(event["action"].as_str().unwrap().contains("broker certificate"), "{event}");
    let file = out.join("broker.crt");
    let told = json(&on(folder, &["cert", "revoke", "--json", "--certificate", file.to_str().unwrap()]));
    assert_eq!((&told["serial"], &told["revoked_now"]), (&serial.into(), &true.into()), "{told}");
}

/// What `init` signs has no server that would write it down, and who renews a certificate may end before that is written.
#[tokio::test]
async fn every_certificate_of_the_server_itself_is_in_the_trail_once() {
    let mut site = Site::new().await;
    let files = site.config.files.clone();
    let own = || {
        let pem = std::fs::read(&files.server_certificate).unwrap();
        let serial = serial(&ca::pem::read_certificates(&pem).unwrap()[0]);
        format!("serial {} until ", Serial::from_der_value(&serial).unwrap())
    };
    let trail = async |site: &Site| {
        let kinds = vec![EventKind::PeerIssued, EventKind::TlsCertificateRenewed];
        let events = site.admin().find_events(EventQuery { kinds, ..EventQuery::last(9) }).await.unwrap();
        events.into_iter().map(|event| event.detail).collect::<Vec<_>>()
    };
    let first = own();
    for _ in 0..2 {
        let told = trail(&site).await;
        assert!(told.len() == 1 && told[0].contains(&first) && told[0].contains("localhost"), "{told:?}");
        site.stop().await;
        site.start().await;
    }
    site.later(SERVER_LIFETIME * 5 / 6);
    until("a renewal", async || trail(&site).await.len() == 2).await;
    assert!(own() != first && trail(&site).await[0].contains(&own()), "{:?}", trail(&site).await);
    site.stop().await;
    site.start().await;
    assert_eq!(trail(&site).await.len(), 2);

    // Made, and then nothing more: nobody wrote it down.
    let (issuing, now, key) = (issuing(&site), site.clock.now(), FileKey::generate().unwrap());
    let made = server_certificate(&["localhost", "127.0.0.1"], &key, &issuing, SERVER_LIFETIME, now).unwrap();
    site.stop().await;
    let chain = ca::pem::chain([made.der(), issuing.certificate().der()]);
    std::fs::write(&files.server_certificate, chain).unwrap();
    std::fs::remove_file(&files.server_key).unwrap();
    key.save(&files.server_key).unwrap();
    site.start().await;
    let told = trail(&site).await;
    assert!(told.len() == 3 && told[0].contains(&own()), "{told:?}");
    site.logged().await;
    let verified = on(site.folder.path(), &["audit", "verify"]);
    assert!(verified.status.success(), "{}", error(&verified));
}

#[tokio::test]
async fn the_admin_api_revokes_by_pem_and_by_der_and_refuses_what_the_command_line_refuses() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let (issuing, now) = (issuing(&site), site.clock.now());
    let key = FileKey::generate().unwrap();
    let new = || client_certificate("Acme", "enroll_server", &key, &issuing, SERVER_LIFETIME, now).unwrap();
    let [one, other] = [new(), new()];
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let call = async |body: Value| {
        let headers = format!("Authorization: Bearer {}\r\n", token.trim());
        let path = "/admin/v1/certificates/revoke";
        let reply =
            site.tls().try_request("POST", path, &headers, body.to_string().as_bytes()).await.unwrap();
        (reply.status, serde_json::from_slice::<Value>(&reply.body).unwrap())
    };
    let chain = ca::pem::chain([one.der(), issuing.certificate().der()]);
    let der = STANDARD.encode(other.der());
    for (certificate, of) in [(chain, &one), (der, &other)] {
        let body = json!({ "certificate": certificate, "reason": "key-compromise" });
        let (status, told) = call(body.clone()).await;
        assert_eq!((status, &told["revoked_now"]), (200, &true.into()), "{told}");
        assert_eq!(told["serial"], of.serial().to_string());
        let (subject, until) = (told["subject"].as_str().unwrap(), of.validity().not_after.to_string());
        assert!(subject.contains("CN=enroll_server") && told["until"] == until, "{told}");
        let (status, told) = call(body).await;
        assert_eq!((status, &told["revoked_now"]), (200, &false.into()), "{told}");
    }
    until("the complete list", async || listed(&site).await.len() == 2).await;
    let of_device = STANDARD.encode(&identity.chain[0]);
    let server = std::fs::read_to_string(&site.config.files.server_certificate).unwrap();
    for (body, says) in [
        (json!({ "certificate": of_device }), "device return SN-1"),
        (
            json!({ "certificate": STANDARD.encode(site.root()) }),
            "none of this server's issuing CAs signed it",
        ),
        (json!({ "certificate": STANDARD.encode("no certificate") }), "not X.509"),
        (json!({ "certificate": "no certificate" }), "in PEM, or base64"),
        (json!({ "certificate": "-----BEGIN CERTIFICATE-----" }), "nothing was revoked"),
        (json!({ "certificate": "" }), "not X.509"),
        (
            json!({ "certificate": server.clone(), "reason": "certificate-hold" }),
            "suspend the device instead",
        ),
        (json!({ "certificate": server.clone(), "why": "x" }), "unknown field"),
        (json!({}), "missing field"),
    ] {
        let (status, told) = call(body).await;
        assert_eq!((status, &told["code"]), (400, &"bad-request".into()), "{told}");
        assert!(told["error"].as_str().unwrap().contains(says), "{says}: {told}");
    }
    let (status, told) = call(json!({ "certificate": "A".repeat(9_000) })).await;
    assert_eq!((status, &told["code"]), (413, &"too-large".into()), "{told}");
    assert_eq!(listed(&site).await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_revoked_by_showing_it_is_refused_with_the_way_that_can() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let pem = |der: &[u8]| ca::pem::certificate(der);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server = std::fs::read_to_string(&site.config.files.server_certificate).unwrap();
    for (pem, reason) in [
        (pem(&identity.chain[0]), "device return SN-1"),
        (pem(&identity.chain[1]), "none of this server's issuing CAs signed it"),
        (pem(&site.root()), "none of this server's issuing CAs signed it"),
        (pem(other.cert.der()), "none of this server's issuing CAs signed it"),
        ("no certificate".to_owned(), "nothing was revoked"),
    ] {
        let refused = site.admin().revoke_peer(pem.as_bytes(), Reason::KeyCompromise).await.unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    assert!(site.admin().revoke_peer(server.as_bytes(), Reason::CertificateHold).await.is_err());
    let folder = site.folder.path();
    let told = error(&on(folder, &["cert", "revoke", "--certificate", "/no/such/file"]));
    assert!(told.contains("/no/such/file"), "{told}");
    assert!(listed(&site).await.is_empty());

    let (_, is_new) = site.admin().revoke_peer(server.as_bytes(), Reason::Superseded).await.unwrap();
    assert!(is_new);
    site.later(SERVER_LIFETIME + core::time::Duration::from_secs(86_400));
    let refused = site.admin().revoke_peer(server.as_bytes(), Reason::Superseded).await.unwrap_err();
    assert!(refused.to_string().contains("it ended at"), "{refused}");
}

fn issuing(site: &Site) -> Issuer {
    let files = &site.config.files;
    let pem = std::fs::read(&files.issuing_certificate).unwrap();
    let certificate = CaCertificate::from_der(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap();
    Issuer::new(certificate, Box::new(FileKey::load(&files.issuing_key).unwrap())).unwrap()
}

fn serial(der: &[u8]) -> Vec<u8> {
    x509_parser::parse_x509_certificate(der).unwrap().1.raw_serial().to_vec()
}

async fn listed(site: &Site) -> Vec<Vec<u8>> {
    let body = http(site.http(), "/crl/1/0.crl").await.body;
    let (_, list) = CertificateRevocationList::from_der(&body).unwrap();
    list.iter_revoked_certificates().map(|entry| entry.raw_serial().to_vec()).collect()
}
