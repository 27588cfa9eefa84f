//! What a start over an older database brings in of certificates and lists, to the last detail that lists are made of.

use ca::crl::Reason;

use super::log_tests::log_all;
use super::restored_tests::{back_up, start};
use super::signing;
use super::tests::{Bench, publisher};
use crate::store::{Action, DeviceState};

/// Each certificate with its state and its list, by serial number.
fn standing(bench: &Bench) -> Vec<(Vec<u8>, String, u32)> {
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.busy_timeout(core::time::Duration::from_secs(5)).unwrap();
    let mut query =
        raw.prepare("SELECT serial, state, crl_partition FROM certificates ORDER BY serial").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn certificates_are_on_the_lists_that_they_name_and_all_that_was_revoked_is_counted() {
    let mut bench = Bench::with("", |config| {
        config.certificates.crl_url = Some("http://crl.example/{issuer}/{partition}.crl".to_owned());
        config.crl.partition_size = 2;
    })
    .await;
    let (first, second) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let (third, fourth) = (bench.device("SN-3").await, bench.device("SN-4").await);
    bench.enroll(&first).await.unwrap();
    bench.enroll(&fourth).await.unwrap();
    log_all(&bench).await;
    let backup = back_up(&bench);
    // One supersedes what the backup has; one is on hold, which the log does not say; one is revoked.
    bench.enroll(&first).await.unwrap();
    bench.enroll(&second).await.unwrap();
    bench.admin.act_on(&second.id, Action::Suspend).await.unwrap();
    bench.enroll(&third).await.unwrap();
    bench.admin.revoke(&third.id, Reason::KeyCompromise).await.unwrap();
    log_all(&bench).await;
    // And one is on the list before the log has it.
    bench.admin.revoke(&fourth.id, Reason::KeyCompromise).await.unwrap();
    publisher(&bench.config, &bench.issuance).publish_if_due().await.unwrap();
    let was = standing(&bench);
    let mut lists: Vec<u32> = was.iter().map(|(_, _, list)| *list).collect();
    lists.sort_unstable();
    assert_eq!(lists, [1, 1, 2, 2, 3]);
    bench.issuance.store().close().await.unwrap();
    std::fs::copy(backup, &bench.config.files.store).unwrap();

    start(&mut bench).await.unwrap();
    assert_eq!(standing(&bench), was);
    let why = signing::stopped(bench.issuance.store().as_ref()).await.unwrap().unwrap();
    assert!(why.contains("brought in again: 3 certificates, 4 revocations"), "{why}");
    let expected = [
        (&first, DeviceState::Enrolled),
        (&second, DeviceState::Suspended),
        (&third, DeviceState::Revoked),
        (&fourth, DeviceState::Revoked),
    ];
    for (device, state) in expected {
        assert_eq!(bench.admin.device(&device.id).await.unwrap().state, state, "{}", device.id);
    }
}
