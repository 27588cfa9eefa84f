//! What `audit verify` says of tokens, credentials and attestation keys: nothing where operators made them and devices used them,
//! and the row by name where somebody wrote into the database.

use core::time::Duration;

use ca::crl::Reason;
use shared::UnixTime;

use super::{Bench, CLAIMS, KINDS, Lot, OPEN, for_device, for_group, id, token_for};
use crate::audit::EventKind;
use crate::credential::TokenRequest;
use crate::issuance::Outcome;
use crate::issuance::log_tests::{audit, log_all};
use crate::issuance::planted_tests::{bench, blob};
use crate::issuance::tests::DAY;
use crate::store::{Action, CredentialKind, EventQuery, NewAttestationKey, NewEvent, Page, Place, on_both};

on_both!(
    an_orderly_life_has_no_finding,
    every_row_that_was_put_in_or_changed_is_found_and_named,
    what_older_versions_made_is_known_by_what_their_events_say,
);

fn attestation_key(number: u8) -> NewAttestationKey {
    let device = id(&format!("PSA-{number}"));
    NewAttestationKey { instance: [number; 32], device, spki: vec![0x30, number], maker: None, model: None }
}

/// One of each: a token, a key of a device, a key of a group, a batch and an attestation key.
struct Made {
    token: String,
    device_key: String,
    group_key: String,
    batch: String,
}

async fn one_of_each(bench: &Bench) -> Made {
    let token = bench.admin.create_tokens(&token_for("lot-7", true), 1).await.unwrap().remove(0);
    let device_key = bench.key(for_device("SN-9")).await.credential.id;
    let group_key = bench.key(for_group("lot-8")).await.credential.id;
    let batch = bench.batch(&Lot::new(), false, Some(3)).await;
    bench
        .issuance
        .store()
        .add_attestation_keys(vec![attestation_key(1)], bench.issuance.now())
        .await
        .unwrap();
    Made { token: token.token.id, device_key, group_key, batch }
}

/// What the audit finds: names and subjects.
async fn found(bench: &Bench) -> Vec<(&'static str, String)> {
    log_all(bench).await;
    audit(bench, None).await.0.into_iter().map(|finding| (finding.kind.name(), finding.subject)).collect()
}

async fn an_orderly_life_has_no_finding(place: Place) {
    let bench = bench(&format!("{CLAIMS}{OPEN}"), &place).await;
    let made = one_of_each(&bench).await;
    assert_eq!(found(&bench).await, []);

    // Used, revoked, past its end, and revoked with its device's return.
    let tokens = bench.admin.create_tokens(&token_for("lot-7", false), 3).await.unwrap();
    let by_token = bench.by_token("SN-1", &tokens[0].text);
    assert!(matches!(bench.send(&by_token).await.unwrap(), Outcome::Granted(_)));
    bench.admin.revoke_token(&tokens[1].token.id).await.unwrap();
    bench.device("SN-2").await;
    let of_device = TokenRequest { device: Some(id("SN-2")), group: None, ..token_for("lot-7", false) };
    let of_device = bench.admin.create_tokens(&of_device, 1).await.unwrap().remove(0);
    bench.admin.act_on(&id("SN-2"), Action::Return).await.unwrap();
    let said = EventQuery { kinds: vec![EventKind::TokenRevoked], ..EventQuery::last(1) };
    let said = bench.issuance.store().events(said).await.unwrap().remove(0);
    assert_eq!(
        (said.device.as_deref(), said.detail),
        (Some("SN-2"), format!("token {}", of_device.token.id))
    );
    bench.later(DAY * 400);
    // Exchanged, and what a credential brought in counted.
    let lot = Lot::new();
    let batch = bench.batch(&lot, false, Some(1)).await;
    assert!(matches!(bench.send(&bench.by_claim("SN-3", &lot)).await.unwrap(), Outcome::Granted(_)));
    let newer = bench.key(for_device("SN-9")).await;
    for key in [&made.device_key, &made.group_key] {
        bench.admin.revoke_credential(key, KINDS).await.unwrap();
    }
    bench.admin.revoke_credential(&batch, &[CredentialKind::Batch]).await.unwrap();
    bench.admin.revoke_credential(&batch, &[CredentialKind::Batch]).await.unwrap();
    bench.admin.revoke(&id("SN-1"), Reason::KeyCompromise).await.unwrap();
    // More than one event holds, with some that are there; retired, and registered again.
    let (store, now) = (bench.issuance.store(), bench.issuance.now());
    let many: Vec<_> = (0..100).map(attestation_key).collect();
    assert_eq!(store.add_attestation_keys(many, now).await.unwrap().added, 99);
    for number in [1, 50] {
        store.remove_attestation_key([number; 32], now).await.unwrap();
    }
    store.add_attestation_keys(vec![attestation_key(50)], now.after(DAY)).await.unwrap();
    assert_eq!(found(&bench).await, []);
    assert_ne!(newer.credential.id, made.device_key);
}

