//! Looking for devices by any identity, page by page; groups and tags.

use shared::{DeviceId, UnixTime};

use super::search::EXPIRING;
use super::{SqlStore, read};
use crate::store::database::params;
use crate::store::{
    Action, DeviceFilter, DeviceState, InventoryEntry, Label, MAX_TAGS, Page, Selection, Store as _, Tag,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn tags(list: &str) -> Vec<Tag> {
    list.split(' ').map(|tag| tag.parse().unwrap()).collect()
}

on_both!(
    a_device_is_found_by_any_of_its_identities,
    pages_are_complete_and_never_too_long,
    labels_are_put_on_many_and_never_too_many_on_one,
    devices_that_run_out_are_found_by_the_last_end_of_their_certificates
);

/// Forty devices: every second of another model, each with an identity, one with a certificate.
async fn filled(place: &Place) -> SqlStore {
    let store = place.open();
    let entries = (0..40_u8).map(|number| InventoryEntry {
        device: device(&format!("SN-{number:02}")),
        model: Some(if number % 2 == 0 { "sensor-a".into() } else { "50%_off\\".into() }),
        idevid_sha256: Some([number + 0x10; 32]),
        group: None,
        tags: Vec::new(),
    });
    store.import(entries.collect(), NOW).await.unwrap();
    let certificate = store.write(|c| {
        c.execute(
            "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
             recorded, der) VALUES (?1, 'SN-03', 'issued', ?3, ?2, ?2, 1, 4000000000, 2, ?4)",
            params![hex::decode("ab12".repeat(8)).unwrap(), hex::decode("cd34".repeat(16)).unwrap(), [0_u8; 65], [0x30_u8]],
        )
    });
    assert_eq!(certificate.await.unwrap(), 1);
    store
}

async fn names(store: &SqlStore, filter: DeviceFilter) -> Vec<String> {
    let found = store.devices(filter, Page::first(100)).await.unwrap();
    found.devices.iter().map(|device| device.device.to_string()).collect()
}

fn find(text: &str) -> DeviceFilter {
    DeviceFilter { find: Some(text.parse().unwrap()), ..DeviceFilter::default() }
}

async fn a_device_is_found_by_any_of_its_identities(place: Place) {
    let store = filled(&place).await;
    let one = Selection::One(device("SN-05"));
    let label = Label::add(tags("site:Berlin env=prod"));
    store.label(one.clone(), label, Page::first(1), NOW).await.unwrap();
    store.label(one, Label::Group("lot-7".parse().unwrap()), Page::first(1), NOW).await.unwrap();
    for (text, expected) in [
        ("sn-0", 10),
        ("SN-05", 1),
        ("N-3", 10),
        ("berlin", 1),
        ("LOT", 1),
        ("ab12ab", 1),
        ("AB12AB12", 1),
        ("cd34c", 1),
        ("2323", 1),
        ("232", 0),
        ("sensor", 20),
        ("%", 20),
        ("_", 20),
        ("\\", 20),
        ("50%_off", 20),
        ("5x%", 0),
        ("'; DROP TABLE devices; --", 0),
    ] {
        assert_eq!(names(&store, find(text)).await.len(), expected, "{text}");
    }
    assert_eq!(names(&store, find("cd34cd")).await, ["SN-03"]);
    let filter = |change: fn(&mut DeviceFilter)| {
        let mut filter = DeviceFilter::default();
        change(&mut filter);
        filter
    };
    let by = [
        (filter(|f| f.prefix = Some("SN-1".into())), 10),
        (filter(|f| f.prefix = Some("sn-1".into())), 0),
        (filter(|f| f.model = Some("sensor-a".into())), 20),
        (filter(|f| f.group = Some("lot-7".parse().unwrap())), 1),
        (filter(|f| f.group = Some("default".parse().unwrap())), 39),
        (filter(|f| f.tags = tags("env=prod")), 1),
        (filter(|f| f.tags = tags("env=prod other")), 0),
        (filter(|f| f.state = Some(DeviceState::Registered)), 40),
        (filter(|f| f.state = Some(DeviceState::Suspended)), 0),
    ];
    for (filter, expected) in by {
        assert_eq!(names(&store, filter.clone()).await.len(), expected, "{filter:?}");
    }
    let retire = Selection::One(device("SN-09"));
    store.act(retire, Action::Retire, Page::first(1), NOW).await.unwrap();
    assert_eq!(names(&store, filter(|f| f.state = Some(DeviceState::Retired))).await, ["SN-09"]);
}

async fn pages_are_complete_and_never_too_long(place: Place) {
    let store = filled(&place).await;
    for limit in [1, 7, 39, 40, 41, 0, u32::MAX] {
        let (mut page, mut found) = (Page::first(limit), Vec::new());
        loop {
            let part = store.devices(DeviceFilter::default(), page).await.unwrap();
            assert!(part.devices.len() <= limit.clamp(1, 1_000) as usize);
            found.extend(part.devices.into_iter().map(|device| device.device.to_string()));
            match part.next {
                Some(next) => page = Page { after: Some(next), limit },
                None => break,
            }
        }
        let expected: Vec<_> = (0..40).map(|number| format!("SN-{number:02}")).collect();
        assert_eq!(found, expected, "{limit}");
    }
    let last = Page { after: Some(device("SN-39")), limit: 5 };
    assert!(store.devices(DeviceFilter::default(), last).await.unwrap().devices.is_empty());
}

