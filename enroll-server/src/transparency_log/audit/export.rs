//! The log and the audit trail for auditors: one JSON object a line, each with the proof that it was logged.

use std::io::{self, Write};

use ca::crl::Reason;
use serde_json::{Map, Value, json};
use shared::UnixTime;
use transparency::{Hash, Leaf, VerifierKey, inclusion, leaf_hash};

use super::log::{AuditError, Progress, Walked, walk};
use crate::store::{EventQuery, Store};
use crate::transparency_log::source::Source;

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Why nothing, or not all, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The log is not what it should be.
    #[error("the log is not what it should be, nothing was exported: enroll-server audit verify")]
    NotGood,
    /// It cannot be written.
    #[error("the export cannot be written")]
    Unwritable(#[source] io::Error),
}

/// Writes the log of `source`, and the rows of the audit trail in `store` that are in it. Gives how many lines.
///
/// The log is read twice: it is told whether it is good before the first line.
///
/// # Errors
/// Where the log is not good, or something cannot be read or written.
pub async fn export(
    source: &Source,
    key: &VerifierKey,
    store: &dyn Store,
    with_proofs: bool,
    out: &mut impl Write,
    progress: &mut impl Progress,
) -> Result<u64, ExportError> {
    let walked = walk(source, key, None, progress, |_, _| ()).await?;
    if !walked.findings.is_empty() || !walked.record.findings.is_empty() {
        return Err(ExportError::NotGood);
    }
    let size = walked.report.size;
    let note = String::from_utf8_lossy(&walked.note);
    let head = json!({
        "type": "checkpoint", "vkey": key.to_string(), "size": size, "root": walked.report.root, "note": note,
    });
    let mut lines = Lines { out, walked: &walked, with_proofs, written: 0, failed: None, events: Vec::new() };
    lines.put(&head);
    let again = walk(source, key, None, progress, |index, entry| {
        // The log may have grown between the two.
        if index < size {
            lines.leaf(index, entry);
        }
    });
    again.await?;
    let mut events = core::mem::take(&mut lines.events);
    events.sort_unstable();
    let mut events = events.into_iter();
    let mut last = 0;
    loop {
        let rows = store.events(EventQuery::after(last, PAGE)).await.map_err(AuditError::from)?;
        let Some(row) = rows.last() else { break };
        last = row.number;
        for event in rows {
            let mut value = serde_json::to_value(&event).unwrap_or_default();
            if let (Value::Object(fields), Some((number, index))) = (&mut value, events.next()) {
                if number != event.number {
                    return Err(ExportError::NotGood);
                }
                fields.insert("type".into(), "event".into());
                fields.insert("salt".into(), event.salt.as_deref().map(hex::encode).into());
                fields.insert("index".into(), index.into());
                lines.put(&value);
            }
        }
    }
    match lines.failed.take() {
        Some(error) => Err(ExportError::Unwritable(error)),
        None => {
            let written = lines.written;
            out.flush().map_err(ExportError::Unwritable)?;
            Ok(written)
        }
    }
}

struct Lines<'w, W> {
    out: &'w mut W,
    walked: &'w Walked,
    with_proofs: bool,
    written: u64,
    failed: Option<io::Error>,
    /// Number and leaf of each event, by number.
    events: Vec<(u64, u64)>,
}

impl<W: Write> Lines<'_, W> {
    fn put(&mut self, value: &Value) {
        if self.failed.is_none() {
            match writeln!(self.out, "{value}") {
                Ok(()) => self.written += 1,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn leaf(&mut self, index: u64, entry: &[u8]) {
        let mut fields = Map::new();
        fields.insert("type".into(), "leaf".into());
        fields.insert("index".into(), index.into());
        fields.insert("leaf".into(), base64(entry).into());
        fields.insert("hash".into(), leaf_hash(entry).to_base64().into());
        if let Ok(leaf) = Leaf::decode(entry) {
            fields.insert("kind".into(), leaf.kind().into());
            fields.insert("at".into(), UnixTime::from_secs(leaf.at()).to_string().into());
            match leaf {
                Leaf::Issued { issuer, certificate, .. } | Leaf::Discarded { issuer, certificate, .. } => {
                    let serial = super::record::serial_of(certificate).map(hex::encode);
                    fields.insert("serial".into(), serial.into());
                    fields.insert("issuer_sha256".into(), hex::encode(issuer).into());
                    fields.insert("certificate".into(), base64(certificate).into());
                }
                Leaf::Revoked { issuer, serial, reason, .. } => {
                    fields.insert("serial".into(), hex::encode(serial).into());
                    fields.insert("issuer_sha256".into(), hex::encode(issuer).into());
                    let name = Reason::from_code(reason).map_or("unknown", Reason::name);
                    fields.insert("reason".into(), name.into());
                }
                Leaf::Event { number, commitment, .. } => {
                    self.events.push((number, index));
                    fields.insert("event".into(), number.into());
                    fields.insert("commitment".into(), hex::encode(commitment).into());
                }
            }
        }
        if self.with_proofs {
            let proof = inclusion(&self.walked.tree, index, self.walked.report.size).unwrap_or_default();
            let proof: Vec<String> = proof.into_iter().map(Hash::to_base64).collect();
            fields.insert("proof".into(), proof.into());
        }
        self.put(&Value::Object(fields));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
