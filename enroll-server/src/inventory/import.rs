//! Imports a file: checks all of it, then stores it chunk by chunk, each with the position that it reached.

use core::ops::ControlFlow;
use core::time::Duration;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use shared::UnixTime;

use super::bad::{BadRow, Report, ReportError};
use super::reader::{Position, Reader};
use super::seen::Seen;
use crate::store::{
    ImportChunk, ImportCounts, ImportState, InventoryEntry, RowOutcome, Sha256, Store, StoreError,
};

/// Rows of one transaction where nothing is said.
pub const CHUNK: usize = 10_000;
/// Bad rows that are kept for the summary; the report has all of them.
const KEPT: usize = 20;
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;
/// How often a chunk is tried again while another process writes.
const PATIENCE: u32 = 20;

/// How a file is imported.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Say what would become of it, and change nothing.
    pub dry_run: bool,
    /// Import the good rows of a file that has bad ones; else nothing of such a file is imported.
    pub skip_bad: bool,
    /// Go on where an interrupted import of this very file stopped.
    pub resume: bool,
    /// Where to name every bad row.
    pub report: Option<PathBuf>,
    /// Rows of one transaction.
    pub chunk: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { dry_run: false, skip_bad: false, resume: false, report: None, chunk: CHUNK }
    }
}

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ImportSummary {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The line an earlier import had reached, where this one went on.
    pub resumed_after: Option<u64>,
    /// How many rows of each sort, the earlier part of a resumed import included.
    #[serde(flatten)]
    pub counts: ImportCounts,
    /// The first bad and conflicting rows; the report has all of them.
    pub first: Vec<BadRow>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done at the moment.
    pub step: &'static str,
    /// Bytes of the file that this step has done.
    pub bytes: u64,
    /// Bytes of the file.
    pub of: u64,
}

/// Why a file was not imported, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The header is no good.
    #[error("{}: nothing was imported", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadRow,
    },
    /// Rows are bad.
    #[error(
        "{}: {count} rows are bad, so nothing was imported; import the others with --skip-bad, name all with \
         --report. The first:{}", path.display(), Lines(first)
    )]
    BadRows {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
        /// The first of them.
        first: Vec<BadRow>,
    },
    /// The file is not what it was a moment ago.
    #[error("{}: was changed while it was imported; import it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Whoever watches wanted it to end.
    #[error("interrupted after line {line}; the same command with --resume goes on there")]
    Interrupted {
        /// The last line that is imported.
        line: u64,
    },
    /// The store failed.
    #[error("the import stopped; the same command with --resume goes on")]
    Store(#[from] StoreError),
}

struct Lines<'a>(&'a [BadRow]);

impl core::fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|bad| write!(f, "\n  {bad}"))
    }
}

/// Imports the file at `path`. `watch` hears how far it is, and can end it between two chunks.
pub(crate) async fn run(
    store: &dyn Store,
    now: UnixTime,
    path: &Path,
    options: &ImportOptions,
    watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
) -> Result<ImportSummary, ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let (sha256, of) = digest(path).map_err(unreadable)?;
    let before = match options.resume {
        true => store.import_state(sha256).await?,
        false => None,
    };
    let report = options.report.as_deref().map(Report::create).transpose()?;
    let summary = ImportSummary {
        dry_run: options.dry_run,
        sha256: hex::encode(sha256),
        resumed_after: before.as_ref().map(|before| before.at.lines),
        counts: before.as_ref().map(|before| before.counts).unwrap_or_default(),
        first: Vec::new(),
    };
    let mut import = Import { store, now, path, options, watch, sha256, of, report, summary };
    match before {
        Some(ImportState { finished: true, .. }) => {}
        Some(before) => import.store_all(Some(before.at)).await?,
        None => {
            if options.dry_run || !options.skip_bad {
                import.check().await?;
            }
            if !options.dry_run {
                import.store_all(None).await?;
            }
        }
    }
    if let Some(report) = import.report {
        report.end()?;
    }
    Ok(import.summary)
}

/// SHA-256 and length of a file.
fn digest(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let (mut context, mut length) = (Context::new(&SHA256), 0);
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            break;
        }
        context.update(part);
        let read = part.len();
        length += read as u64;
        file.consume(read);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok((hash, length))
}

struct Import<'a> {
    store: &'a dyn Store,
    now: UnixTime,
    path: &'a Path,
    options: &'a ImportOptions,
    watch: &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
    sha256: Sha256,
    of: u64,
    report: Option<Report>,
    summary: ImportSummary,
}

