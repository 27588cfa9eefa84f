//! The chip's own flash, with what a power cut does to it: a word of 16 bytes that was not written to its end fails
//! its error correction, and the chip answers a read of it with a non-maskable interrupt (RM0481, section 7.9.12).
//! Such a word reads as zeros here, which the records' checksums find; the device would start over and over otherwise.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_stm32::flash::{Blocking, Error, Flash};
use embassy_stm32::pac;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a word.
const WORD: usize = 16;
/// Bytes of a page.
const PAGE: usize = 8 * 1024;

/// Whether the last read met a word that cannot be corrected.
static UNCORRECTABLE: AtomicBool = AtomicBool::new(false);

/// The flash.
pub struct ChipFlash(pub Flash<'static, Blocking>);

impl ErrorType for ChipFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for ChipFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let (mut at, mut left) = (offset, bytes);
        while !left.is_empty() {
            // To the end of the word, so that a broken one takes no other with it.
            let length = (WORD - at as usize % WORD).min(left.len());
            let Some((part, rest)) = left.split_at_mut_checked(length) else { break };
            UNCORRECTABLE.store(false, Ordering::SeqCst);
            self.0.blocking_read(at, part).map_err(kind)?;
            cortex_m::asm::dsb();
            if UNCORRECTABLE.load(Ordering::SeqCst) {
                part.fill(0);
            }
            at += length as u32;
            left = rest;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        embassy_stm32::flash::FLASH_SIZE
    }
}

impl NorFlash for ChipFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.blocking_erase(from, to).map_err(kind)
    }

    /// Reads back what it has written: the driver does not look at every error flag.
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.blocking_write(offset, bytes).map_err(kind)?;
        let mut at = offset;
        for part in bytes.chunks(WORD) {
            let mut found = [0; WORD];
            let (found, _) = found.split_at_mut(part.len());
            self.read(at, found).await?;
            if found != part {
                return Err(NorFlashErrorKind::Other);
            }
            at += part.len() as u32;
        }
        Ok(())
    }
}

/// What the non-maskable interrupt does: it notes the broken word and lets the reader go on.
pub fn on_uncorrectable() -> bool {
    let found = pac::FLASH.eccdetr().read().eccd();
    if found {
        pac::FLASH.eccdetr().modify(|flags| flags.set_eccd(true));
        UNCORRECTABLE.store(true, Ordering::SeqCst);
    }
    found
}

fn kind(error: Error) -> NorFlashErrorKind {
    match error {
        Error::Size => NorFlashErrorKind::OutOfBounds,
        Error::Unaligned => NorFlashErrorKind::NotAligned,
        _ => NorFlashErrorKind::Other,
    }
}
