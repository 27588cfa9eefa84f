//! Which trust bundle a device holds, and who is believed; the view of a rollover over the admin API.

use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

use ca::hierarchy::ISSUING_LIFETIME;
use enroll_server::ceremony::{self, ListOptions};
use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::config::Config;
use enroll_server::peers::{BrokerProduct, Facts, Product, TerminatorProduct, Wanted, render};
use enroll_server::rollover::{NewCa, Order, OrderOptions, SignerOptions, StartOptions, start, take};
use enroll_server::startup::open_admin;
use serde_json::Value;
use shared::message::latest::TrustReport;
use shared::{Reject, endpoint};

use enroll_server::store::{CertificateState, NewRollover};

use crate::kit::client::{Identity, http};
use crate::kit::device::{Device, Operational};
use crate::kit::{Site, assert_refused, identity, until};
use crate::revocation::with_tag;

fn report(held: u64) -> Vec<u8> {
    let mut out = [0; TrustReport::MAX];
    let length = TrustReport { held }.encode(&mut out).unwrap();
    out[..length].to_vec()
}

/// What the admin API says of the CAs.
async fn ca(site: &Site, query: &str) -> (u16, Value) {
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    let path = format!("/admin/v1/ca{query}");
    let reply = site.tls().try_request("GET", &path, &headers, &[]).await.unwrap();
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

async fn told(site: &Site, identity: Option<&Identity>, held: u64) {
    let tls = identity.map_or_else(|| site.tls(), |identity| site.tls().identity(identity));
    let reply = tls.post(endpoint::TRUST, &report(held)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.body, site.tls().get(endpoint::TRUST).await.body, "there is one bundle only");
}

#[tokio::test]
async fn only_who_shows_a_good_certificate_is_believed() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let mine = site.enroll(&device).await;
    let confirmed = async || ca(&site, "").await.1["spread"]["trust"].clone();
    told(&site, None, 1).await;
    assert_eq!(confirmed().await, serde_json::json!([[null, 1]]), "anyone is answered, and nobody believed");
    told(&site, Some(&mine), 1).await;
    assert_eq!(confirmed().await, serde_json::json!([[1, 1]]));
    for garbage in [&b""[..], b"\xa2\x00\x01\x01\x20", b"\xa1\x00\x01", &[0x41; 9000]] {
        let reply = site.tls().identity(&mine).post(endpoint::TRUST, garbage).await;
        let expected = if garbage.len() > 8192 { Reject::TooLarge } else { Reject::MalformedMessage };
        assert_refused(&reply, expected);
    }
    site.admin().revoke(&device.id, ca::crl::Reason::KeyCompromise).await.unwrap();
    told(&site, Some(&mine), 7).await;
    let known = site.admin().store().device(&device.id).await.unwrap().unwrap();
    assert_eq!(known.state, enroll_server::store::DeviceState::Revoked);
    assert_eq!(confirmed().await, serde_json::json!([]), "a revoked device is none of the living");
}

#[tokio::test]
async fn the_certificate_before_goes_when_the_next_one_is_shown() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let first = site.enroll(&device).await;
    let key = Operational::new();
    let reply = site.tls().identity(&first).post(endpoint::RENEW, &Device::renew(&device.id, &key.csr)).await;
    let second = identity(&reply, &key);
    let issued = async || {
        let all = site.admin().certificates(Some(&device.id)).await.unwrap();
        all.iter().filter(|certificate| certificate.state == CertificateState::Issued).count()
    };
    assert_eq!(issued().await, 2, "the device may still go back to the first");
    told(&site, Some(&first), 1).await;
    assert_eq!(issued().await, 2, "it goes by the first: the second one has not been tried");
    told(&site, Some(&second), 1).await;
    assert_eq!(issued().await, 1);
    let body = Device::renew(&device.id, &Operational::new().csr);
    let refused = site.tls().identity(&first).post(endpoint::RENEW, &body).await;
    assert!(refused.status >= 400);
}

#[tokio::test]
async fn the_view_is_for_operators_and_pages() {
    let site = Site::new().await;
    for id in ["SN-1", "SN-2", "SN-3"] {
        let device = site.device(id).await;
        site.enroll(&device).await;
    }
    let (status, view) = ca(&site, "?limit=2").await;
    assert_eq!(
        (status, view["issuing_cas"][0]["live"].clone(), view["rollover"].clone()),
        (200, 3.into(), Value::Null)
    );
    assert_eq!(ca(&site, "?limt=2").await.0, 400);
    assert_eq!(ca(&site, "?after=S%2FN").await.0, 400);
    let reply = http(site.http(), "/metrics").await.text();
    for line in ["enroll_devices_trust{bundle=\"0\"} 3", "enroll_certificates_live{issuer=\"1\"} 3"] {
        assert!(reply.contains(line), "{line} in {reply}");
    }
}

