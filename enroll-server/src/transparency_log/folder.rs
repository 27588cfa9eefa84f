//! The folder with the log's files: tiles, which never change, and the checkpoint, which is replaced as a whole.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use transparency::{MAX_NOTE, Tile, TileKind, decode_bundle, encode_bundle};

use crate::files;

/// The log's files.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Why a file of the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system does not give or take it.
    #[error("{}: cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is longer than it can be.
    #[error("{}: is longer than {limit} bytes", path.display())]
    Long {
        /// The file.
        path: PathBuf,
        /// Most it can have.
        limit: usize,
    },
    /// A tile that never changes has other contents than it should have.
    #[error("{}: has other contents than the leaves that it is made of", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
}

impl FolderError {
    /// Whether the file is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl Folder {
    /// The files in `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where a tile lies.
    #[must_use]
    pub fn tile_path(&self, tile: Tile) -> PathBuf {
        self.path.join(tile.to_string())
    }

    /// Reads a tile. A partial one may have gone once the full one is there: it is then the beginning of that.
    ///
    /// # Errors
    /// Where it is not there, or cannot be read.
    pub fn read(&self, tile: Tile) -> Result<Vec<u8>, FolderError> {
        match bounded(&self.tile_path(tile), tile.max_length()) {
            Err(error) if error.is_missing() && !tile.is_full() => {
                let full = bounded(&self.tile_path(tile.full()), tile.full().max_length());
                full.ok().and_then(|bytes| beginning(tile, &bytes)).ok_or(error)
            }
            read => read,
        }
    }

    /// Writes a tile, durably; nothing happens where the very same is there.
    ///
    /// # Errors
    /// Where another one is there, or the system does not take it.
    pub(super) fn write(&self, tile: Tile, bytes: &[u8]) -> Result<(), FolderError> {
        match self.found(tile, bytes)? {
            Found::Same => Ok(()),
            Found::Other => Err(FolderError::Differs { path: self.tile_path(tile) }),
            Found::None => self.put(tile, bytes),
        }
    }

    /// As [`write`](Self::write), in the place of another one: of a tile over which no checkpoint was signed.
    ///
    /// # Errors
    /// Where the system does not take it.
    pub(super) fn write_over(&self, tile: Tile, bytes: &[u8]) -> Result<(), FolderError> {
        match self.found(tile, bytes)? {
            Found::Same => return Ok(()),
            Found::Other => {
                let path = self.tile_path(tile);
                tracing::warn!(path = %path.display(), "no checkpoint here is over this tile: it is replaced");
            }
            Found::None => {}
        }
        self.put(tile, bytes)
    }

    fn found(&self, tile: Tile, bytes: &[u8]) -> Result<Found, FolderError> {
        match bounded(&self.tile_path(tile), tile.max_length()) {
            Ok(found) if found == bytes => Ok(Found::Same),
            Ok(_) | Err(FolderError::Long { .. }) => Ok(Found::Other),
            Err(error) if error.is_missing() => Ok(Found::None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, tile: Tile, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.tile_path(tile);
        let failed = |source| FolderError::Io { path: path.clone(), source };
        make_folders(path.parent().unwrap_or(&self.path)).map_err(failed)?;
        files::replace(&path, bytes, 0o644).map_err(failed)
    }

    /// Drops the partial tiles in whose place the full one `tile` is.
    pub(super) fn drop_partial(&self, tile: Tile) {
        let mut name = self.tile_path(tile.full()).into_os_string();
        name.push(".p");
        match fs::remove_dir_all(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(path = %Path::new(&name).display(), %error, "old partial tiles remain");
            }
            _ => {}
        }
    }

    /// The checkpoint that is out; `None` where there is none yet.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, FolderError> {
        match bounded(&self.checkpoint_path(), MAX_NOTE) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a checkpoint out.
    ///
    /// # Errors
    /// Where the system does not take it.
    pub(super) fn publish(&self, note: &str) -> Result<(), FolderError> {
        let path = self.checkpoint_path();
        let failed = |source| FolderError::Io { path: path.clone(), source };
        make_folders(&self.path).map_err(failed)?;
        files::replace(&path, note.as_bytes(), 0o644).map_err(failed)
    }

    /// Where the checkpoint lies.
    #[must_use]
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path.join("checkpoint")
    }
}

/// What is where a tile is to be written.
enum Found {
    None,
    Same,
    Other,
}

/// The first hashes or entries of a full tile, where it can be read.
pub(super) fn beginning(tile: Tile, full: &[u8]) -> Option<Vec<u8>> {
    match tile.kind() {
        TileKind::Hashes(_) => full.get(..tile.max_length()).map(<[u8]>::to_vec),
        TileKind::Entries => {
            let entries = decode_bundle(full, tile.full().width()).ok()?;
            encode_bundle(entries.get(..usize::from(tile.width()))?).ok()
        }
    }
}

fn bounded(path: &Path, limit: usize) -> Result<Vec<u8>, FolderError> {
    let failed = |source| FolderError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit { Err(FolderError::Long { path: path.to_owned(), limit }) } else { Ok(bytes) }
}

/// Makes a folder and those above it, durably.
fn make_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => files::sync_folder(path),
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, FolderError};
    use transparency::{Edge, Tile, TileKind};

    #[test]
    fn tiles_are_written_once_and_partial_ones_outlive_their_files() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path().join("log"));
        let mut edge = Edge::default();
        let partial = |size| Tile::of_tree(TileKind::Hashes(0), 0, size).unwrap();
        for n in 0..256_u16 {
            let full = edge.push(n.to_be_bytes().to_vec()).unwrap();
            for (tile, bytes) in full.into_iter().chain(edge.partial()) {
                folder.write(tile, &bytes).unwrap();
                folder.write(tile, &bytes).unwrap();
                let error = folder.write(tile, b"other").unwrap_err();
                assert!(matches!(error, FolderError::Differs { .. }), "{error}");
                folder.write_over(tile, b"other").unwrap();
                folder.write_over(tile, &bytes).unwrap();
                folder.write(tile, &bytes).unwrap();
            }
        }
        let before = folder.read(partial(7)).unwrap();
        let entries = Tile::of_tree(TileKind::Entries, 0, 7).unwrap();
        let bundle = folder.read(entries).unwrap();
        folder.drop_partial(partial(7));
        folder.drop_partial(entries);
        assert!(!folder.tile_path(partial(7)).exists());
        assert_eq!((folder.read(partial(7)).unwrap(), folder.read(entries).unwrap()), (before, bundle));
        assert!(folder.read(Tile::of_tree(TileKind::Hashes(0), 1, 300).unwrap()).unwrap_err().is_missing());
        assert_eq!(folder.checkpoint().unwrap(), None);
        folder.publish("note").unwrap();
        assert_eq!(folder.checkpoint().unwrap().unwrap(), b"note");
        std::fs::write(folder.checkpoint_path(), vec![0; 100_000]).unwrap();
        assert!(matches!(folder.checkpoint(), Err(FolderError::Long { .. })));
    }
}