async fn every_row_that_was_put_in_or_changed_is_found_and_named(place: Place) {
    let bench = bench(&format!("{CLAIMS}{OPEN}"), &place).await;
    let made = one_of_each(&bench).await;
    let gone = one_of_each_revoked(&bench).await;
    bench
        .issuance
        .store()
        .add_attestation_keys(vec![attestation_key(2)], bench.issuance.now())
        .await
        .unwrap();
    bench.issuance.store().remove_attestation_key([2; 32], bench.issuance.now()).await.unwrap();
    assert_eq!(found(&bench).await, []);
    let (forged, instance) = ("0f0f0f0f0f0f", "0f".repeat(32));
    let hash = blob(&place, &[0x0f; 32]);
    let token = |set: &str, undo: &str| {
        let of = |set: &str| format!("UPDATE tokens SET {set} WHERE id = '{}'", made.token);
        (of(set), of(undo), "grant-differs", made.token.clone())
    };
    let credential = |id: &str, set: &str, undo: &str| {
        let of = |set: &str| format!("UPDATE credentials SET {set} WHERE id = '{id}'");
        (of(set), of(undo), "grant-differs", id.to_owned())
    };
    let key = |set: &str, undo: &str| {
        let of = |set: &str| format!("UPDATE attestation_keys SET {set} WHERE device = 'PSA-1'");
        (of(set), of(undo), "grant-not-logged", "01".repeat(32))
    };
    let cases = [
        (
            format!(
                "INSERT INTO tokens (sha256, id, created, expires) VALUES ({hash}, '{forged}', 1, 4000000000)"
            ),
            format!("DELETE FROM tokens WHERE id = '{forged}'"),
            "grant-not-logged",
            forged.to_owned(),
        ),
        // A name that sorts before all others.
        (
            format!("INSERT INTO tokens (sha256, id, created, expires) VALUES ({hash}, '', 1, 4000000000)"),
            "DELETE FROM tokens WHERE id = ''".to_owned(),
            "grant-not-logged",
            String::new(),
        ),
        (
            format!(
                "INSERT INTO credentials (id, kind, name, device_group, certificate, created) \
                 SELECT '{forged}', kind, name, device_group, certificate, created FROM credentials WHERE id = '{}'",
                made.batch
            ),
            format!("DELETE FROM credentials WHERE id = '{forged}'"),
            "grant-not-logged",
            forged.to_owned(),
        ),
        (
            format!(
                "INSERT INTO attestation_keys (instance, device, spki, added) \
                 SELECT {hash}, 'SN-66', {hash}, added FROM attestation_keys"
            ),
            "DELETE FROM attestation_keys WHERE device = 'SN-66'".to_owned(),
            "grant-not-logged",
            instance,
        ),
        (
            format!(
                "INSERT INTO attestation_keys (instance, device, spki, added) VALUES ({}, 'PSA-2', {}, 1)",
                blob(&place, &[2; 32]),
                blob(&place, &[0x30, 2])
            ),
            "DELETE FROM attestation_keys WHERE device = 'PSA-2'".to_owned(),
            "grant-not-logged",
            "02".repeat(32),
        ),
        token("expires = expires + 86400", "expires = expires - 86400"),
        token("created = created + 1", "created = created - 1"),
        token("device = 'SN-66'", "device = NULL"),
        token("device_group = NULL", "device_group = 'lot-7'"),
        credential(&made.batch, "quota = 1000", "quota = 3"),
        credential(&made.batch, "quota = NULL", "quota = 3"),
        credential(&made.batch, "expires = 1", "expires = NULL"),
        credential(&made.batch, "hold = 1", "hold = 0"),
        credential(&made.batch, "device_group = 'a'", "device_group = 'lot-7'"),
        credential(&made.group_key, "name = 'lot-7'", "name = 'lot-8'"),
        credential(&made.device_key, "device = 'SN-8'", "device = 'SN-9'"),
        key("model = 'other'", "model = NULL"),
        key(&format!("spki = {hash}"), &format!("spki = {}", blob(&place, &[0x30, 1]))),
        (
            format!("UPDATE tokens SET revoked = 0 WHERE id = '{}'", gone.token),
            format!("UPDATE tokens SET revoked = 1 WHERE id = '{}'", gone.token),
            "grant-in-force",
            gone.token.clone(),
        ),
        (
            format!("UPDATE credentials SET revoked = NULL WHERE id = '{}'", gone.batch),
            format!("UPDATE credentials SET revoked = 1 WHERE id = '{}'", gone.batch),
            "grant-in-force",
            gone.batch.clone(),
        ),
        (
            format!("UPDATE credentials SET revoked = NULL WHERE id = '{}'", gone.device_key),
            format!("UPDATE credentials SET revoked = 1 WHERE id = '{}'", gone.device_key),
            "grant-in-force",
            gone.device_key.clone(),
        ),
    ];
    for (harm, mend, kind, subject) in cases {
        place.sql(&harm);
        assert_eq!(found(&bench).await, [(kind, subject)], "{harm}");
        place.sql(&mend);
        assert_eq!(found(&bench).await, [], "{mend}");
    }
    // Whose text another one knows: what stands there is a hash of it.
    place.sql(&format!("UPDATE tokens SET sha256 = {hash} WHERE id = '{}'", made.token));
    assert_eq!(found(&bench).await, [("grant-differs", made.token.clone())]);
    // The group's key counts again where the device's own is gone.
    place.sql(&format!("DELETE FROM tokens; DELETE FROM credentials WHERE id = '{}'", made.device_key));
    assert_eq!(found(&bench).await, [("credential-missing", made.device_key)]);
}

