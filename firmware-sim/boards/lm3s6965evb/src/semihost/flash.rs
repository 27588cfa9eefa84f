//! A NOR flash in the file `flash.img` of the directory that QEMU runs in, with the geometry of the LM3S6965:
//! pages of 1 KiB, words of 4 bytes (data sheet, section 7.2). The chip's own flash is read-only in QEMU.

use core::sync::atomic::Ordering;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::spent::{ERASED_PAGES, WRITTEN_BYTES};

use super::file::{File, HostError, READ_WRITE};

/// Bytes of a page.
const PAGE: usize = 1024;
/// Bytes of a word.
const WORD: usize = 4;

/// The flash.
pub struct HostFlash {
    file: File,
    capacity: usize,
}

/// What is wrong with an operation.
#[derive(Clone, Copy, Debug)]
pub enum FlashError {
    /// Not on a boundary of words or pages.
    Alignment,
    /// Beyond the end.
    Bounds,
    /// A write that would have to set a bit.
    NotErased,
    /// The host's file failed.
    Host,
}

impl HostFlash {
    /// Opens the image, of which the first `capacity` bytes are used.
    pub fn open(capacity: u32) -> Result<Self, HostError> {
        let capacity = usize::try_from(capacity).map_err(|_| HostError)?;
        Ok(Self { file: File::open(b"flash.img\0", READ_WRITE)?, capacity })
    }

    fn check(&self, offset: u32, length: usize, unit: usize) -> Result<usize, FlashError> {
        let start = usize::try_from(offset).map_err(|_| FlashError::Bounds)?;
        let end = start.checked_add(length).ok_or(FlashError::Bounds)?;
        if !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(FlashError::Alignment);
        }
        if end > self.capacity { Err(FlashError::Bounds) } else { Ok(start) }
    }
}

impl From<HostError> for FlashError {
    fn from(_: HostError) -> Self {
        Self::Host
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Alignment => NorFlashErrorKind::NotAligned,
            Self::Bounds => NorFlashErrorKind::OutOfBounds,
            Self::NotErased | Self::Host => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for HostFlash {
    type Error = FlashError;
}

impl ReadNorFlash for HostFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let start = self.check(offset, bytes.len(), Self::READ_SIZE)?;
        self.file.seek(start)?;
        Ok(self.file.read(bytes)?)
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl NorFlash for HostFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).and_then(|n| usize::try_from(n).ok()).ok_or(FlashError::Bounds)?;
        let start = self.check(from, length, PAGE)?;
        self.file.seek(start)?;
        ERASED_PAGES.fetch_add((length / PAGE) as u32, Ordering::Relaxed);
        for _ in 0..length / 64 {
            self.file.write(&[0xff; 64])?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let start = self.check(offset, bytes.len(), WORD)?;
        WRITTEN_BYTES.fetch_add(bytes.len() as u32, Ordering::Relaxed);
        let mut at = start;
        for part in bytes.chunks(64) {
            let mut present = [0; 64];
            let (present, _) = present.split_at_mut(part.len());
            self.file.seek(at)?;
            self.file.read(present)?;
            if present.iter().zip(part).any(|(cell, new)| cell & new != *new) {
                return Err(FlashError::NotErased);
            }
            self.file.seek(at)?;
            self.file.write(part)?;
            at += part.len();
        }
        Ok(())
    }
}
