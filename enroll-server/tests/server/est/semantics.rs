//! The same rules as in the native protocol: one key is one request, held requests, renewal within the grace period,
//! groups.

use core::time::Duration;

use enroll_server::config::Config;
use enroll_server::rollover::Order;
use enroll_server::store::{CertificateState, Label, Page, Selection, Via};

use super::{
    BOTH, Key, PKCS10, basic, certificate, certificates, enroll, idevid, refused, send, site, site_with, tls,
};
use crate::kit::device::{Device, Operational};
use crate::kit::until;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn one_key_is_one_request_for_as_long_as_its_certificate_lives() {
    let site = site("\"idevid-tls\", \"idevid-eat\"", "").await;
    let device = site.device("SN-1").await;
    let client = tls(&site).identity(&idevid(&device));
    let key = Key::new();
    let (one, two) =
        tokio::join!(enroll(&client, "simpleenroll", &key), enroll(&client, "simpleenroll", &key));
    let first = certificate(&one);
    assert_eq!(certificate(&two), first, "two at once");
    assert_eq!(certificate(&enroll(&client, "default/simpleenroll", &key).await), first);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
    // Another device does not get it, and not even the key.
    let other = site.device("SN-2").await;
    let by_other = tls(&site).identity(&idevid(&other));
    refused(&enroll(&by_other, "simpleenroll", &key).await, 403, "key-reused");
    // Nor does the native protocol certify it once more.
    let native = Operational { pair: key.pair, csr: key.csr.clone() };
    let body = device.enroll(site.nonce(&device.id).await, &native.csr);
    let reply = site.tls().post(shared::endpoint::ENROLL, &body).await;
    crate::kit::assert_refused(&reply, shared::Reject::KeyReused);
    let key = Key { pair: native.pair, csr: native.csr };
    site.later(DAY * 91);
    refused(&enroll(&client, "simpleenroll", &key).await, 403, "key-reused");
    assert_ne!(certificate(&enroll(&client, "simpleenroll", &Key::new()).await), first);
}

#[tokio::test]
async fn a_held_request_is_told_to_come_again_and_is_released_by_the_operator() {
    let site = site(BOTH, "[enrollment]\nfirst = \"hold\"").await;
    let device = site.device("SN-1").await;
    let client = tls(&site).identity(&idevid(&device));
    let key = Key::new();
    for _ in 0..2 {
        let reply = enroll(&client, "simpleenroll", &key).await;
        assert_eq!((reply.status, reply.header("retry-after")), (202, Some("60")), "{reply:?}");
        assert!(reply.text().starts_with("pending: "));
    }
    let held = site.admin().certificates(None).await.unwrap();
    assert_eq!((held.len(), held[0].state, held[0].via), (1, CertificateState::Held, Via::EstIdevid));
    site.admin().approve(&device.id).await.unwrap();
    certificate(&enroll(&client, "simpleenroll", &key).await);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn renewal_keeps_grace_and_order_of_the_native_protocol() {
    let site = site(BOTH, "[renewal]\ngrace_days = 10").await;
    let device = site.device("SN-1").await;
    let key = Key::new();
    let client = tls(&site).identity(&idevid(&device));
    let first = key.identity(certificate(&enroll(&client, "simpleenroll", &key).await));
    let by_first = tls(&site).identity(&first);
    refused(&enroll(&by_first, "simplereenroll", &key).await, 403, "key-reused");
    site.later(DAY * 95);
    let key = Key::new();
    let second = key.identity(certificate(&enroll(&by_first, "simplereenroll", &key).await));
    // An LDevID renews over either protocol, whichever it came by.
    let native = Operational::new();
    let body = Device::renew(&device.id, &native.csr);
    let reply = site.tls().identity(&second).post(shared::endpoint::RENEW, &body).await;
    let third = crate::kit::identity(&reply, &native);
    // Superseded by the one after the next.
    refused(&enroll(&by_first, "simplereenroll", &Key::new()).await, 403, "certificate-revoked");
    site.later(DAY * 101);
    let late = tls(&site).identity(&third);
    refused(&enroll(&late, "simplereenroll", &Key::new()).await, 403, "certificate-expired");
    let mut ways: Vec<_> =
        site.admin().certificates(None).await.unwrap().iter().map(|c| c.via.name()).collect();
    ways.sort_unstable();
    assert_eq!(ways, [Via::EstIdevid.name(), Via::EstLdevid.name(), Via::Native.name()]);
}

/// The rate of one device is that over both protocols, and as many certificates it gets at most.
#[tokio::test]
async fn a_device_that_renews_without_end_is_told_to_come_later() {
    let rate = |config: &mut Config| config.admission.identity_rate = Some("2/m".parse().unwrap());
    let site = site_with(BOTH, "", rate).await;
    let device = site.device("SN-1").await;
    let key = Key::new();
    let client = tls(&site).identity(&idevid(&device));
    let mut identity = key.identity(certificate(&enroll(&client, "simpleenroll", &key).await));
    for _ in 0..2 {
        let key = Key::new();
        let renewed = enroll(&tls(&site).identity(&identity), "simplereenroll", &key).await;
        identity = key.identity(certificate(&renewed));
    }
    let later = enroll(&tls(&site).identity(&identity), "simplereenroll", &Key::new()).await;
    assert_eq!(later.status, 429, "{later:?}");
    assert!(later.header("retry-after").is_some());
    let native = Device::renew(&device.id, &Operational::new().csr);
    let reply = site.tls().identity(&identity).post(shared::endpoint::RENEW, &native).await;
    crate::kit::assert_refused(&reply, shared::Reject::TooManyRequests);
}

#[tokio::test]
async fn a_label_is_a_group_and_only_its_devices_enroll_there() {
    let site = site(BOTH, "").await;
    let folder = &site.config.files.policy_groups;
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("cameras.toml"), "[evidence]\nkinds = [\"psa-token\", \"idevid-tls\"]\n")
        .unwrap();
    site.server().reload_policies();
    let device = site.device("SN-1").await;
    let client = tls(&site).identity(&idevid(&device));
    until("the group's policy", async || {
        send(&client, "GET", "cameras/cacerts", "", &[]).await.status == 200
    })
    .await;
    // What is wanted of a CSR is what the group's policy takes.
    let attributes = async |operation: &str| send(&client, "GET", operation, "", &[]).await.body.len();
    assert!(attributes("cameras/csrattrs").await > attributes("csrattrs").await);
    refused(&enroll(&client, "cameras/simpleenroll", &Key::new()).await, 403, "not-in-inventory");
    let (one, page) = (Selection::One(device.id.clone()), Page { after: None, limit: 10 });
    site.admin().label(one, Label::Group("cameras".parse().unwrap()), page).await.unwrap();
    refused(&enroll(&client, "default/simpleenroll", &Key::new()).await, 403, "not-in-inventory");
    certificate(&enroll(&client, "cameras/simpleenroll", &Key::new()).await);
    // Without a label it is the device's own group too: a token is not taken there.
    let token = site.admin().create_token(Some(&device.id), DAY).await.unwrap().text;
    let headers = format!("{PKCS10}{}", basic("SN-1", &token));
    let reply = send(&tls(&site), "POST", "simpleenroll", &headers, &Key::new().body()).await;
    refused(&reply, 403, "no-accepted-evidence-kind");
}

