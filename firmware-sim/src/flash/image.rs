//! The image file and the rules of its flash.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Bytes of a page, the least that can be erased: as the STM32H5 has them.
pub const ERASE_SIZE: usize = 8 * 1024;
/// Bytes of a word, the least that can be written.
pub const WRITE_SIZE: usize = 16;
/// Bytes of the part of the flash that holds the device's records.
pub const SIZE: usize = 16 * ERASE_SIZE;

/// A flash that was never written.
#[must_use]
pub fn blank() -> Vec<u8> {
    vec![0xff; SIZE]
}

/// A flash in a file. Only one program may have it open.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    content: Vec<u8>,
    wear: Wear,
}

/// What the flash went through since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    /// Pages erased.
    pub erased_pages: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be opened, read or made.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process simulates this device.
    #[error("{path} is in use by another process")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It has another length than the flash.
    #[error("{path} has {found} bytes, a flash image has {SIZE}")]
    Length {
        /// Which file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
}

/// What is wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not on a boundary of words or pages.
    #[error("not aligned")]
    Alignment,
    /// Beyond the end.
    #[error("beyond the end of the flash")]
    Bounds,
    /// A write that would have to set a bit.
    #[error("a write cannot set a bit; erase the page first")]
    NotErased,
    /// The image file failed.
    #[error("the image file failed")]
    File,
}

impl FileFlash {
    /// Opens the image at `path`, or makes a blank one there, with mode 0600.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.try_lock().map_err(|_| ImageError::InUse { path: path.to_owned() })?;
        let mut content = Vec::with_capacity(SIZE);
        file.by_ref().take(SIZE as u64 + 1).read_to_end(&mut content).map_err(failed)?;
        if content.is_empty() {
            content = blank();
            file.write_all_at(&content, 0).map_err(failed)?;
        }
        if content.len() != SIZE {
            return Err(ImageError::Length { path: path.to_owned(), found: content.len() });
        }
        Ok(Self { file, content, wear: Wear::default() })
    }

    /// The whole content, as somebody would read it out of the chip.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What it went through since it was opened.
    #[must_use]
    pub const fn wear(&self) -> Wear {
        self.wear
    }

    fn range(&mut self, offset: u32, length: usize, unit: usize) -> Result<(u64, &mut [u8]), Fault> {
        let start = usize::try_from(offset).map_err(|_| Fault::Bounds)?;
        let end = start.checked_add(length).ok_or(Fault::Bounds)?;
        if !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(Fault::Alignment);
        }
        let cells = self.content.get_mut(start..end).ok_or(Fault::Bounds)?;
        Ok((u64::from(offset), cells))
    }
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Alignment => NorFlashErrorKind::NotAligned,
            Self::Bounds => NorFlashErrorKind::OutOfBounds,
            Self::NotErased | Self::File => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for FileFlash {
    type Error = Fault;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        let (_, cells) = self.range(offset, bytes.len(), Self::READ_SIZE)?;
        bytes.copy_from_slice(cells);
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = WRITE_SIZE;
    const ERASE_SIZE: usize = ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        let length = to.checked_sub(from).and_then(|n| usize::try_from(n).ok()).ok_or(Fault::Bounds)?;
        let (at, cells) = self.range(from, length, ERASE_SIZE)?;
        cells.fill(0xff);
        let erased = vec![0xff; length];
        self.file.write_all_at(&erased, at).map_err(|_| Fault::File)?;
        self.wear.erased_pages += (length / ERASE_SIZE) as u64;
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        let (at, cells) = self.range(offset, bytes.len(), WRITE_SIZE)?;
        if cells.iter().zip(bytes).any(|(cell, new)| cell & new != *new) {
            return Err(Fault::NotErased);
        }
        cells.copy_from_slice(bytes);
        self.file.write_all_at(bytes, at).map_err(|_| Fault::File)?;
        self.wear.written_bytes += bytes.len() as u64;
        Ok(())
    }
}
