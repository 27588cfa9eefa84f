//! Signing in by client certificate: those of the settings, whoever issued them, and no device's.

use aws_lc_rs::digest::{SHA256, digest};

use enroll_server::config::Administrator;
use enroll_server::dashboard::Role;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{Browser, leads_to, site_with};
use crate::kit::client::Identity;

/// A certificate that signs itself, good from 2020 until the end of `year`.
fn certificate(name: &str, year: i32) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 12, 31));
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Identity { chain: vec![der], key: key.serialize_der() }
}

fn administrator(name: &str, identity: &Identity, role: Role) -> Administrator {
    let sha256 = digest(&SHA256, &identity.chain[0]).as_ref().try_into().unwrap();
    Administrator { name: name.to_owned(), sha256, role }
}

#[tokio::test]
async fn a_certificate_of_the_settings_signs_in_and_has_to_stay() {
    let (ada, bob, old) = (certificate("ada", 2999), certificate("bob", 2999), certificate("old", 2021));
    let mut site = site_with(vec![
        administrator("ada", &ada, Role::Operator),
        administrator("bob", &bob, Role::Viewer),
        administrator("old", &old, Role::Admin),
    ])
    .await;
    let device = site.device("SN-1").await;
    let device = site.enroll(&device).await;

    let mut browser = Browser::new(&site).with_identity(&ada);
    assert_eq!(leads_to(&browser.get("/").await), Some("/sign-in"), "a certificate alone is no session");
    assert!(browser.get("/sign-in").await.text().contains("Sign in as ada"));
    assert_eq!(leads_to(&browser.enter("").await), Some("/"));
    browser.learn_token().await;
    let reply = browser.post("/devices/SN-1/suspend", "").await;
    assert_eq!(leads_to(&reply), Some("/devices/sn-1?done=suspended"));
    let newest = site.admin().events(1).await.unwrap().remove(0);
    assert!(newest.actor.starts_with("dashboard:ada/"), "{newest:?}");

    // The cookie alone is worth nothing, and nothing with the certificate of another.
    for thief in [Browser::new(&site), Browser::new(&site).with_identity(&bob)] {
        let thief = Browser { cookie: browser.cookie.clone(), ..thief };
        assert_eq!(leads_to(&thief.get("/").await), Some("/sign-in"));
    }
    // Nobody: a device of ours, a stranger, one whose certificate has ended, one without.
    for (who, identity) in [("device", &device), ("stranger", &certificate("ada", 2999)), ("old", &old)] {
        let mut nobody = Browser::new(&site).with_identity(identity);
        assert!(!nobody.get("/sign-in").await.text().contains("Sign in as"), "{who}");
        assert_eq!(leads_to(&nobody.enter("").await), Some("/sign-in"), "{who}");
        assert!(nobody.cookie.is_none(), "{who}");
    }
    assert_eq!(leads_to(&Browser::new(&site).enter("").await), Some("/sign-in"));

    // What the settings say today counts: she is a viewer now, and then she is not there any more.
    for (administrators, status) in [(vec![administrator("ada", &ada, Role::Viewer)], 200), (vec![], 303)] {
        site.config.dashboard = Some(super::settings(administrators));
        site.start().await;
        let again =
            Browser { cookie: browser.cookie.clone(), token: browser.token.clone(), ..Browser::new(&site) };
        let again = again.with_identity(&ada);
        assert_eq!(again.get("/").await.status, status);
        assert_ne!(
            leads_to(&again.post("/devices/SN-1/resume", "").await),
            Some("/devices/sn-1?done=resumed")
        );
    }
}
