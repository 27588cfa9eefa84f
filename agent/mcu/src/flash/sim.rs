//! A NOR flash in memory with the rules of a real one, for tests: writes only clear bits, erasing sets those of
//! whole pages, and the power can be cut after any byte.

use std::vec;
use std::vec::Vec;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// `PAGES` pages of `PAGE` bytes with words of `WORD` bytes.
#[derive(Clone, Debug)]
pub struct SimFlash<const PAGES: usize, const PAGE: usize, const WORD: usize> {
    cells: Vec<u8>,
    /// Bytes that can still be written or erased before the power is cut.
    budget: Option<u64>,
    /// A page that cannot be erased any more.
    worn_page: Option<usize>,
    wear: Wear,
}

/// What a flash went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    /// Pages erased.
    pub erased_pages: u64,
    /// Bytes written or erased: how many places there are to cut the power at.
    pub changed_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// Not on a boundary of words or pages.
    #[error("not aligned")]
    Alignment,
    /// Beyond the end.
    #[error("beyond the end of the flash")]
    Bounds,
    /// A write that would have to set a bit.
    #[error("a write cannot set a bit; erase the page first")]
    NotErased,
    /// The power is off.
    #[error("the power is off")]
    PowerOff,
    /// The page is worn out.
    #[error("the page cannot be erased any more")]
    WornOut,
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> Default for SimFlash<PAGES, PAGE, WORD> {
    fn default() -> Self {
        Self { cells: vec![0xff; PAGES * PAGE], budget: None, worn_page: None, wear: Wear::default() }
    }
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> SimFlash<PAGES, PAGE, WORD> {
    /// Cuts the power after `bytes` more bytes were written or erased, in the middle of an operation if need be.
    pub const fn cut_after(&mut self, bytes: u64) {
        self.budget = Some(bytes);
    }

    /// Whether the power was cut.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        matches!(self.budget, Some(0))
    }

    /// Switches the power on again.
    pub const fn power_on(&mut self) {
        self.budget = None;
    }

    /// Erasing this page fails from now on and leaves it as it is; none does any more with `None`.
    pub const fn wear_out(&mut self, page: Option<usize>) {
        self.worn_page = page;
    }

    /// The raw content, as somebody would read it out of the chip.
    #[must_use]
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// The raw content, to let it rot.
    pub fn cells_mut(&mut self) -> &mut [u8] {
        &mut self.cells
    }

    /// What it went through.
    #[must_use]
    pub const fn wear(&self) -> Wear {
        self.wear
    }

    fn bounds(&self, offset: u32, length: usize, unit: usize) -> Result<usize, SimError> {
        let start = usize::try_from(offset).map_err(|_| SimError::Bounds)?;
        if !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(SimError::Alignment);
        }
        if start.checked_add(length).is_none_or(|end| end > self.cells.len()) {
            return Err(SimError::Bounds);
        }
        if self.is_cut() { Err(SimError::PowerOff) } else { Ok(start) }
    }

    /// Spends one byte of the budget.
    const fn spend(&mut self) -> Result<(), SimError> {
        match &mut self.budget {
            Some(0) => return Err(SimError::PowerOff),
            Some(left) => *left -= 1,
            None => {}
        }
        self.wear.changed_bytes += 1;
        Ok(())
    }
}

impl NorFlashError for SimError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Alignment => NorFlashErrorKind::NotAligned,
            Self::Bounds => NorFlashErrorKind::OutOfBounds,
            Self::NotErased | Self::PowerOff | Self::WornOut => NorFlashErrorKind::Other,
        }
    }
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> ErrorType for SimFlash<PAGES, PAGE, WORD> {
    type Error = SimError;
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> ReadNorFlash for SimFlash<PAGES, PAGE, WORD> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        let start = self.bounds(offset, bytes.len(), 1)?;
        bytes.copy_from_slice(self.cells.get(start..start + bytes.len()).ok_or(SimError::Bounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl<const PAGES: usize, const PAGE: usize, const WORD: usize> NorFlash for SimFlash<PAGES, PAGE, WORD> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        let length = to.checked_sub(from).ok_or(SimError::Bounds)? as usize;
        let start = self.bounds(from, length, PAGE)?;
        for at in start..start + length {
            if self.worn_page == Some(at / PAGE) {
                return Err(SimError::WornOut);
            }
            self.spend()?;
            *self.cells.get_mut(at).ok_or(SimError::Bounds)? = 0xff;
            if (at + 1).is_multiple_of(PAGE) {
                self.wear.erased_pages += 1;
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        let start = self.bounds(offset, bytes.len(), WORD)?;
        for (at, byte) in bytes.iter().enumerate() {
            self.spend()?;
            let cell = self.cells.get_mut(start + at).ok_or(SimError::Bounds)?;
            if *cell & byte != *byte {
                return Err(SimError::NotErased);
            }
            *cell = *byte;
            self.wear.written_bytes += 1;
        }
        Ok(())
    }
}