impl Import<'_> {
    fn open(&self, from: Option<Position>) -> Result<Reader<BufReader<File>>, ImportError> {
        let unreadable = |source| ImportError::Unreadable { path: self.path.to_owned(), source };
        let file = File::open(self.path).map_err(unreadable)?;
        let reader = Reader::open(BufReader::with_capacity(BUFFER, file), from).map_err(unreadable)?;
        reader.map_err(|source| ImportError::Header { path: self.path.to_owned(), source })
    }

    fn next(&self, reader: &mut Reader<BufReader<File>>) -> Result<Option<super::reader::Read>, ImportError> {
        reader.next_row().map_err(|source| ImportError::Unreadable { path: self.path.to_owned(), source })
    }

    fn bad(&mut self, bad: BadRow) -> Result<(), ImportError> {
        if let Some(report) = &mut self.report {
            report.add(&bad)?;
        }
        if self.summary.first.len() < KEPT {
            self.summary.first.push(bad);
        }
        Ok(())
    }

    /// Reads all of it before anything is stored; for a dry run, says what each row would do.
    async fn check(&mut self) -> Result<(), ImportError> {
        let mut reader = self.open(None)?;
        let mut seen = Seen::new()?;
        let mut entries = Vec::new();
        let mut bad = 0_u64;
        loop {
            let row = self.next(&mut reader)?;
            let ended = row.is_none();
            if let Some(row) = row {
                let checked = match row.entry {
                    Ok(entry) => match seen.note(row.line, &entry)? {
                        Some(twice) => Err(twice),
                        None => Ok(entry),
                    },
                    Err(bad) => Err(bad),
                };
                match checked {
                    Ok(entry) if self.options.dry_run => entries.push((row.line, entry)),
                    Ok(_) => {}
                    Err(found) => {
                        bad += 1;
                        self.bad(found)?;
                    }
                }
            }
            if entries.len() >= self.options.chunk.max(1) || (ended && !entries.is_empty()) {
                self.preview(core::mem::take(&mut entries)).await?;
            }
            if ended {
                break;
            }
            self.tell("checking", reader.position(), reader.position().lines.is_multiple_of(4_096))?;
        }
        self.summary.counts.bad = bad;
        if bad > 0 && !self.options.skip_bad && !self.options.dry_run {
            if let Some(report) = self.report.take() {
                report.end()?;
            }
            let first = core::mem::take(&mut self.summary.first);
            return Err(ImportError::BadRows { path: self.path.to_owned(), count: bad, first });
        }
        Ok(())
    }

    async fn preview(&mut self, entries: Vec<(u64, InventoryEntry)>) -> Result<(), ImportError> {
        let lines: Vec<u64> = entries.iter().map(|(line, _)| *line).collect();
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        let outcomes = self.store.preview(entries).await?;
        self.count(&lines, &outcomes)
    }

    fn count(&mut self, lines: &[u64], outcomes: &[RowOutcome]) -> Result<(), ImportError> {
        for (line, outcome) in lines.iter().zip(outcomes) {
            self.summary.counts.add(*outcome);
            if let RowOutcome::Conflict { column, reason } = outcome {
                self.bad(BadRow::new(*line, column, (*reason).to_owned()))?;
            }
        }
        Ok(())
    }

    /// Stores it from `from` on.
    async fn store_all(&mut self, from: Option<Position>) -> Result<(), ImportError> {
        let mut reader = self.open(from)?;
        let (mut lines, mut entries) = (Vec::new(), Vec::new());
        loop {
            let row = self.next(&mut reader)?;
            let ended = row.is_none();
            match row.map(|row| (row.line, row.entry)) {
                Some((line, Ok(entry))) => {
                    lines.push(line);
                    entries.push(entry);
                }
                Some((_, Err(bad))) if self.options.skip_bad => {
                    self.summary.counts.bad += 1;
                    self.bad(bad)?;
                }
                // It was good a moment ago.
                Some((_, Err(_))) => return Err(ImportError::Changed { path: self.path.to_owned() }),
                None => {}
            }
            if entries.len() >= self.options.chunk.max(1) || ended {
                let chunk = ImportChunk {
                    file: self.sha256,
                    entries: core::mem::take(&mut entries),
                    at: reader.position(),
                    before: self.summary.counts,
                    finished: ended,
                };
                let outcomes = self.store_chunk(chunk).await?;
                self.count(&core::mem::take(&mut lines), &outcomes)?;
                if ended {
                    return Ok(());
                }
                self.tell("importing", reader.position(), true)?;
            }
        }
    }

    /// Another process that writes is waited for: an import is long, and what else happens is short.
    async fn store_chunk(&self, chunk: ImportChunk) -> Result<Vec<RowOutcome>, ImportError> {
        let mut tries = 0;
        loop {
            match self.store.import_chunk(chunk.clone(), self.now).await {
                Err(StoreError::Busy) if tries < PATIENCE => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                done => return Ok(done?),
            }
        }
    }

    fn tell(&mut self, step: &'static str, at: Position, now: bool) -> Result<(), ImportError> {
        if now && (self.watch)(Progress { step, bytes: at.bytes, of: self.of }).is_break() {
            return Err(ImportError::Interrupted { line: at.lines });
        }
        Ok(())
    }
}
