//! Byte streams: MQTT packets at the simulator's broker.

/// What a client sends to the simulator's broker, in one piece and byte by byte.
pub(super) fn mqtt_packets(data: &[u8]) -> bool {
    firmware_sim::broker::packets_in(data).is_ok()
}
