//! Reads a log from its first leaf to its last, and holds every tile against the entries.

use transparency::{
    Checkpoint, CheckpointError, Hash, MemoryTree, TILE_WIDTH, Tile, TileKind, VerifierKey, consistency,
    decode_bundle, encode_tile, root, verify_consistency,
};

use super::finding::{Finding, FindingKind};
use super::record::{Counts, Record};
use crate::transparency_log::source::{Source, SourceError};

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be reached.
    #[error("the log cannot be read")]
    Source(#[from] SourceError),
    /// The earlier checkpoint is not one of this log.
    #[error("the earlier checkpoint cannot be taken")]
    Earlier(#[source] CheckpointError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// Is told how far an audit is: so many of so many.
pub trait Progress {
    /// `done` of `all` are done of what is called `what`.
    fn at(&mut self, what: &'static str, done: u64, all: u64);
}

impl<F: FnMut(&'static str, u64, u64)> Progress for F {
    fn at(&mut self, what: &'static str, done: u64, all: u64) {
        self(what, done, all);
    }
}

/// That a log extends an earlier checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Consistency {
    /// Size of the earlier checkpoint.
    pub from: u64,
    /// Size of the checkpoint that is out.
    pub to: u64,
    /// The proof (RFC 9162, section 2.1.4), in base64.
    pub proof: Vec<String>,
}

/// What was found of the log itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogReport {
    /// The log's name.
    pub origin: String,
    /// Leaves of the checkpoint that is out.
    pub size: u64,
    /// Its root, in base64.
    pub root: String,
    /// Leaves by kind.
    pub leaves: Counts,
    /// That it extends the earlier checkpoint, where one was given.
    pub consistency: Option<Consistency>,
}

/// A log that was read.
#[derive(Debug, Default)]
pub struct Walked {
    /// What to tell of it.
    pub report: LogReport,
    /// What is wrong with it, but for what is wrong with its leaves.
    pub findings: Vec<Finding>,
    /// What the leaves say.
    pub record: Record,
    /// The checkpoint as it came.
    pub note: Vec<u8>,
    /// The tree of the entries.
    pub tree: MemoryTree,
}

/// Reads a log with the key `key`; `earlier` is a checkpoint that it must extend. `each` gets every entry, in order.
///
/// # Errors
/// Where the log cannot be reached, or `earlier` is not its own. What is wrong with the log is no error but a finding.
pub async fn walk(
    source: &Source,
    key: &VerifierKey,
    earlier: Option<&[u8]>,
    progress: &mut impl Progress,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<Walked, AuditError> {
    let earlier = earlier.map(|note| Checkpoint::open(note, key)).transpose().map_err(AuditError::Earlier)?;
    let mut walked = Walked { note: source.checkpoint().await?, ..Walked::default() };
    walked.report.origin = key.name().to_owned();
    let checkpoint = match Checkpoint::open(&walked.note, key) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            walked.find(FindingKind::Checkpoint, "checkpoint", &error.to_string());
            return Ok(walked);
        }
    };
    walked.report.size = checkpoint.size;
    walked.report.root = checkpoint.root.to_base64();
    walked.entries(source, checkpoint.size, progress, &mut each).await?;
    walked.report.leaves = walked.record.counts;
    walked.tiles(source, checkpoint.size).await?;
    if root(&walked.tree, checkpoint.size) != Ok(checkpoint.root) {
        let detail = format!("the checkpoint says {}", checkpoint.root.to_base64());
        walked.find(FindingKind::RootDiffers, &format!("{} leaves", checkpoint.size), &detail);
    }
    if let Some(earlier) = earlier {
        walked.extends(&earlier, &checkpoint);
    }
    Ok(walked)
}

impl Walked {
    /// Numbers of events that were logged twice, for who reads the log alone: only the database can tell whether the rows
    /// that had them first were lost.
    #[must_use]
    pub fn repeated_events(&self) -> Vec<Finding> {
        self.record.repeated.iter().map(|repeated| repeated.finding()).collect()
    }

    /// Takes out what is wrong with the leaves, but for [numbers that were given again](Self::repeated_events).
    pub fn take_record_findings(&mut self) -> Vec<Finding> {
        core::mem::take(&mut self.record.findings)
    }

    fn find(&mut self, kind: FindingKind, subject: &str, detail: &str) {
        self.findings.push(Finding::new(kind, subject, detail));
    }

    /// A tile, or nothing and a finding where it is not there.
    async fn tile(&mut self, source: &Source, tile: Tile) -> Result<Option<Vec<u8>>, AuditError> {
        match source.tile(tile).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => {
                self.find(FindingKind::TileMissing, &tile.to_string(), "is not there");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn entries(
        &mut self,
        source: &Source,
        size: u64,
        progress: &mut impl Progress,
        each: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(), AuditError> {
        for number in 0..size.div_ceil(u64::from(TILE_WIDTH)) {
            let Some(tile) = Tile::of_tree(TileKind::Entries, number, size) else { break };
            let Some(bytes) = self.tile(source, tile).await? else { return Ok(()) };
            let entries = match decode_bundle(&bytes, tile.width()) {
                Ok(entries) => entries,
                Err(error) => {
                    self.find(FindingKind::TileDiffers, &tile.to_string(), &error.to_string());
                    return Ok(());
                }
            };
            for entry in entries {
                let index = self.tree.size();
                self.tree.push_entry(entry);
                self.record.take(index, entry);
                each(index, entry);
            }
            progress.at("leaves", self.tree.size(), size);
        }
        Ok(())
    }

    /// Compares all tiles of hashes with those that the entries make.
    async fn tiles(&mut self, source: &Source, size: u64) -> Result<(), AuditError> {
        for level in 0_u8..8 {
            for number in 0.. {
                let Some(tile) = Tile::of_tree(TileKind::Hashes(level), number, size) else { break };
                let begin = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(TILE_WIDTH.into());
                let range = begin..begin.saturating_add(tile.width().into());
                let expected: Option<Vec<Hash>> = self.tree.level(level * 8).get(range).map(<[Hash]>::to_vec);
                let Some(found) = self.tile(source, tile).await? else { continue };
                if let Some(expected) = expected
                    && encode_tile(&expected) != found
                {
                    let detail = "holds other hashes than the entries have";
                    self.find(FindingKind::TileDiffers, &tile.to_string(), detail);
                }
            }
        }
        Ok(())
    }

    fn extends(&mut self, earlier: &Checkpoint, now: &Checkpoint) {
        let proof = consistency(&self.tree, earlier.size, now.size).unwrap_or_default();
        match verify_consistency(earlier.size, &earlier.root, now.size, &now.root, &proof) {
            Ok(()) => {
                let proof = proof.into_iter().map(Hash::to_base64).collect();
                self.report.consistency = Some(Consistency { from: earlier.size, to: now.size, proof });
            }
            Err(error) => {
                let subject = format!("{} leaves", earlier.size);
                self.find(FindingKind::NotConsistent, &subject, &error.to_string());
            }
        }
    }
}
