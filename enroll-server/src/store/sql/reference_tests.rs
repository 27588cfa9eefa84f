//! Reference values in the store: which version takes whose place, what must not come back, and what counts.

use appraisal::{Endorsements, MakerCa};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::PublicKeyData as _;
use reference_values::{Offer, Release, ReleaseKey, Trust};
use shared::UnixTime;

use super::SqlStore;
use crate::store::{
    EventQuery, ImportTerms, KeyAdded, ReferenceState, ReferenceStore as _, ReleaseOutcome, SetChange,
    SetImport, SetRefused, Store as _,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    a_later_version_takes_the_place_of_an_earlier_one,
    what_is_older_other_or_withdrawn_does_not_come_back_unless_forced,
    a_set_without_a_version_is_known_by_its_content,
    who_signs_the_same_anew_is_written_down,
    what_is_in_force_is_read_with_its_number,
    a_release_key_is_one_makers
);

/// A maker, and the key of its releases.
struct Maker {
    makers: Endorsements,
    key: ReleaseKey,
    signer: EcdsaKeyPair,
}

impl Maker {
    fn new() -> Self {
        let (key, ca) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&ca).unwrap().der().to_vec();
        Self {
            makers: Endorsements::new(vec![MakerCa::new("acme", &der).unwrap()]),
            signer: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.serialized_der()).unwrap(),
            key: ReleaseKey::new("acme", &key.subject_public_key_info()).unwrap(),
        }
    }

    fn open(&self, list: &str, signature: Option<&[u8]>) -> Release {
        let keys = core::slice::from_ref(&self.key);
        let trust = Trust { keys, makers: &self.makers, maker: Some("acme"), allow_unsigned: true, now: NOW };
        reference_values::open(&Offer { bytes: list.as_bytes(), signature }, &trust).unwrap()
    }

    /// A release that an operator vouches for.
    fn release(&self, list: &str) -> Release {
        self.open(list, None)
    }

    /// The same, signed.
    fn signed(&self, list: &str) -> Release {
        let signature = self.signer.sign(&SystemRandom::new(), list.as_bytes()).unwrap();
        self.open(list, Some(signature.as_ref()))
    }
}

/// A list with one value, of the set `app`.
fn list(version: Option<u64>, digest: u8) -> String {
    let release = version.map_or_else(String::new, |version| format!("# release: {version}\n"));
    format!(
        "# name: app\n{release}model,component,version,digest\nsensor-a,app,1,{}\n",
        hex::encode([digest; 32])
    )
}

fn terms() -> ImportTerms {
    let name = "unnamed".to_owned();
    ImportTerms { file_sha256: [7; 32], name, version: None, force: false, dry_run: false, now: NOW }
}

fn imported(version: u64, change: SetChange, replaces: Option<u64>) -> ReleaseOutcome {
    ReleaseOutcome::Imported(vec![SetImport { name: "app".into(), version, values: 1, change, replaces }])
}

/// Every version and how it stands, newest first.
async fn standing(store: &SqlStore) -> Vec<(u64, ReferenceState)> {
    let sets = store.reference_sets().await.unwrap();
    sets.iter().map(|set| (set.version, set.state)).collect()
}

use ReferenceState::{Active, Superseded, Withdrawn};

async fn a_later_version_takes_the_place_of_an_earlier_one(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let import = async |list: String, terms| store.import_release(maker.release(&list), terms).await.unwrap();
    let plan = ImportTerms { dry_run: true, ..terms() };
    assert_eq!(import(list(Some(3), 1), plan).await, imported(3, SetChange::Added, None));
    assert_eq!(standing(&store).await, [], "a plan changes nothing");

    assert_eq!(import(list(Some(3), 1), terms()).await, imported(3, SetChange::Added, None));
    assert_eq!(import(list(Some(3), 1), terms()).await, imported(3, SetChange::Unchanged, None));
    assert_eq!(standing(&store).await, [(3, Active)]);
    let next = imported(5, SetChange::Superseded, Some(3));
    assert_eq!(import(list(Some(5), 2), terms()).await, next);
    assert_eq!(standing(&store).await, [(5, Active), (3, Superseded)]);
    let sets = store.reference_sets().await.unwrap();
    assert_eq!((sets[0].ended, sets[1].ended), (None, Some(NOW)));
    assert_eq!(sets[0].signer_sha256, None);

    let events = store.events(EventQuery::last(10)).await.unwrap();
    assert_eq!(events.len(), 2, "what changed nothing is not said: {events:?}");
    let detail = format!("app version 5 of acme: 1 values, not signed; file {}", "07".repeat(32));
    assert_eq!((events[0].kind.as_str(), &events[0].detail), ("reference-values-imported", &detail));
}

async fn what_is_older_other_or_withdrawn_does_not_come_back_unless_forced(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let import = async |list: String, terms| store.import_release(maker.release(&list), terms).await.unwrap();
    let force = || ImportTerms { force: true, ..terms() };
    let name = || "app".to_owned();
    import(list(Some(3), 1), terms()).await;
    let older = SetRefused::Older { name: name(), found: 2, newest: 3 };
    assert_eq!(import(list(Some(2), 2), terms()).await, ReleaseOutcome::Refused(vec![older]));
    let differs = SetRefused::Differs { name: name(), version: 3 };
    assert_eq!(import(list(Some(3), 2), terms()).await, ReleaseOutcome::Refused(vec![differs]));
    assert_eq!(standing(&store).await, [(3, Active)]);

    let set = store.reference_sets().await.unwrap()[0].id;
    assert!(store.withdraw_reference(set, "leaked".into(), NOW).await.unwrap());
    assert!(!store.withdraw_reference(set, "again".into(), NOW).await.unwrap());
    let said = store.events(EventQuery::last(1)).await.unwrap().remove(0);
    assert_eq!(
        (said.kind.as_str(), said.detail.as_str()),
        ("reference-values-withdrawn", "app version 3 of acme: leaked")
    );
    let withdrawn = SetRefused::Withdrawn { name: name(), version: 3 };
    assert_eq!(import(list(Some(3), 1), terms()).await, ReleaseOutcome::Refused(vec![withdrawn]));
    assert_eq!(standing(&store).await, [(3, Withdrawn)]);

    assert_eq!(import(list(Some(3), 1), force()).await, imported(3, SetChange::Added, None));
    assert_eq!(import(list(Some(2), 2), force()).await, imported(2, SetChange::Superseded, Some(3)));
    assert_eq!(import(list(Some(3), 2), force()).await, imported(3, SetChange::Superseded, Some(2)));
    let all = [(3, Active), (3, Superseded), (3, Withdrawn), (2, Superseded)];
    assert_eq!(standing(&store).await, all);
}

