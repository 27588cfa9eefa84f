//! The inventory file of a maker: CSV with the header `device,model,idevid_sha256`.
//!
//! Reads, checks and stores nothing. The fields have no commas and no quotes, so that no CSV dialect matters.

use std::collections::HashSet;

use shared::DeviceId;
use shared::limits::MAX_CLAIM_TEXT;

use crate::store::InventoryEntry;

/// The first line of every inventory file.
pub const HEADER: &str = "device,model,idevid_sha256";

/// A mistake in an inventory file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct InventoryError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected, and what was found.
    pub problem: String,
}

/// Reads a whole file. Empty lines are skipped, `model` and `idevid_sha256` may be empty.
///
/// # Errors
/// The first mistake.
pub fn parse(csv: &str) -> Result<Vec<InventoryEntry>, InventoryError> {
    let mut lines = (1..).zip(csv.strip_prefix('\u{feff}').unwrap_or(csv).lines());
    match lines.next() {
        Some((_, HEADER)) => {}
        found => {
            let found = found.map_or("", |(_, line)| line).escape_debug().to_string();
            return Err(InventoryError {
                line: 1,
                problem: format!("expected \"{HEADER}\", found \"{found}\""),
            });
        }
    }
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let entry = entry(text).map_err(|problem| InventoryError { line, problem })?;
        if !seen.insert(entry.device.clone()) {
            return Err(InventoryError { line, problem: format!("{} stands here twice", entry.device) });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<InventoryEntry, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [device, model, key] = fields.as_slice() else {
        return Err(format!("expected 3 fields, found {}", fields.len()));
    };
    let device = DeviceId::new(device).map_err(|error| error.to_string())?;
    if model.len() > MAX_CLAIM_TEXT || model.contains(|c: char| c.is_control() || c == '"') {
        return Err(format!("expected a model of at most {MAX_CLAIM_TEXT} bytes without quotes"));
    }
    let model = (!model.is_empty()).then(|| (*model).to_owned());
    let mut hash = [0; 32];
    let idevid_sha256 = if key.is_empty() {
        None
    } else {
        hex::decode_to_slice(key, &mut hash)
            .map_err(|_| "expected idevid_sha256 as 64 hexadecimal digits, or nothing".to_owned())?;
        Some(hash)
    };
    Ok(InventoryEntry { device, model, idevid_sha256 })
}

#[cfg(test)]
mod tests {
    use super::parse;
    use proptest::prelude::*;

    #[test]
    fn fields_may_be_empty_and_mistakes_have_lines() {
        let key = "ab".repeat(32);
        let good = format!("device,model,idevid_sha256\nSN-1,sensor-a,{key}\n\nSN-2,,\r\n");
        let entries = parse(&good).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].idevid_sha256, Some([0xab; 32]));
        assert_eq!(entries[1].model, None);
        for (bad, line) in [
            ("device,model\nSN-1,a", 1),
            ("", 1),
            ("device,model,idevid_sha256\nSN-1,a", 2),
            ("device,model,idevid_sha256\nSN-1,a,\nS N,a,", 3),
            ("device,model,idevid_sha256\nSN-1,a,abc", 2),
            ("device,model,idevid_sha256\nSN-1,,\nSN-1,,", 3),
        ] {
            assert_eq!(parse(bad).unwrap_err().line, line, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(device,model,idevid_sha256\n)?.{0,100}") {
            let _parsed = parse(&text);
        }
    }
}
