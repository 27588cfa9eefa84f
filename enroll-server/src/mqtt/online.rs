//! Reads from what devices publish as their status that they came online.

use shared::DeviceId;

/// Longest status that is looked at, in bytes.
const MAX_STATUS: usize = 2_048;

/// Where devices publish their status, by the settings' template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusTopics {
    before: String,
    after: String,
}

impl StatusTopics {
    /// Reads a template such as `devices/{id}/status`. `None` where the identifier is not a whole level of it: then
    /// there is no filter that finds all devices and nothing else (MQTT 5, section 4.7.1.3).
    pub(super) fn new(template: &str) -> Option<Self> {
        let (before, after) = template.split_once("{id}")?;
        let whole =
            (before.is_empty() || before.ends_with('/')) && (after.is_empty() || after.starts_with('/'));
        (whole && !after.contains("{id}")).then(|| Self { before: before.into(), after: after.into() })
    }

    /// The filter that finds the topics of all devices.
    pub(super) fn filter(&self) -> String {
        format!("{}+{}", self.before, self.after)
    }

    /// The device that says, with this status on this topic, that it is online.
    pub(super) fn online(&self, topic: &str, payload: &[u8]) -> Option<DeviceId> {
        let name = topic.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let device = DeviceId::new(name).ok()?;
        if payload.len() > MAX_STATUS {
            return None;
        }
        let status: serde_json::Value = serde_json::from_slice(payload).ok()?;
        // The topic is what the broker vouches for; the text inside is the device's own.
        (status.get("status")?.as_str()? == "online").then_some(device)
    }
}

#[cfg(test)]
mod tests {
    use super::StatusTopics;
    use proptest::prelude::*;

    fn topics() -> StatusTopics {
        StatusTopics::new("devices/{id}/status").unwrap()
    }

    #[test]
    fn a_template_gives_a_filter_where_the_identifier_is_a_level() {
        assert_eq!(topics().filter(), "devices/+/status");
        assert_eq!(StatusTopics::new("{id}").unwrap().filter(), "+");
        for bad in ["devices/x{id}/status", "devices/{id}x", "devices/status", "{id}/{id}"] {
            assert_eq!(StatusTopics::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_birth_of_a_device_is_one() {
        let of = |topic: &str, payload: &str| topics().online(topic, payload.as_bytes());
        let online = r#"{"status":"online","device":"SN-2"}"#;
        assert_eq!(of("devices/SN-1/status", online).unwrap().as_str(), "SN-1", "the topic counts");
        assert_eq!(of("devices/SN-1/status", r#"{"status":"offline"}"#), None);
        for topic in
            ["devices/SN-1/telemetry", "devices//status", "devices/a b/status", "devices/S/1/status", ""]
        {
            assert_eq!(of(topic, online), None, "{topic}");
        }
        for payload in ["", "online", "{}", "[]", r#"{"status":1}"#, &"[".repeat(100_000)] {
            assert_eq!(of("devices/SN-1/status", payload), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(topic in ".{0,60}", payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _found = topics().online(&topic, &payload);
        }
    }
}
