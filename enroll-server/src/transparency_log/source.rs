//! Where an audit reads a log: its files, or over HTTP.

use transparency::{MAX_NOTE, Tile};

use super::folder::{Folder, FolderError, beginning};
use crate::outgoing::{Outgoing, SendError, Target};

/// A log to be read.
#[derive(Debug)]
pub enum Source {
    /// In its files.
    Folder(Folder),
    /// Over HTTP.
    Http(HttpSource),
}

/// A log behind an address: `ADDRESS/checkpoint`, `ADDRESS/tile/...`.
#[derive(Debug)]
pub struct HttpSource {
    client: Outgoing,
    target: Target,
}

/// Why something of a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no checkpoint.
    #[error("there is no checkpoint: has the server run since there is a log?")]
    NoCheckpoint,
    /// No answer.
    #[error("{path}: there was no answer")]
    Send {
        /// What was asked for.
        path: String,
        /// What went wrong.
        source: SendError,
    },
    /// The answer is another one.
    #[error("{path}: the answer has status {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// The answer's status.
        status: u16,
    },
    /// The reading task was lost.
    #[error("the reading task ended without a result")]
    Gone,
}

impl SourceError {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Folder(error) => error.is_missing(),
            Self::Status { status, .. } => *status == 404,
            Self::NoCheckpoint | Self::Send { .. } | Self::Gone => false,
        }
    }
}

impl HttpSource {
    /// The log at `target`.
    #[must_use]
    pub const fn new(client: Outgoing, target: Target) -> Self {
        Self { client, target }
    }

    async fn get(&self, path: &str, most: usize) -> Result<Vec<u8>, SourceError> {
        let reply = self.client.get(&self.target, path, most).await;
        let reply = reply.map_err(|source| SourceError::Send { path: path.to_owned(), source })?;
        match reply.status.as_u16() {
            200 => Ok(reply.body.to_vec()),
            status => Err(SourceError::Status { path: path.to_owned(), status }),
        }
    }
}

impl Source {
    /// The checkpoint that is out.
    ///
    /// # Errors
    /// Where there is none, or it cannot be had.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Folder(folder) => folder.checkpoint()?.ok_or(SourceError::NoCheckpoint),
            Self::Http(http) => http.get("checkpoint", MAX_NOTE).await,
        }
    }

    /// A tile.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let read = tokio::task::spawn_blocking(move || folder.read(tile));
                Ok(read.await.map_err(|_| SourceError::Gone)??)
            }
            Self::Http(http) => match http.get(&tile.to_string(), tile.max_length()).await {
                // The specification lets a partial tile go once the full one is there.
                Err(error) if error.is_missing() && !tile.is_full() => {
                    let full = http.get(&tile.full().to_string(), tile.full().max_length()).await;
                    full.ok().and_then(|bytes| beginning(tile, &bytes)).ok_or(error)
                }
                read => read,
            },
        }
    }
}