/// Has another server, with a copy of the files, begin a rollover on this one's database. Gives the folder of the new CA, and
/// where it is: at the other server.
async fn begun_elsewhere(site: &mut Site) -> (PathBuf, PathBuf) {
    site.stop().await;
    let (here, there) = (site.folder.path().join("server"), site.folder.path().join("elsewhere"));
    assert!(Command::new("cp").arg("-r").args([&here, &there]).status().unwrap().success());
    site.start().await;
    let config = Config::load(&there.join("enroll-server.toml")).unwrap();
    let admin = open_admin(&config, std::sync::Arc::new(SystemClock)).unwrap();
    let new = NewCa::Made {
        new_root: false,
        root_key: None,
        encrypt: false,
        passphrase_file: None,
        lifetime: ISSUING_LIFETIME,
    };
    let options = StartOptions { new, no_cross: false, signer: SignerOptions::default() };
    let started = start(&config, admin.store().as_ref(), &options, SystemClock.now()).await.unwrap();
    admin.close().await.unwrap();
    let copy = rusqlite::Connection::open(&config.files.store).unwrap();
    let issuer: [u8; 32] = copy.query_row("SELECT issuer FROM rollovers", [], |row| row.get(0)).unwrap();
    let folder = started.folder.unwrap();
    let kept = site.folder.path().join("kept");
    std::fs::rename(&folder, &kept).unwrap();
    let plan = started.plan.to_json().unwrap();
    let new = NewRollover { plan, issuer, bundle: None, detail: "elsewhere".into() };
    let begun = site.admin().store().begin_rollover(new, SystemClock.now()).await.unwrap();
    assert_eq!(begun, Some(1));
    (folder, kept)
}

#[tokio::test]
async fn a_server_that_lacks_the_new_cas_folder_says_so_and_has_devices_come_again() {
    let mut site = Site::new().await;
    let (folder, kept) = begun_elsewhere(&mut site).await;
    until("a server that is not ready", async || http(site.http(), "/readyz").await.status == 503).await;
    let told = http(site.http(), "/readyz").await.text();
    let line = told.lines().find(|line| line.starts_with("rollover: ")).unwrap();
    assert!(line.contains(folder.to_str().unwrap()) && line.contains("copy it"), "{told}");
    let gauge = "enroll_check_good{check=\"rollover\"}";
    assert!(http(site.http(), "/metrics").await.text().contains(&format!("{gauge} 0\n")));

    let device = site.device("SN-1").await;
    let order = OrderOptions { order: Order::Switch, force: false, signer: SignerOptions::default() };
    let admin = site.other_admin();
    take(&site.config, admin.store().as_ref(), &order, SystemClock.now()).await.unwrap();
    admin.close().await.unwrap();
    let (reply, _) = site.try_enroll(&device).await;
    assert_refused(&reply, Reject::Unavailable);

    std::fs::rename(&kept, &folder).unwrap();
    until("a server that is ready", async || http(site.http(), "/readyz").await.status == 200).await;
    assert!(http(site.http(), "/metrics").await.text().contains(&format!("{gauge} 1\n")));
    site.enroll(&device).await;
}

/// What a verifier that checks every CA of a chain finds, as nginx, HAProxy and Envoy do, by the files for brokers.
fn verify_all(site: &Site, identity: &Identity) -> Result<(), String> {
    let chain = site.folder.path().join("chain.pem");
    std::fs::write(&chain, ca::pem::chain(identity.chain.iter().map(Vec::as_slice))).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"]).arg(&site.config.files.authorities);
    openssl.arg("-attime").arg(site.clock.now().as_secs().to_string());
    openssl.arg("-CRLfile").arg(&site.config.crl.pem).arg("-untrusted").arg(&chain).arg(&chain);
    let out = openssl.output().unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8(out.stderr).unwrap()) }
}