async fn devices_that_run_out_are_found_by_the_last_end_of_their_certificates(place: Place) {
    let store = filled(&place).await;
    store.add_issuers(vec![([1; 32], vec![0x30]), ([2; 32], vec![0x30])], NOW).await.unwrap();
    // By device: state, end and CA of its certificates. SN-03 has one until 4000000000 besides.
    let rows = [
        ("SN-03", "issued", 100_i64, 1_i64),
        ("SN-05", "issued", 100, 1),
        ("SN-06", "issued", 99, 2),
        ("SN-07", "issued", 99, 1),
        ("SN-07", "issued", 101, 2),
        ("SN-08", "revoked", 99, 1),
    ];
    let added = store.write(move |c| {
        let mut added = 0;
        for (number, (device, state, end, issuer)) in (1_u8..).zip(rows) {
            let revoked = (state == "revoked").then_some(2_i64);
            added += c.execute(
                "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, \
                 not_after, recorded, der, issuer, revoked, reason) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1, ?6, 2, ?7, ?8, ?9, ?10)",
                params![
                    vec![number; 16],
                    device,
                    state,
                    vec![0_u8; 65],
                    vec![number; 32],
                    end,
                    vec![0x30_u8],
                    issuer,
                    revoked,
                    revoked.map(|_| "unspecified")
                ],
            )?;
        }
        Ok(added)
    });
    assert_eq!(added.await.unwrap(), rows.len());
    let before =
        |end: u64| DeviceFilter { expires_before: Some(UnixTime::from_secs(end)), ..DeviceFilter::default() };
    for (end, expected) in [
        (99, &[][..]),
        (100, &["SN-06"]),
        (101, &["SN-05", "SN-06"]),
        (102, &["SN-05", "SN-06", "SN-07"]),
        (4_000_000_000, &["SN-05", "SN-06", "SN-07"]),
        (4_000_000_001, &["SN-03", "SN-05", "SN-06", "SN-07"]),
    ] {
        assert_eq!(names(&store, before(end)).await, expected, "{end}");
    }
    // Conditions add up, and pages are pages.
    let prefix = Some("SN-06".to_owned());
    assert_eq!(names(&store, DeviceFilter { prefix, ..before(102) }).await, ["SN-06"]);
    let page = store.devices(before(102), Page { after: Some(device("SN-05")), limit: 1 }).await.unwrap();
    assert_eq!(page.devices.len(), 1);
    assert_eq!(page.next, Some(device("SN-06")));
}

/// What is read of the certificates are those that end before, CA by CA, and then those of the devices found.
#[test]
fn devices_that_run_out_are_found_by_indexes() {
    let sql = format!("{} WHERE {EXPIRING} ORDER BY device LIMIT ?", read::DEVICES);
    let steps = Place::sqlite().plan(&sql);
    for index in [
        "SEARCH certificates USING COVERING INDEX certificates_live (issuer=? AND not_after<?)",
        "SEARCH later USING INDEX certificates_by_device (device=?",
    ] {
        assert!(steps.iter().any(|step| step.contains(index)), "{index}: {steps:?}");
    }
}

async fn labels_are_put_on_many_and_never_too_many_on_one(place: Place) {
    let store = filled(&place).await;
    let all = Selection::Group("default".parse().unwrap());
    let put = async |selection: &Selection, label: Label| {
        store.label(selection.clone(), label, Page::first(1_000), NOW).await.unwrap()
    };
    let done = put(&all, Label::add(tags("a b a"))).await;
    assert_eq!((done.seen, done.changed), (40, 40));
    assert_eq!(put(&all, Label::add(tags("b"))).await.changed, 0, "to repeat it changes nothing");
    let many: Vec<String> = (0..MAX_TAGS).map(|number| format!("t{number}")).collect();
    let one = Selection::One(device("SN-00"));
    let full = put(&one, Label::add(tags(&many.join(" ")))).await;
    assert_eq!((full.changed, full.full.as_slice()), (0, &["SN-00".to_owned()][..]));
    let both = Label::Tags { remove: tags("a"), add: tags(&many.join(" ")) };
    assert_eq!(put(&one, both).await.full, ["SN-00"], "what does not fit takes nothing away either");
    assert_eq!(store.device(&device("SN-00")).await.unwrap().unwrap().tags, tags("a b"));
    assert_eq!(put(&one, Label::Tags { remove: tags("a c"), add: tags("d a") }).await.changed, 1);
    assert_eq!(store.device(&device("SN-00")).await.unwrap().unwrap().tags, tags("a b d"));
    assert_eq!(put(&one, Label::remove(tags("d"))).await.changed, 1);
    assert_eq!(put(&Selection::Tag("b".parse().unwrap()), Label::remove(tags("a c"))).await.changed, 40);
    assert_eq!(store.device(&device("SN-00")).await.unwrap().unwrap().tags, tags("b"));
    let moved = put(&Selection::Tag("b".parse().unwrap()), Label::Group("lot-8".parse().unwrap())).await;
    assert_eq!((moved.seen, moved.changed), (40, 40));
    assert_eq!(put(&all, Label::add(tags("x"))).await.seen, 0);
}
