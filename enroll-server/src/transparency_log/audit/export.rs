//! The log and the audit trail for auditors: one JSON object a line, each with the proof that it was logged.

use std::io::{self, Write};

use ca::crl::Reason;
use serde_json::{Map, Value, json};
use shared::UnixTime;
use transparency::{Hash, Leaf, VerifierKey, inclusion, leaf_hash};

use super::log::{AuditError, Progress, Walked, walk};
use super::lost::Lost;
use crate::store::{Event, EventQuery, Sha256, Store};
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
    /// A row of the audit trail is not what was logged, and nothing says that it was lost.
    #[error(
        "event {number}: the database does not have this row of the audit trail as it was logged; what was exported until \
         here is not whole: enroll-server audit verify"
    )]
    Row {
        /// Its number.
        number: u64,
    },
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
    let lost = Lost::read(store, &walked.record, size).await?;
    if walked.record.repeated.iter().any(|repeated| !lost.explains(repeated.number, repeated.index)) {
        return Err(ExportError::NotGood);
    }
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
    let mut leaves = core::mem::take(&mut lines.events);
    leaves.sort_unstable();
    let mut leaves = leaves.into_iter().peekable();
    let mut last = 0;
    loop {
        let rows = store.events(EventQuery::after(last, PAGE)).await.map_err(AuditError::from)?;
        let Some(row) = rows.last() else { break };
        last = row.number;
        for event in rows {
            while let Some(leaf) = leaves.next_if(|leaf| leaf.number < event.number) {
                lines.without_row(&leaf, &lost)?;
            }
            let (commitment, mut own, mut others) = (event.commitment(), None, false);
            while let Some(leaf) = leaves.next_if(|leaf| leaf.number == event.number) {
                if leaf.commitment == commitment {
                    own = Some(leaf.index);
                } else {
                    others = true;
                    lines.without_row(&leaf, &lost)?;
                }
            }
            match own {
                Some(index) => lines.row(&event, index),
                // It waits for the next checkpoint, as all that follow do, or has the number of one that is lost.
                None if others || leaves.peek().is_none() => {}
                None => return Err(ExportError::Row { number: event.number }),
            }
        }
    }
    for leaf in leaves {
        lines.without_row(&leaf, &lost)?;
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
    /// The leaves of events.
    events: Vec<EventLeaf>,
}

/// Ordered by number, then by place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EventLeaf {
    number: u64,
    index: u64,
    commitment: Sha256,
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

    fn row(&mut self, event: &Event, index: u64) {
        let mut value = serde_json::to_value(event).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.insert("type".into(), "event".into());
            fields.insert("salt".into(), event.salt.as_deref().map(hex::encode).into());
            fields.insert("index".into(), index.into());
        }
        self.put(&value);
    }

    /// A leaf whose row the database does not have, which must have been lost with an earlier one.
    fn without_row(&mut self, leaf: &EventLeaf, lost: &Lost) -> Result<(), ExportError> {
        if !lost.explains(leaf.number, leaf.index) {
            return Err(ExportError::Row { number: leaf.number });
        }
        self.put(&json!({ "type": "event-lost", "number": leaf.number, "index": leaf.index }));
        Ok(())
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
                    self.events.push(EventLeaf { number, index, commitment });
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
