//! The JSON a device publishes, written without an allocator and without formatting code.

use shared::{DeviceId, UnixTime};

use crate::AGENT_VERSION;

/// Room for the longest payload, in bytes.
pub(super) const MAX: usize = 384;

/// The retained status: `{"status":..,"device":..,"certificate_ends":..,"agent":..,"software":..}`.
pub(super) fn status<'b>(
    out: &'b mut [u8],
    online: bool,
    device: &DeviceId,
    certificate_ends: UnixTime,
    software: &str,
) -> &'b [u8] {
    let mut json = Json::new(out);
    json.text("status", if online { "online" } else { "offline" });
    json.text("device", device.as_str());
    json.number("certificate_ends", certificate_ends.as_secs());
    json.text("agent", AGENT_VERSION);
    json.text("software", software);
    json.finish()
}

/// Telemetry: `{"device":..,"sequence":..,"uptime":..}`.
pub(super) fn telemetry<'b>(out: &'b mut [u8], device: &DeviceId, sequence: u32, uptime: u64) -> &'b [u8] {
    let mut json = Json::new(out);
    json.text("device", device.as_str());
    json.number("sequence", sequence.into());
    json.number("uptime", uptime);
    json.finish()
}

/// Writes one flat object. What does not fit is left out, member by member, so that it stays an object.
struct Json<'b> {
    out: &'b mut [u8],
    length: usize,
}

impl<'b> Json<'b> {
    fn new(out: &'b mut [u8]) -> Self {
        let mut json = Self { out, length: 0 };
        json.put(b'{');
        json
    }

    fn text(&mut self, name: &str, value: &str) {
        self.member(name, |json| {
            json.put(b'"');
            for byte in value.bytes() {
                match byte {
                    b'"' | b'\\' => {
                        json.put(b'\\');
                        json.put(byte);
                    }
                    // Control characters have no place in a name or a version.
                    0..0x20 => json.put(b'?'),
                    _ => json.put(byte),
                }
            }
            json.put(b'"');
        });
    }

    fn number(&mut self, name: &str, value: u64) {
        self.member(name, |json| {
            let mut divisor = 1;
            while value / divisor >= 10 {
                divisor *= 10;
            }
            while divisor > 0 {
                json.put(b'0' + u8::try_from(value / divisor % 10).unwrap_or(0));
                divisor /= 10;
            }
        });
    }

    fn member(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        let before = self.length;
        if before > 1 {
            self.put(b',');
        }
        self.put(b'"');
        for byte in name.bytes() {
            self.put(byte);
        }
        self.put(b'"');
        self.put(b':');
        value(self);
        // One byte is kept for the closing brace.
        if self.length >= self.out.len() {
            self.length = before;
        }
    }

    /// Counts on beyond the end, so that [`member`](Self::member) sees what did not fit.
    fn put(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    fn finish(mut self) -> &'b [u8] {
        self.put(b'}');
        self.out.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{MAX, status, telemetry};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use shared::{DeviceId, UnixTime};

    fn parse(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn status_and_telemetry_are_as_agreed() {
        let device = DeviceId::new("SN-0001").unwrap();
        let mut out = [0; MAX];
        let ends = UnixTime::from_secs(1_795_478_400);
        assert_eq!(
            parse(status(&mut out, true, &device, ends, "1.2.0")),
            json!({"status": "online", "device": "SN-0001", "certificate_ends": 1_795_478_400,
                   "agent": env!("CARGO_PKG_VERSION"), "software": "1.2.0"})
        );
        assert_eq!(parse(status(&mut out, false, &device, ends, "1"))["status"], "offline");
        for sequence in [0, 9, 10, u32::MAX] {
            let json = parse(telemetry(&mut out, &device, sequence, 100));
            assert_eq!(json, json!({"device": "SN-0001", "sequence": sequence, "uptime": 100}));
        }
        assert_eq!(parse(telemetry(&mut out, &device, 1, u64::MAX))["uptime"], u64::MAX);
    }

    proptest! {
        #[test]
        fn any_version_text_in_any_room_gives_an_object(software in ".{0,80}", room in 2_usize..MAX) {
            let device = DeviceId::new("SN-0001").unwrap();
            let mut out = [0; MAX];
            let json = parse(status(&mut out[..room], true, &device, UnixTime::from_secs(1), &software));
            prop_assert!(json.is_object());
            if let Some(written) = json.get("software") {
                let expected: std::string::String =
                    software.chars().map(|c| if c < ' ' { '?' } else { c }).collect();
                prop_assert_eq!(written, &Value::from(expected));
            }
        }
    }
}
