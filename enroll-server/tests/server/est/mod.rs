//! EST from outside, with a client that can send anything: who gets what, and that nobody else gets anything.

mod evidence;
mod refusals;
mod semantics;

use core::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use der::{Decode as _, Encode as _};
use enroll_server::config::{Config, Est};
use rcgen::{Attribute, CertificateParams, DnType, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::kit::Site;
use crate::kit::client::{Identity, Reply, Tls, exchange};
use crate::kit::device::{Device, reference_values};

/// A site with EST, whose policy takes these kinds and says this besides.
async fn site(kinds: &str, more: &str) -> Site {
    site_with(kinds, more, |_| {}).await
}

async fn site_with(kinds: &str, more: &str, change: impl FnOnce(&mut Config)) -> Site {
    let policy = format!("{more}\n[evidence]\nkinds = [{kinds}]\n{}", reference_values());
    // Starting a server takes a large future, and many tests would hold it.
    Box::pin(Site::with(|config| {
        config.est = Some(Est { listen: SocketAddr::from(([127, 0, 0, 1], 0)) });
        std::fs::write(&config.files.policy, policy).unwrap();
        change(config);
    }))
    .await
}

const BOTH: &str = "\"idevid-tls\", \"one-time-token\"";

fn tls(site: &Site) -> Tls {
    Tls::new(site.server().bound().est.unwrap(), &site.root())
}

fn idevid(device: &Device) -> Identity {
    Identity { chain: vec![device.idevid.clone()], key: device.key_der() }
}

/// A key with a CSR that has these names and attributes.
struct Key {
    pair: KeyPair,
    csr: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        Self::asking(&[], vec![])
    }

    fn asking(names: &[(DnType, &str)], attributes: Vec<Attribute>) -> Self {
        let pair = KeyPair::generate().unwrap();
        let csr = csr(&pair, names, attributes);
        Self { pair, csr }
    }

    /// Its CSR as a body.
    fn body(&self) -> Vec<u8> {
        STANDARD.encode(&self.csr).into_bytes()
    }

    fn identity(&self, certificate: Vec<u8>) -> Identity {
        Identity { chain: vec![certificate], key: self.pair.serialize_der() }
    }
}

fn csr(pair: &KeyPair, names: &[(DnType, &str)], attributes: Vec<Attribute>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind.clone(), *name);
    }
    params.serialize_request_with_attributes(pair, attributes).unwrap().der().to_vec()
}

const PKCS10: &str = "Content-Type: application/pkcs10\r\nContent-Transfer-Encoding: base64\r\n";

/// A request as it goes over the wire.
fn request(method: &str, operation: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} /.well-known/est/{operation} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn send(tls: &Tls, method: &str, operation: &str, headers: &str, body: &[u8]) -> Reply {
    send_over(tls.connect().await.unwrap(), method, operation, headers, body).await
}

async fn send_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    operation: &str,
    headers: &str,
    body: &[u8],
) -> Reply {
    exchange(stream, &request(method, operation, headers, body)).await.unwrap()
}

async fn enroll(tls: &Tls, operation: &str, key: &Key) -> Reply {
    send(tls, "POST", operation, PKCS10, &key.body()).await
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// The one certificate of an answer.
#[track_caller]
fn certificate(reply: &Reply) -> Vec<u8> {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/pkcs7-mime; smime-type=certs-only"));
    let found = certificates(&reply.body);
    assert_eq!(found.len(), 1, "the certificate, and no other");
    found[0].clone()
}

fn certificates(body: &[u8]) -> Vec<Vec<u8>> {
    let message = ContentInfo::from_der(&STANDARD.decode(body).unwrap()).unwrap();
    let message: SignedData = message.content.decode_as().unwrap();
    message.certificates.unwrap().0.iter().map(|choice| choice.to_der().unwrap()).collect()
}

/// Checks that a reply is this refusal, in words.
#[track_caller]
fn refused(reply: &Reply, status: u16, name: &str) {
    let text = reply.text();
    assert_eq!((reply.status, text.split(": ").next()), (status, Some(name)), "{text}");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.ends_with('\n') && text.trim_end().len() > name.len() + 10, "{text:?} helps nobody");
    assert_eq!(reply.header("www-authenticate").is_some(), status == 401, "{text}");
}
