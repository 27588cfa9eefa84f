//! A device's flash, which outlives its starts, and the moment its power is cut.

use core::cell::Cell;

use std::collections::HashMap;
use std::rc::Rc;

use agent_core::platform::{Record, Storage, StorageError};
use agent_mcu::flash::sim::{SimError, SimFlash};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use tokio::sync::Notify;

use crate::faults::{FaultyStorage, Plan};

const PAGES: usize = 12;
/// Bytes of a page.
pub(super) const PAGE: u32 = 4096;
const WORD: usize = 8;
/// Bytes of the flash.
pub(super) const SIZE: usize = PAGES * PAGE as usize;

type Chip = SimFlash<PAGES, { PAGE as usize }, WORD>;

/// A flash in memory. Clones are the same flash.
#[derive(Clone, Default)]
pub(super) struct Flash(Rc<Cell<Option<Box<Chip>>>>);

impl Flash {
    /// Cuts the power after so many more bytes have changed.
    pub(super) fn cut_after(&self, bytes: u64) {
        self.with(|chip| chip.cut_after(bytes));
    }

    /// The power is back.
    pub(super) fn power_on(&self) {
        self.with(SimFlash::power_on);
    }

    fn is_cut(&self) -> bool {
        self.with(|chip| chip.is_cut())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Chip) -> T) -> T {
        let mut chip = self.take();
        let result = work(&mut chip);
        self.put(chip);
        result
    }

    /// A flash is made when it is first looked for. Nobody else holds it meanwhile: its operations never wait.
    fn take(&self) -> Box<Chip> {
        self.0.take().unwrap_or_default()
    }

    fn put(&self, chip: Box<Chip>) {
        self.0.set(Some(chip));
    }
}

impl ErrorType for Flash {
    type Error = SimError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = Chip::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        let mut chip = self.take();
        let result = chip.read(offset, bytes).await;
        self.put(chip);
        result
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = Chip::WRITE_SIZE;
    const ERASE_SIZE: usize = Chip::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        let mut chip = self.take();
        let result = chip.erase(from, to).await;
        self.put(chip);
        result
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        let mut chip = self.take();
        let result = chip.write(offset, bytes).await;
        self.put(chip);
        result
    }
}

/// Storage that stops everything when its power is cut: no operation returns any more, as on a device whose power is
/// gone, and `cut` is told. Keeps in memory what it has read or written since the start: a device that calls a broker
/// that is away reads the same records again and again.
pub(super) struct Powered<S> {
    pub(super) known: HashMap<u8, Option<Vec<u8>>>,
    pub(super) inner: FaultyStorage<S>,
    pub(super) plan: Plan,
    pub(super) flash: Flash,
    pub(super) cut: Rc<Notify>,
}

impl<S> Powered<S> {
    async fn still<T>(&self, result: T) -> T {
        if self.plan.struck() || self.flash.is_cut() {
            self.cut.notify_one();
            core::future::pending::<()>().await;
        }
        result
    }
}

impl<S: Storage> Storage for Powered<S> {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        if let Some(known) = self.known.get(&(record as u8)) {
            let Some(content) = known else { return Ok(None) };
            buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?.copy_from_slice(content);
            return Ok(Some(content.len()));
        }
        let result = self.inner.load(record, buffer).await;
        let result = self.still(result).await?;
        let content = result.and_then(|length| buffer.get(..length)).map(<[u8]>::to_vec);
        self.known.insert(record as u8, content);
        Ok(result)
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        self.known.remove(&(record as u8));
        let result = self.inner.store(record, content).await;
        self.still(result).await?;
        self.known.insert(record as u8, Some(content.to_vec()));
        Ok(())
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        self.known.remove(&(record as u8));
        let result = self.inner.erase(record).await;
        self.still(result).await
    }
}

#[cfg(test)]
mod tests {
    use super::Flash;
    use embedded_storage_async::nor_flash::{NorFlash as _, ReadNorFlash as _};

    #[tokio::test]
    async fn what_was_written_is_there_after_the_power_was_cut_and_nothing_is_written_without_it() {
        let flash = Flash::default();
        let mut before = flash.clone();
        before.write(0, &[7; 8]).await.unwrap();
        flash.cut_after(3);
        assert!(before.write(8, &[9; 8]).await.is_err());
        assert!(flash.is_cut() && before.write(16, &[9; 8]).await.is_err());
        flash.power_on();
        let mut after = flash.clone();
        let mut bytes = [0; 16];
        after.read(0, &mut bytes).await.unwrap();
        assert_eq!(bytes[..11], [7, 7, 7, 7, 7, 7, 7, 7, 9, 9, 9]);
        assert_eq!(bytes[11..], [0xff; 5]);
    }
}