/// One of each that is revoked, the attestation key excepted.
async fn one_of_each_revoked(bench: &Bench) -> Made {
    let token = bench.admin.create_tokens(&token_for("lot-7", false), 1).await.unwrap().remove(0).token.id;
    bench.admin.revoke_token(&token).await.unwrap();
    let device_key = bench.key(for_device("SN-5")).await.credential.id;
    let group_key = bench.key(for_group("a")).await.credential.id;
    for key in [&device_key, &group_key] {
        bench.admin.revoke_credential(key, KINDS).await.unwrap();
    }
    let batch = bench.batch(&Lot::new(), true, None).await;
    bench.admin.revoke_credential(&batch, &[CredentialKind::Batch]).await.unwrap();
    Made { token, device_key, group_key, batch }
}

/// Their events have no hashes: the words, the device and the time have to do.
async fn what_older_versions_made_is_known_by_what_their_events_say(place: Place) {
    let bench = bench(OPEN, &place).await;
    let at = UnixTime::from_secs(1_700_000_000);
    let store = bench.issuance.store();
    let event = async |kind, device: Option<&str>, detail: String| {
        let event = NewEvent::new(at, kind, detail);
        let event = match device {
            Some(device) => event.about(&id(device)),
            None => event,
        };
        store.add_event(event, Duration::ZERO).await.unwrap();
    };
    let until = UnixTime::from_secs(1_700_086_400);
    event(EventKind::TokenCreated, None, format!("token 0a until {until}")).await;
    event(EventKind::CredentialCreated, Some("SN-1"), "device-key 0b (SN-1)".into()).await;
    event(EventKind::AttestationKeysAdded, None, "2 added, 1 unchanged, 0 conflicting".into()).await;
    event(EventKind::AttestationKeysAdded, Some("PSA-3"), "1 added, 0 unchanged, 0 conflicting".into()).await;
    let bytes = |number: u8| blob(&place, &[number; 32]);
    let key = |number: u8, device: &str| {
        format!(
            "INSERT INTO attestation_keys (instance, device, spki, added) VALUES ({0}, '{device}', {0}, 1700000000);",
            bytes(number)
        )
    };
    place.sql(&format!(
        "INSERT INTO tokens (sha256, id, created, expires) VALUES ({0}, '0a', 1700000000, 1700086400); \
         INSERT INTO credentials (id, kind, name, device, secret, created) \
         VALUES ('0b', 'device-key', 'SN-1', 'SN-1', {0}, 1700000000); {1} {2} {3}",
        bytes(1),
        key(1, "PSA-1"),
        key(2, "PSA-2"),
        key(3, "PSA-3")
    ));
    assert_eq!(found(&bench).await, []);
    for (harm, mend, kind, subject) in [
        (
            key(4, "PSA-4"),
            "DELETE FROM attestation_keys WHERE device = 'PSA-4'",
            "grant-not-logged",
            "04".repeat(32),
        ),
        (
            "UPDATE attestation_keys SET device = 'SN-66' WHERE device = 'PSA-3'".into(),
            "UPDATE attestation_keys SET device = 'PSA-3' WHERE device = 'SN-66'",
            "grant-not-logged",
            "03".repeat(32),
        ),
        (
            "UPDATE attestation_keys SET added = added + 1 WHERE device = 'PSA-1'".into(),
            "UPDATE attestation_keys SET added = added - 1 WHERE device = 'PSA-1'",
            "grant-not-logged",
            "01".repeat(32),
        ),
        (
            "UPDATE tokens SET expires = expires + 1".into(),
            "UPDATE tokens SET expires = expires - 1",
            "grant-differs",
            "0a".to_owned(),
        ),
        (
            "UPDATE tokens SET device = 'SN-1'".into(),
            "UPDATE tokens SET device = NULL",
            "grant-differs",
            "0a".to_owned(),
        ),
        (
            "UPDATE credentials SET device = 'SN-2'".into(),
            "UPDATE credentials SET device = 'SN-1'",
            "grant-differs",
            "0b".to_owned(),
        ),
    ] {
        place.sql(&harm);
        assert_eq!(found(&bench).await, [(kind, subject)], "{harm}");
        place.sql(mend);
        assert_eq!(found(&bench).await, [], "{mend}");
    }
    bench.admin.revoke_token("0a").await.unwrap();
    assert_eq!(found(&bench).await, []);
    place.sql("UPDATE tokens SET revoked = 0");
    assert_eq!(found(&bench).await, [("grant-in-force", "0a".to_owned())]);
    assert_eq!(bench.admin.tokens(Page::first(9)).await.unwrap().tokens.len(), 1);
}