async fn a_set_without_a_version_is_known_by_its_content(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let import =
        async |digest, terms| store.import_release(maker.release(&list(None, digest)), terms).await.unwrap();
    assert_eq!(import(1, terms()).await, imported(1, SetChange::Added, None));
    assert_eq!(import(2, terms()).await, imported(2, SetChange::Superseded, Some(1)));
    assert_eq!(import(2, terms()).await, imported(2, SetChange::Unchanged, None));
    let older = SetRefused::Older { name: "app".into(), found: 1, newest: 2 };
    assert_eq!(
        import(1, terms()).await,
        ReleaseOutcome::Refused(vec![older]),
        "an old file is an old version"
    );
    let said = ImportTerms { version: Some(9), ..terms() };
    assert_eq!(import(1, said).await, imported(9, SetChange::Superseded, Some(2)));
    assert_eq!(import(3, terms()).await, imported(10, SetChange::Superseded, Some(9)));
}

async fn who_signs_the_same_anew_is_written_down(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let text = list(Some(1), 1);
    let import = async |release| store.import_release(release, terms()).await.unwrap();
    import(maker.release(&text)).await;
    assert_eq!(import(maker.signed(&text)).await, imported(1, SetChange::Superseded, Some(1)));
    assert_eq!(import(maker.signed(&text)).await, imported(1, SetChange::Unchanged, None));
    // That nobody does any more takes nothing away.
    assert_eq!(import(maker.release(&text)).await, imported(1, SetChange::Unchanged, None));
    let sets = store.reference_sets().await.unwrap();
    let signers: Vec<_> = sets.iter().map(|set| set.signer_sha256).collect();
    assert_eq!(signers, [Some(*maker.key.sha256()), None]);
    let said = store.events(EventQuery::last(1)).await.unwrap().remove(0).detail;
    let by = format!("signed by the release key {}", hex::encode(maker.key.sha256()));
    assert!(said.contains(&by), "{said}");
}

async fn what_is_in_force_is_read_with_its_number(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let import = async |list: String| store.import_release(maker.release(&list), terms()).await.unwrap();
    let number = async || store.active_reference().await.unwrap().0;
    let (before, values) = store.active_reference().await.unwrap();
    assert!(values.is_empty());
    import(list(Some(1), 1)).await;
    let first = number().await;
    assert!(first > before);
    import(list(Some(1), 1)).await;
    assert_eq!(number().await, first, "nothing changed");
    import(list(Some(2), 2)).await;
    let second = number().await;
    assert!(second > first);

    let (_, values) = store.active_reference().await.unwrap();
    let sets = store.reference_sets().await.unwrap();
    let known = store.reference_values_of(sets[0].id, 10).await.unwrap();
    assert_eq!(known, values.iter().cloned().collect::<Vec<_>>());
    assert_eq!(known[0].digest, [2; 32]);
    assert_eq!((known[0].model.as_deref(), known[0].component.as_str()), (Some("sensor-a"), "app"));
    // A digest is found in whatever state its set is.
    for (digest, state) in [([1; 32], Superseded), ([2; 32], Active)] {
        let found = store.find_digest(digest.to_vec()).await.unwrap();
        let [(set, known)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((set.state, &known.digest[..]), (state, &digest[..]));
    }
    assert_eq!(store.find_digest(vec![9; 32]).await.unwrap().len(), 0);

    assert!(store.withdraw_reference(sets[0].id, String::new(), NOW).await.unwrap());
    let (third, values) = store.active_reference().await.unwrap();
    assert!(third > second && values.is_empty());
}

async fn a_release_key_is_one_makers(place: Place) {
    let (store, maker) = (place.open(), Maker::new());
    let add = async |key: &ReleaseKey| store.add_release_key(key.clone(), NOW).await.unwrap();
    assert_eq!(add(&maker.key).await, KeyAdded::Added);
    assert_eq!(add(&maker.key).await, KeyAdded::Known);
    let zenith = ReleaseKey::new("zenith", maker.key.spki()).unwrap();
    assert_eq!(add(&zenith).await, KeyAdded::OfAnother("acme".into()));
    let keys = store.release_keys().await.unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!((key.maker.as_str(), &key.spki[..]), ("acme", maker.key.spki()));

    assert!(store.remove_release_key(*maker.key.sha256(), NOW).await.unwrap());
    assert!(!store.remove_release_key(*maker.key.sha256(), NOW).await.unwrap());
    assert_eq!(store.release_keys().await.unwrap(), []);
    assert_eq!(add(&zenith).await, KeyAdded::OfAnother("acme".into()), "not even when it is removed");
    assert_eq!(add(&maker.key).await, KeyAdded::Added);
    let kinds: Vec<_> =
        store.events(EventQuery::last(9)).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["release-key-added", "release-key-removed", "release-key-added"]);
}
