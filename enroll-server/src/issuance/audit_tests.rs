//! What an audit says of a database that somebody changed, and of what a server does itself.

use std::sync::Arc;

use ca::crl::Reason;
use reference_values::ReleaseKey;

use super::log_tests::{audit, log_all};
use super::tests::Bench;
use crate::kit::Operational;
use crate::store::Action;
use crate::transparency_log::audit::FindingKind;

/// Changes the database behind the server's back; gives what the audit then says.
async fn changed(bench: &Bench, sql: &str) -> Vec<(FindingKind, String)> {
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.execute_batch(sql).unwrap();
    let (findings, _) = audit(bench, None).await;
    findings.into_iter().map(|finding| (finding.kind, finding.subject)).collect()
}

#[tokio::test]
async fn a_certificate_that_was_put_on_another_list_is_named() {
    let address = |config: &mut crate::config::Config| {
        config.certificates.crl_url = Some("http://ca.example/{issuer}/{partition}.crl".to_owned());
    };
    let bench = Bench::with("", address).await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    bench.admin.act_on(&device.id, Action::Revoke(Reason::KeyCompromise)).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
    let serial = bench.admin.certificates(Some(&device.id)).await.unwrap()[0].serial.to_string();
    let expected = [(FindingKind::ColumnDiffers, serial)];
    for list in [0, 2] {
        let found = changed(&bench, &format!("UPDATE certificates SET crl_partition = {list}")).await;
        assert_eq!(found, expected, "{list}");
    }
    let sql =
        "UPDATE certificates SET crl_partition = 1; UPDATE crl_partitions SET url = 'http://other.example'";
    assert_eq!(changed(&bench, sql).await, expected);
}

/// Whatever an operator orders, the audit finds the device as it was last ordered to be, and in no other state.
#[tokio::test]
async fn a_device_that_was_put_back_into_service_is_named() {
    let bench = Bench::new("[enrollment]\nsecond = \"hold\"\n").await;
    let device = bench.device("SN-1").await;
    let transfer = Action::Transfer("lot-7".parse().unwrap());
    let orders = [
        Action::Suspend,
        Action::Resume,
        Action::Approve,
        transfer,
        Action::Suspend,
        Action::Return,
        Action::Suspend,
        Action::Revoke(Reason::KeyCompromise),
        Action::Retire,
    ];
    for (number, order) in orders.into_iter().enumerate() {
        if number == 0 || number == 4 {
            bench.enroll(&device).await.unwrap();
        }
        if number == 2 {
            let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
            bench.send(&body).await.unwrap();
        }
        let text = format!("{order:?}");
        bench.admin.act_on(&device.id, order).await.unwrap();
        if number % 2 == 0 {
            log_all(&bench).await;
        }
        let (findings, _) = audit(&bench, None).await;
        assert_eq!(findings, [], "{text}");
        let state = bench.admin.device(&device.id).await.unwrap().state.name();
        for other in ["registered", "enrolled", "suspended", "revoked", "retired"] {
            let out = |state: &str| ["suspended", "revoked", "retired"].contains(&state);
            let found = changed(&bench, &format!("UPDATE devices SET state = '{other}'")).await;
            let is_another = other != state && (out(other) || out(state));
            let expected = is_another.then(|| (FindingKind::DeviceStateDiffers, "SN-1".to_owned()));
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{text}: {state}, {other}");
        }
        assert_eq!(changed(&bench, &format!("UPDATE devices SET state = '{state}'")).await, []);
    }
}

#[tokio::test]
async fn a_key_for_releases_is_believed_from_its_event_to_its_removal() {
    let bench = Bench::new("").await;
    let store = Arc::clone(bench.issuance.store());
    let key = ReleaseKey::new("Example Maker", &spki()).unwrap();
    let now = bench.issuance.now();
    store.add_release_key(key.clone(), now).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await.0, []);
    store.remove_release_key(*key.sha256(), now).await.unwrap();
    assert_eq!(audit(&bench, None).await.0, []);
    let expected = [(FindingKind::TrustNotLogged, hex::encode(key.sha256()))];
    assert_eq!(changed(&bench, "UPDATE release_keys SET removed = NULL").await, expected);
    // Added again by an operator.
    bench.issuance.store().remove_release_key(*key.sha256(), now).await.unwrap();
    store.add_release_key(key.clone(), now).await.unwrap();
    assert_eq!(audit(&bench, None).await.0, []);
    let maker = changed(&bench, "UPDATE makers SET der = x'3000'").await;
    assert!(matches!(maker[..], [(FindingKind::TrustNotLogged, _)]), "{maker:?}");
}

/// A public key on P-256.
fn spki() -> Vec<u8> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let prefix = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    [prefix.as_slice(), pair.public_key().as_ref()].concat()
}
