//! What is malformed, and who may not: each gets its status and a text, and nothing is issued.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enroll_server::api::routes::{Access, EST};
use enroll_server::est::MAX_BODY;
use rcgen::{DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{BOTH, Key, PKCS10, basic, certificate, csr, enroll, idevid, refused, send, site, tls};
use crate::kit::Site;
use crate::kit::client::{Identity, exchange, http};
use crate::kit::device::Maker;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

#[tokio::test]
async fn without_credentials_only_public_things_are_given() {
    let site = site(BOTH, "").await;
    site.device("SN-1").await;
    let client = tls(&site);
    let body = Key::new().body();
    for route in EST {
        let path = route.path.replace("{label}", "default");
        let operation = path.strip_prefix("/.well-known/est/").unwrap();
        for method in METHODS {
            let reply = send(&client, method, operation, PKCS10, &body).await;
            if method != route.method {
                refused(&reply, 404, "no-such-endpoint");
                continue;
            }
            match route.access {
                Access::Anyone => assert_eq!(reply.status, 200, "{method} {path}: {reply:?}"),
                Access::EstClient | Access::ClientCertificate => refused(&reply, 401, "not-authenticated"),
                Access::Evidence | Access::Operator | Access::Broker => {
                    panic!("{path}: no such access over EST")
                }
            }
        }
        let elsewhere = route.path.replace("{label}", "nobodys");
        let elsewhere = elsewhere.strip_prefix("/.well-known/est/").unwrap();
        if elsewhere != operation {
            // Before anything else: a label that is not there tells nobody apart.
            let reply = send(&client, route.method, elsewhere, PKCS10, &body).await;
            refused(&reply, 404, "no-such-endpoint");
        }
    }
    for path in ["", "simpleenrol", "fullcmc", "serverkeygen", "a/b/cacerts", "%00/cacerts", "A%2fB/cacerts"]
    {
        let reply = send(&client, "GET", path, "", &[]).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
    assert_eq!(site.admin().certificates(None).await.unwrap(), []);
    // What the native protocol has is not here, and the reverse.
    assert_eq!(client.get("/v1/trust").await.status, 404);
    assert_eq!(site.tls().get("/.well-known/est/cacerts").await.status, 404);
}

#[tokio::test]
async fn what_is_malformed_is_refused_in_words() {
    let site = site(BOTH, "").await;
    let device = site.device("SN-1").await;
    let client = tls(&site).identity(&idevid(&device));
    let good = Key::new();
    let base64 = |der: &[u8]| STANDARD.encode(der).into_bytes();
    let mut forged = good.csr.clone();
    *forged.last_mut().unwrap() ^= 1;
    let p384 = csr(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(), &[], vec![]);
    let named = Key::asking(&[(DnType::CommonName, "SN-2")], vec![]);
    let serial = DnType::CustomDnType(vec![2, 5, 4, 5]);
    let numbered = Key::asking(&[(serial, "SN-2"), (DnType::CommonName, "SN-1")], vec![]);
    let cases: [(&str, Vec<u8>, u16, &str); 13] = [
        ("nothing", vec![], 400, "malformed-message"),
        ("noise", vec![0xff; 500], 400, "malformed-message"),
        ("bad base64", b"MII*".to_vec(), 400, "malformed-message"),
        ("base64 cut", base64(&good.csr)[..101].to_vec(), 400, "malformed-message"),
        ("DER as it is", good.csr.clone(), 400, "malformed-message"),
        ("PEM", b"-----BEGIN CERTIFICATE REQUEST-----\nMII=\n".to_vec(), 400, "malformed-message"),
        ("DER cut", base64(&good.csr[..good.csr.len() - 1]), 400, "bad-csr"),
        ("DER and more", base64(&[good.csr.as_slice(), &[0]].concat()), 400, "bad-csr"),
        ("a certificate", base64(&device.idevid), 400, "bad-csr"),
        ("P-384", base64(&p384), 400, "bad-csr"),
        ("another signature", base64(&forged), 403, "no-proof-of-possession"),
        ("another's name", named.body(), 403, "not-your-device"),
        ("another's number", numbered.body(), 403, "not-your-device"),
    ];
    for (what, body, status, name) in cases {
        let reply = send(&client, "POST", "simpleenroll", PKCS10, &body).await;
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        refused(&reply, status, name);
    }
    let huge = vec![b'A'; MAX_BODY + 1];
    refused(&send(&client, "POST", "simpleenroll", PKCS10, &huge).await, 413, "too-large");
    // Announced, and never sent: it is not waited for.
    let announced = format!("{PKCS10}Content-Length: 100000000\r\n");
    let reply = send(&client, "POST", "simpleenroll", &announced, &[]).await;
    assert!(matches!(reply.status, 400 | 413), "{reply:?}");
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/pkcs7-mime\r\n"] {
        let reply = send(&client, "POST", "simpleenroll", kind, &good.body()).await;
        refused(&reply, 415, "malformed-message");
    }
    assert_eq!(site.admin().certificates(None).await.unwrap(), []);
    // The type with a parameter, in any case, and a body in lines.
    let lines = good.body().chunks(64).map(<[u8]>::to_vec).collect::<Vec<_>>().join(&b"\r\n"[..]);
    let typed = "Content-Type: Application/PKCS10; charset=us-ascii\r\n";
    certificate(&send(&client, "POST", "simpleenroll", typed, &lines).await);
}

#[tokio::test]
async fn a_client_gets_what_its_authentication_is_for_and_nothing_else() {
    let site = site(BOTH, "").await;
    let (device, other) = (site.device("SN-1").await, site.device("SN-2").await);
    let stranger = Maker::new("Stranger").device("SN-1");
    let client = tls(&site).identity(&idevid(&device));
    let token = site.admin().create_token(Some(&other.id), core::time::Duration::from_secs(60)).await;
    let token = token.unwrap().text;

    // Whoever only looks like the device.
    let reply = enroll(&tls(&site).identity(&idevid(&stranger)), "simpleenroll", &Key::new()).await;
    refused(&reply, 403, "unknown-maker");
    let broken = Identity { chain: vec![other.idevid.clone(), device.idevid.clone()], key: other.key_der() };
    refused(
        &enroll(&tls(&site).identity(&broken), "simpleenroll", &Key::new()).await,
        403,
        "bad-endorsement",
    );
    // A certificate without its key gets through no handshake.
    let stream = without_its_key(&site, &device.idevid, &other.key_der()).await;
    let asked = match stream {
        Ok(stream) => exchange(stream, &super::request("GET", "cacerts", "", &[])).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(asked.is_err(), "possession was not asked for");

    // A token: for its device, in the place of nothing else, and beside nothing else.
    let with = async |user: &str, password: &str, operation: &str| {
        let headers = format!("{PKCS10}{}", basic(user, password));
        send(&tls(&site), "POST", operation, &headers, &Key::new().body()).await
    };
    refused(&with("SN-1", &token, "simpleenroll").await, 401, "bad-token");
    refused(&with("SN-2", "0123456789abcdef0123456789abcdef", "simpleenroll").await, 401, "bad-token");
    refused(&with("SN-2", "", "simpleenroll").await, 401, "not-authenticated");
    refused(&with("SN 2", &token, "simpleenroll").await, 401, "not-authenticated");
    refused(&with("SN-2", &token, "simplereenroll").await, 401, "not-authenticated");
    // Its IDevID key is registered, so a token is not enough.
    refused(&with("SN-2", &token, "simpleenroll").await, 403, "no-accepted-evidence-kind");
    let headers = format!("{PKCS10}{}", basic("SN-2", &token));
    let reply = send(&client, "POST", "simpleenroll", &headers, &Key::new().body()).await;
    refused(&reply, 400, "malformed-message");
    let bearer = format!("{PKCS10}Authorization: Bearer {}\r\n", token.as_str());
    let reply = send(&tls(&site), "POST", "simpleenroll", &bearer, &Key::new().body()).await;
    refused(&reply, 401, "not-authenticated");
    assert_eq!(site.admin().certificates(None).await.unwrap(), []);

    let key = Key::new();
    let ldevid = key.identity(certificate(&enroll(&client, "simpleenroll", &key).await));
    let by_ldevid = tls(&site).identity(&ldevid);
    refused(&enroll(&by_ldevid, "simpleenroll", &Key::new()).await, 403, "not-your-device");
    refused(&enroll(&client, "simplereenroll", &Key::new()).await, 403, "not-your-device");
    let named = Key::asking(&[(DnType::CommonName, "SN-2")], vec![]);
    refused(&enroll(&by_ldevid, "simplereenroll", &named).await, 403, "not-your-device");
    // The planted key of a CA does not make an LDevID of ours, whoever names that CA as a maker.
    let pem = std::fs::read_to_string(&site.config.files.issuing_certificate).unwrap();
    site.admin().add_maker(&pem).await.unwrap();
    refused(&enroll(&by_ldevid, "simpleenroll", &Key::new()).await, 403, "not-your-device");
    // The native listener takes no IDevID, as ever.
    assert!(site.tls().identity(&idevid(&device)).try_request("GET", "/v1/trust", "", &[]).await.is_err());
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
    let metrics = http(site.http(), "/metrics").await.text();
    assert!(metrics.contains("endpoint=\"est-simpleenroll\",outcome=\"issued\""), "{metrics}");
    assert!(metrics.contains("endpoint=\"est-simplereenroll\",outcome=\"refused\""), "{metrics}");
}

/// A connection of a client that shows a certificate and signs with another key.
async fn without_its_key(
    site: &Site,
    certificate: &[u8],
    key: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let key = PrivateKeyDer::try_from(key.to_vec()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], key);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(site.root())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let stream = TcpStream::connect(site.server().bound().est.unwrap()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// EJBCA CVE-2020-25276.
#[tokio::test]
async fn a_revoked_certificate_is_refused_on_every_path() {
    let site = site(BOTH, "").await;
    let (device, other) = (site.device("SN-1").await, site.device("SN-2").await);
    let key = Key::new();
    let client = tls(&site).identity(&idevid(&device));
    let ldevid = key.identity(certificate(&enroll(&client, "simpleenroll", &key).await));
    let revoked = tls(&site).identity(&ldevid);
    for route in EST.iter().filter(|route| route.method == "GET") {
        let operation = route.path.replace("{label}", "default");
        let operation = operation.strip_prefix("/.well-known/est/").unwrap();
        assert_eq!(send(&revoked, "GET", operation, "", &[]).await.status, 200, "{operation}");
    }
    site.admin().revoke(&device.id, ca::crl::Reason::KeyCompromise).await.unwrap();
    let body = Key::new().body();
    for route in EST {
        let operation = route.path.replace("{label}", "default");
        let operation = operation.strip_prefix("/.well-known/est/").unwrap();
        let reply = send(&revoked, route.method, operation, PKCS10, &body).await;
        refused(&reply, 403, "certificate-revoked");
    }
    // Nor does the revoked device's IDevID help.
    for key in [&key, &Key::new()] {
        refused(&enroll(&client, "simpleenroll", key).await, 403, "device-revoked");
    }
    refused(&send(&client, "GET", "nonce", "", &[]).await, 403, "device-revoked");
    certificate(&enroll(&tls(&site).identity(&idevid(&other)), "simpleenroll", &Key::new()).await);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 2);
}
