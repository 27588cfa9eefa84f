//! What a table holds, to be compared on both sides.

use aws_lc_rs::digest::{Context, SHA256};

use crate::store::Sha256;
use crate::store::database::Cell;

/// How many rows, and a hash of all of them in the order of their keys.
#[derive(PartialEq, Eq)]
pub(super) struct Content {
    pub(super) rows: u64,
    sha256: Sha256,
}

/// Hashes rows.
pub(super) struct Hasher {
    pub(super) rows: u64,
    context: Context,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { rows: 0, context: Context::new(&SHA256) }
    }

    pub(super) fn cell(&mut self, cell: Cell<'_>) {
        let (kind, bytes): (u8, &[u8]) = match &cell {
            Cell::Null => (0, &[]),
            Cell::Integer(number) => (1, &number.to_be_bytes()),
            Cell::Text(text) => (2, text.as_bytes()),
            Cell::Blob(bytes) => (3, bytes),
        };
        self.context.update(&[kind]);
        self.context.update(&bytes.len().to_be_bytes());
        self.context.update(bytes);
    }

    pub(super) fn finish(self) -> Content {
        let mut sha256 = [0; 32];
        // SHA-256 has as many bytes.
        for (to, from) in sha256.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        Content { rows: self.rows, sha256 }
    }
}
