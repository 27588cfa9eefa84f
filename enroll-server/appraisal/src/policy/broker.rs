//! What a group's devices are told of the MQTT broker, where that differs from the server's settings.

use shared::limits::{MAX_DEVICE_ID, MAX_HOST, MAX_TOPIC};

/// Each field that is there takes the place of the server's. `{id}` in a topic stands for the device's identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerOverride {
    /// Host name or address, and the name its certificate carries.
    pub host: Option<String>,
    /// TCP port of MQTT over TLS.
    pub port: Option<u16>,
    /// Where a device publishes its measurements.
    pub telemetry_topic: Option<String>,
    /// Where it keeps its status.
    pub status_topic: Option<String>,
    /// Where it receives commands.
    pub command_topic: Option<String>,
}

/// Whether `text` can be a host name or an IP address.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let characters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(characters)
}

/// Whether `text` is a template of a topic: with `{id}`, without wildcards (MQTT 5, section 4.7.1), and short
/// enough for every device identifier.
#[must_use]
pub fn is_topic(text: &str) -> bool {
    let longest = text.len() + MAX_DEVICE_ID;
    text.contains("{id}")
        && longest <= MAX_TOPIC
        && !text.contains(['+', '#'])
        && !text.contains(char::is_control)
}
