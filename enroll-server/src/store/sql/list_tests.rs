//! Lists that have the newest first, page by page: certificates, keys and batches.

use core::time::Duration;

use shared::UnixTime;

use super::SqlStore;
use super::credentials::page_text;
use super::places::{Place, add_certificate, add_device, on_both};
use super::read::{page_of_all, page_of_device};
use crate::store::database::params;
use crate::store::{Credential, CredentialKind, ListPlace, NewCredential, Page, Store as _, StoreError};

const KEYS: &[CredentialKind] = &[CredentialKind::DeviceKey, CredentialKind::GroupKey];
const BATCHES: &[CredentialKind] = &[CredentialKind::Batch];

on_both!(
    pages_of_certificates_are_complete_and_never_too_long,
    pages_of_keys_and_of_batches_are_complete_and_never_too_long,
);

/// All of a list, in pages of `limit`.
async fn collected<T>(
    limit: u32,
    mut read: impl AsyncFnMut(Page<ListPlace>) -> Result<(Vec<T>, Option<ListPlace>), StoreError>,
) -> Vec<T> {
    let (mut page, mut found) = (Page::first(limit), Vec::new());
    loop {
        let (rows, next) = read(page).await.unwrap();
        assert!(rows.len() <= limit.clamp(1, 1_000) as usize);
        found.extend(rows);
        match next {
            Some(next) => page = Page { after: Some(next), limit },
            None => return found,
        }
    }
}

async fn certificates(store: &SqlStore, device: Option<&str>, limit: u32) -> Vec<(String, String)> {
    let device = device.map(|name| name.parse().unwrap());
    let rows = collected(limit, async |page| {
        let found = store.certificate_page(device.clone(), page).await?;
        let rows = found.certificates.iter().map(|row| (row.serial.to_string(), row.device.to_string()));
        Ok((rows.collect(), found.next))
    });
    rows.await
}

/// Of two devices, in all states, four in each second.
async fn pages_of_certificates_are_complete_and_never_too_long(place: Place) {
    let store = place.open();
    let filled = store.write(|c| {
        add_device(c, "SN-1", "enrolled")?;
        add_device(c, "SN-2", "enrolled")?;
        for number in 0..30_u8 {
            let state = if number % 3 == 0 { "issued" } else { "voided" };
            let device = if number % 2 == 0 { "SN-1" } else { "SN-2" };
            // Within a second, serial numbers are in no order.
            let serial = (number + 1) * 7 % 31;
            add_certificate(c, (device, serial, state, None))?;
            let sql = "UPDATE certificates SET recorded = ? WHERE serial = ?";
            c.execute(sql, params![100 + number / 4, [serial; 16]])?;
        }
        Ok(())
    });
    filled.await.unwrap();
    let whole = store.certificate_page(None, Page::first(1_000)).await.unwrap();
    assert_eq!((whole.certificates.len(), whole.next), (30, None));
    let all = certificates(&store, None, 1_000).await;
    for limit in [1, 3, 4, 29, 30, 31, 0, u32::MAX] {
        assert_eq!(certificates(&store, None, limit).await, all, "{limit}");
        let mut of_both = Vec::new();
        for device in ["SN-1", "SN-2"] {
            let of_one: Vec<_> = all.iter().filter(|(_, of)| of == device).cloned().collect();
            assert_eq!(of_one.len(), 15);
            assert_eq!(certificates(&store, Some(device), limit).await, of_one, "{limit}");
            of_both.extend(of_one);
        }
        assert_eq!(of_both.len(), all.len());
    }
    // The newest first, and a place is one although nothing is there.
    let times = store.read(|c| {
        let mut query =
            c.prepare_cached("SELECT serial FROM certificates ORDER BY recorded DESC, serial DESC")?;
        query.query_map(&[], |row| Ok(hex::encode(row.get::<_, Vec<u8>>("serial")?)))
    });
    assert_eq!(all.iter().map(|(serial, _)| serial.clone()).collect::<Vec<_>>(), times.await.unwrap());
    for (place, rows) in [("104-0", 16), ("0-00", 0), ("999999999999-ff", 30)] {
        let page = Page { after: Some(place.parse().unwrap()), limit: 1_000 };
        let found = store.certificate_page(None, page).await.unwrap().certificates.len();
        assert_eq!(found, rows, "{place}");
    }
}

/// Ten of each kind, three in each second.
async fn pages_of_keys_and_of_batches_are_complete_and_never_too_long(place: Place) {
    let store = place.open();
    let begin = UnixTime::from_secs(1_800_000_000);
    let mut made = Vec::new();
    for number in 0..30_u8 {
        let kind = CredentialKind::ALL[usize::from(number % 3)];
        let batch = kind == CredentialKind::Batch;
        let credential = Credential {
            id: format!("{:02x}{number:02x}", number.wrapping_mul(151)),
            kind,
            name: "x".into(),
            device: (kind == CredentialKind::DeviceKey).then(|| format!("SN-{number}").parse().unwrap()),
            group: None,
            hold: batch,
            created: begin.after(Duration::from_secs(u64::from(number / 3))),
            expires: None,
            revoked: None,
            quota: None,
            used: 0,
        };
        made.push(credential.clone());
        let (secret, certificate) = ((!batch).then(|| vec![1]), batch.then(|| vec![number]));
        store.add_credential(NewCredential { credential, secret, certificate }).await.unwrap();
    }
    assert_eq!(store.oldest_key().await.unwrap().as_ref(), made.first());
    store.revoke_credential(made[0].id.clone(), begin).await.unwrap();
    assert_eq!(store.oldest_key().await.unwrap().as_ref(), made.get(1));
    assert_eq!(store.credential(made[2].id.clone()).await.unwrap().as_ref(), made.get(2));
    assert_eq!(store.credential("none".into()).await.unwrap(), None);
    made[0].revoked = Some(begin);
    made.sort_by_key(|credential| core::cmp::Reverse((credential.created, credential.id.clone())));
    for kinds in [KEYS, BATCHES] {
        let expected: Vec<_> = made.iter().filter(|one| kinds.contains(&one.kind)).cloned().collect();
        for limit in [1, 3, 9, 10, 11, 0, u32::MAX] {
            let found = collected(limit, async |page| {
                let found = store.credentials(kinds, page).await?;
                Ok((found.credentials, found.next))
            });
            assert_eq!(found.await, expected, "{limit}");
        }
    }
}

/// With any number of rows a page costs its own and those of one second: none are passed over, and not all are sorted.
#[test]
fn a_page_is_read_along_an_index() {
    let place = Place::sqlite();
    for (sql, index, kinds) in [
        (page_of_all(), "certificates USING INDEX certificates_by_time (recorded<", 1),
        (
            page_of_device(),
            "certificates USING INDEX certificates_by_device (device=? AND state=? AND recorded<",
            5,
        ),
        (page_text(KEYS), "credentials USING INDEX credentials_by_time (kind=? AND (created,id)<", 2),
        (page_text(BATCHES), "credentials USING INDEX credentials_by_time (kind=? AND (created,id)<", 1),
    ] {
        let steps = place.plan(&sql);
        let reads: Vec<_> =
            steps.iter().filter(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")).collect();
        let along = reads.iter().filter(|step| step.contains(index)).count();
        let whole =
            |step: &&&String| step.starts_with("SCAN certificates") || step.starts_with("SCAN credentials");
        assert_eq!((along, reads.iter().filter(whole).count()), (kinds, 0), "{sql}: {steps:?}");
    }
}