#[tokio::test]
async fn cacerts_are_root_and_issuing_ca_and_nothing_else() {
    let site = site(BOTH, "").await;
    let reply = send(&tls(&site), "GET", "cacerts", "", &[]).await;
    assert_eq!(reply.header("content-type"), Some("application/pkcs7-mime"));
    let found = async || {
        let mut found = certificates(&send(&tls(&site), "GET", "cacerts", "", &[]).await.body);
        found.sort();
        found
    };
    let sorted = |certificates: &[&[u8]]| {
        let mut all: Vec<Vec<u8>> = certificates.iter().map(|der| der.to_vec()).collect();
        all.sort();
        all
    };
    let pem = std::fs::read(&site.config.files.issuing_certificate).unwrap();
    let (root, issuing) = (site.root(), ca::pem::read_certificates(&pem).unwrap().remove(0));
    let first = sorted(&[&root, &issuing]);
    assert_eq!(found().await, first);

    // One that never came into force goes again, and so does one that is retired: its key may be stolen.
    let aborted = site.begin_rollover(true).await.plan;
    let both = sorted(&[&root, &issuing, aborted.root_after().der(), aborted.issuing.der()]);
    until("the new CA", async || found().await == both).await;
    site.order(Order::Abort).await;
    until("its end", async || found().await == first).await;
    let new = site.begin_rollover(true).await.plan;
    site.order(Order::Switch).await;
    // RFC 7030, section 4.1.3: the new root by the old one is there for those who trust only that.
    let (new_root, cross) = (new.root_after().der(), new.crosses[0].der());
    let both = sorted(&[&root, &issuing, new_root, new.issuing.der(), cross]);
    until("both CAs", async || found().await == both).await;
    site.order(Order::Retire).await;
    let last = sorted(&[new_root, new.issuing.der(), cross]);
    until("the end of the old CA", async || found().await == last).await;
}

#[tokio::test]
async fn the_default_policy_does_not_take_tls_alone() {
    let site = site("\"idevid-eat\", \"one-time-token\"", "").await;
    let device = site.device("SN-1").await;
    let reply = enroll(&tls(&site).identity(&idevid(&device)), "simpleenroll", &Key::new()).await;
    refused(&reply, 403, "no-accepted-evidence-kind");
}