/// EMQX, RabbitMQ and Caddy ask this server. Without a cross-certificate nothing leads from its next certificate to the root
/// that the settings name.
#[tokio::test]
async fn brokers_that_ask_believe_the_server_by_the_roots_in_force() {
    let site = Site::new().await;
    let out = site.folder.path().join("peers");
    let believed = |product: Product, places: usize| {
        let wanted = Wanted { out: Some(out.clone()), ..Wanted::default() };
        let facts = Facts::gather(&site.config, &wanted, product, Vec::new()).unwrap();
        let files = render(product, &facts).unwrap();
        let text: String = files.iter().map(|file| file.content.as_str()).collect();
        let [(name, authorities), _] = facts.copies();
        assert_eq!(text.matches(out.join(name).to_str().unwrap()).count(), places, "{text}");
        assert!(!text.contains(site.config.files.root_certificate.to_str().unwrap()), "{text}");
        let list = ca::pem::read_certificates(authorities.as_bytes()).unwrap();
        let is_root = |der: &&Vec<u8>| {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
            certificate.subject() == certificate.issuer()
        };
        list.iter().filter(is_root).count()
    };
    let believed = || {
        let emqx = believed(Product::Broker(BrokerProduct::Emqx), 3);
        let rabbitmq = believed(Product::Broker(BrokerProduct::Rabbitmq), 2);
        [emqx, rabbitmq, believed(Product::Terminator(TerminatorProduct::Caddy), 1)]
    };
    assert_eq!(believed(), [1; 3]);
    let (root_key, passphrase_file) = (None, None);
    let new =
        NewCa::Made { new_root: true, root_key, encrypt: false, passphrase_file, lifetime: ISSUING_LIFETIME };
    let options = StartOptions { new, no_cross: true, signer: SignerOptions::default() };
    let admin = site.other_admin();
    start(&site.config, admin.store().as_ref(), &options, site.clock.now()).await.unwrap();
    admin.close().await.unwrap();
    until("the files with both roots", async || believed() == [2; 3]).await;
    for order in [Order::Switch, Order::Retire] {
        site.order(order).await;
    }
    until("the files with the new root alone", async || believed() == [1; 3]).await;
}

#[tokio::test]
async fn who_checks_every_ca_lets_devices_of_both_roots_in_and_sees_what_each_root_revokes() {
    let mut site = Site::new().await;
    let old = site.enroll(&site.device("SN-1").await).await;
    verify_all(&site, &old).unwrap();
    let started = site.begin_rollover(true).await;
    let home = started.folder.unwrap();
    assert_eq!(started.root_list.unwrap(), home.join("root-ca.crl.pem"));
    let pem = site.config.crl.pem.clone();
    let lists = || std::fs::read_to_string(&pem).unwrap().matches("BEGIN X509 CRL").count();
    until("the lists of both issuing CAs and both roots", async || lists() == 4).await;
    verify_all(&site, &old).unwrap();

    // Lists of one publication, as at a start, have one number, and caches still learn that there is another one.
    site.stop().await;
    site.start().await;
    let list = async |path: &str| {
        let reply = http(site.http(), path).await;
        (reply.header("etag").map(str::to_owned).unwrap_or_default(), reply.body)
    };
    let number = |der: &[u8]| {
        let (_, list) = x509_parser::parse_x509_crl(der).unwrap();
        list.crl_number().map(ToString::to_string)
    };
    until("lists with one number", async || {
        number(&list("/crl/1/0.crl").await.1) == number(&list("/crl/2/0.crl").await.1)
    })
    .await;
    let ((tag, _), (root_tag, old_list)) = (list("/crl.der").await, list("/crl/root.crl").await);
    site.order(Order::Switch).await;
    let moved = async || list("/crl/root.crl").await.1 != old_list;
    until("the new root's list", moved).await;
    until("the new CA's list", async || list("/crl.der").await.1 == list("/crl/2/0.crl").await.1).await;
    assert_eq!(with_tag(&site, "/crl.der", &tag).await.status, 200, "it is another CA's");
    assert_eq!(with_tag(&site, "/crl/root.crl", &root_tag).await.status, 200, "it is another root's");

    let new = site.enroll(&site.device("SN-2").await).await;
    for identity in [&old, &new] {
        verify_all(&site, identity).unwrap();
    }
    let end = |root: &ca::CaCertificate| {
        format!("enroll_root_ca_not_after_seconds {}\n", root.validity().not_after.as_secs())
    };
    let told = http(site.http(), "/metrics").await.text();
    assert!(told.contains(&end(started.plan.root_after())), "{told}");

    site.order(Order::Retire).await;
    until("the end of the old root's list", async || lists() == 2).await;
    verify_all(&site, &new).unwrap();
    verify_all(&site, &old).unwrap_err();

    // The new root's own list is seen, while the server runs and when it starts.
    let options = ListOptions {
        root: home.clone(),
        first: false,
        revoke: vec![home.join("issuing-ca.crt")],
        reason: ca::crl::Reason::KeyCompromise,
        valid: Duration::from_secs(86_400),
    };
    ceremony::list(&options, |_| unreachable!(), site.clock.now()).unwrap();
    until("a server that is not ready", async || http(site.http(), "/readyz").await.status == 503).await;
    until("the list for verifiers", async || {
        verify_all(&site, &new).is_err_and(|told| told.contains("certificate revoked"))
    })
    .await;
    site.stop().await;
    let clock = std::sync::Arc::new(site.clock.clone());
    let refused = enroll_server::startup::Server::start(site.config.clone(), clock).await.unwrap_err();
    assert!(refused.to_string().contains("the root has revoked this issuing CA"), "{refused}");
}
