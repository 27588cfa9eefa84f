//! Attestation keys as an operator or a maker hands them over: CSV with the header
//! `instance_id,device,key,maker,model`, or JSON lines with the same fields.
//!
//! Reads, checks and stores nothing. `instance_id` is hexadecimal, with or without the type byte 01 of the UEID in
//! front; `key` is the SubjectPublicKeyInfo in DER, in hexadecimal; `maker` and `model` may be empty.

use appraisal::psa::{AttestationKey, InstanceId};
use serde_json::Value;
use shared::DeviceId;
use shared::limits::MAX_CLAIM_TEXT;

/// The first line of a CSV file.
pub const HEADER: &str = "instance_id,device,key,maker,model";

/// One key, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The instance identifier.
    pub instance: InstanceId,
    /// The device it is in.
    pub device: DeviceId,
    /// The key.
    pub key: AttestationKey,
    /// Name or fingerprint of the maker who vouches for it.
    pub maker: Option<String>,
    /// The device's model.
    pub model: Option<String>,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct EntryError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected, and what was found.
    pub problem: String,
}

/// Reads a whole file, CSV or JSON lines. Empty lines are skipped.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Entry>, EntryError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = text.trim_start().starts_with('{');
    let mut lines = (1..).zip(text.lines());
    if !json {
        let found = lines.next().map_or("", |(_, line)| line.trim_end());
        if found != HEADER {
            let problem = format!("expected \"{HEADER}\" or JSON objects, found {found:?}");
            return Err(EntryError { line: 1, problem });
        }
    }
    let read = |(line, text): (usize, &str)| {
        let entry = if json { from_json(text) } else { from_csv(text) };
        entry.map_err(|problem| EntryError { line, problem })
    };
    lines.filter(|(_, text)| !text.trim().is_empty()).map(read).collect()
}

/// Reads an instance identifier: 32 bytes in hexadecimal, or 33 with the type byte 01 of the UEID in front
/// (RFC 9783, section 4.2.1).
///
/// # Errors
/// Says what is wanted.
pub fn instance(text: &str) -> Result<InstanceId, String> {
    let bytes = hex::decode(text).ok();
    let id = match bytes.as_deref() {
        Some([0x01, id @ ..]) if id.len() == 32 => id.try_into().ok(),
        Some(id) => id.try_into().ok(),
        None => None,
    };
    id.ok_or_else(|| "expected an instance identifier: 64 hexadecimal digits, or 01 and 64 more".to_owned())
}

fn from_csv(line: &str) -> Result<Entry, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [instance, device, key, maker, model] = fields.as_slice() else {
        return Err(format!("expected 5 fields, found {}", fields.len()));
    };
    entry(instance, device, key, maker, model)
}

fn from_json(line: &str) -> Result<Entry, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    let object = value.as_object().ok_or("expected a JSON object")?;
    if let Some(key) = object.keys().find(|key| !HEADER.split(',').any(|known| known == key.as_str())) {
        return Err(format!("there is no field {key:?}; the fields are {HEADER}"));
    }
    let field = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("expected {name} as text")),
    };
    entry(field("instance_id")?, field("device")?, field("key")?, field("maker")?, field("model")?)
}

fn entry(id: &str, device: &str, key: &str, maker: &str, model: &str) -> Result<Entry, String> {
    let der = hex::decode(key).unwrap_or_default();
    let key = AttestationKey::from_spki_der(&der).ok_or(
        "expected key as a SubjectPublicKeyInfo in DER of a point on P-256, P-384 or P-521, hexadecimal",
    )?;
    let text = |name: &str, value: &str| {
        if value.len() > MAX_CLAIM_TEXT || value.contains(char::is_control) {
            return Err(format!("expected {name} of at most {MAX_CLAIM_TEXT} bytes"));
        }
        Ok((!value.is_empty()).then(|| value.to_owned()))
    };
    Ok(Entry {
        instance: instance(id)?,
        device: DeviceId::new(device).map_err(|error| error.to_string())?,
        key,
        maker: text("maker", maker)?,
        model: text("model", model)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{HEADER, instance, parse};
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;

    fn key() -> String {
        hex::encode(rcgen::KeyPair::generate().unwrap().subject_public_key_info())
    }

    #[test]
    fn both_forms_say_the_same() {
        let (key, id) = (key(), "ab".repeat(32));
        let csv = format!("{HEADER}\n{id},SN-1,{key},example,sensor-a\r\n\n01{id},SN-2,{key},,\n");
        let json = format!(
            "{{\"instance_id\":\"{id}\",\"device\":\"SN-1\",\"key\":\"{key}\",\"maker\":\"example\",\
             \"model\":\"sensor-a\"}}\n{{\"instance_id\":\"01{id}\",\"device\":\"SN-2\",\"key\":\"{key}\"}}\n"
        );
        let entries = parse(&csv).unwrap();
        assert_eq!(parse(&json).unwrap(), entries);
        assert_eq!((entries[0].instance, entries[1].instance), ([0xab; 32], [0xab; 32]));
        assert_eq!((entries[0].maker.as_deref(), entries[1].model.as_deref()), (Some("example"), None));
    }

    #[test]
    fn mistakes_have_lines() {
        let (key, id) = (key(), "ab".repeat(32));
        let head = format!("{HEADER}\n");
        for (bad, line) in [
            (String::new(), 1),
            ("instance_id,device\n".into(), 1),
            (format!("{head}{id},SN-1,{key},"), 2),
            (format!("{head}{id},SN-1,{key},,\nab,SN-1,{key},,"), 3),
            (format!("{head}{id},S N,{key},,"), 2),
            (format!("{head}{id},SN-1,{},,", key.trim_start_matches("30")), 2),
            (format!("{head}{id},SN-1,{key},,{}", "x".repeat(65)), 2),
            (format!("{{\"device\":\"SN-1\",\"key\":\"{key}\"}}"), 1),
            ("{\"devise\":\"SN-1\"}".into(), 1),
            ("{}\n[]".into(), 1),
        ] {
            assert_eq!(parse(&bad).unwrap_err().line, line, "{bad:?}");
        }
        assert!(instance(&format!("02{id}")).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "(instance_id,device,key,maker,model\n|\\{)?.{0,100}") {
            let _parsed = parse(&text);
        }
    }
}
