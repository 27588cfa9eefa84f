//! Byte streams: MQTT packets at the simulator's broker; bodies and credentials of EST.

use shared::DeviceId;

/// What a client sends to the simulator's broker: nothing gets through to another device's topics.
pub(super) fn mqtt_packets(data: &[u8]) -> bool {
    let device = DeviceId::new("SN-0001").expect("an identifier");
    let topics = firmware_sim::broker::admitted_topics(&device, data);
    assert!(topics.iter().all(|topic| topic.starts_with("devices/SN-0001/")), "{topics:?}");
    !topics.is_empty()
}

/// The body of simpleenroll and simplereenroll.
pub(super) fn est_body(data: &[u8]) -> bool {
    match enroll_server::est::read(data) {
        Ok(read) => {
            // What was read from base64 in lines reads the same from one line.
            let line: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            assert_eq!(enroll_server::est::read(&line), Ok(read));
            true
        }
        Err(error) => {
            assert!((400..500).contains(&error.reject().http_status()), "{error}");
            false
        }
    }
}

/// The value of an Authorization header.
pub(super) fn est_basic(data: &[u8]) -> bool {
    enroll_server::est::Credentials::read(data).is_ok_and(|read| {
        assert!(!read.token().is_empty());
        true
    })
}
