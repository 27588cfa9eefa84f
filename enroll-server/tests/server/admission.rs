//! Who is served when strangers take what they can get.

use shared::{Reject, endpoint};
use tokio::io::AsyncWriteExt as _;

use crate::kit::device::{Device, Operational};
use crate::kit::{Site, assert_refused, identity, until};

/// As many as a request may have.
const BODY: usize = shared::limits::MAX_REQUEST_LARGE;

#[tokio::test]
async fn bodies_that_do_not_end_hold_up_strangers_and_nobody_else() {
    let site = Site::with(|config| config.admission.bodies = 4 * BODY).await;
    let device = site.device("SN-1").await;
    let (enrolled, key) = site.try_enroll(&device).await;
    let identity = identity(&enrolled, &key);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let head = format!("POST /v1/enroll HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
        let mut stream = site.tls().connect().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        slow.push(stream);
    }
    let ask = async || site.tls().post(endpoint::CHALLENGE, b"x").await;
    until("the strangers' half is taken", async || ask().await.status == 429).await;
    assert_refused(&ask().await, Reject::TooManyRequests);
    let renewal = Device::renew(&device.id, &Operational::new().csr);
    let renewed = site.tls().identity(&identity).post(endpoint::RENEW, &renewal).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    let path = format!("/admin/v1/devices/{}/revoke", device.id);
    let revoked = site.tls().try_request("POST", &path, &headers, b"{}").await.unwrap();
    assert_eq!(revoked.status, 200, "{revoked:?}");
    drop(slow);
    until("the strangers' half is free", async || ask().await.status != 429).await;
}

#[tokio::test]
async fn whoever_brings_no_nonce_or_one_without_end_counts_for_the_rate() {
    // Ten at once, of which five are for whoever has proved nothing.
    let site = Site::with(|config| config.admission.rate = Some("1/m".parse().unwrap())).await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    // A device whose answers are lost asks again with the same nonce: six times a minute it belongs to the challenge, which has
    // taken one of the five.
    for attempt in 1..=6 + 2 {
        assert_eq!(site.tls().post(endpoint::ENROLL, &body).await.status, 200, "{attempt}");
    }
    let made_up = device.enroll([7; 32], &Operational::new().csr);
    for _ in 0..2 {
        assert_refused(&site.tls().post(endpoint::ENROLL, &made_up).await, Reject::UnknownNonce);
    }
    for body in [&made_up, &body] {
        let later = site.tls().post(endpoint::ENROLL, body).await;
        assert_refused(&later, Reject::TooManyRequests);
        assert!(later.header("retry-after").is_some());
    }
}
