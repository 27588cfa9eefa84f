//! Byte streams: MQTT packets at the simulator's broker.

use shared::DeviceId;

/// What a client sends to the simulator's broker: nothing gets through to another device's topics.
pub(super) fn mqtt_packets(data: &[u8]) -> bool {
    let device = DeviceId::new("SN-0001").expect("an identifier");
    let topics = firmware_sim::broker::admitted_topics(&device, data);
    assert!(topics.iter().all(|topic| topic.starts_with("devices/SN-0001/")), "{topics:?}");
    !topics.is_empty()
}
