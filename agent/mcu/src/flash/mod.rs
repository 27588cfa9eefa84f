//! The device's records in NOR flash, on sequential-storage's map.
//!
//! The map stores small items durably and wears all pages alike, but an item must fit a page, a removed item
//! gives way to the one before it, and old items stay readable until their page is erased. So:
//!
//! - A record is a head item. A short record stands in it; a long one is cut into chunks, which are written
//!   first, under the generation that is not in use, and take effect with the head. A power cut leaves the old
//!   head, and so the old record, whole.
//! - An erased record is a head that says so, never a removed item.
//! - A key that was erased or replaced is scrubbed: filler is written until every page was erased once. An item says
//!   that this is owed, so that a power cut only puts it off: to the next operation. Where it fails, as with a page that is worn
//!   out, reading goes on without it, and whatever writes next tries it again.
//!
//! No future here may be dropped before it is ready; the map repairs what that leaves, but costs a wear cycle.

mod head;
mod key;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(test)]
mod tests;

use core::ops::Range;

use agent_core::platform::{Record, Storage, StorageError};
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::Error;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};
use zeroize::{Zeroize as _, Zeroizing};

use head::{Head, INLINE};
use key::Number;

/// Bytes of a chunk: two items of this size fit a page of 1 KiB, the smallest page that is supported.
const CHUNK: usize = 448;
/// Bytes of the buffer that [`FlashStorage::new`] needs.
pub const SCRATCH: usize = CHUNK + 32;

type Uncached = sequential_storage::cache::Uncached;
type Map<F> = MapStorage<Number, F, Cache<Uncached, Uncached, Uncached, Number>>;

/// [`Storage`] in a range of a NOR flash with pages of 1 KiB or more.
pub struct FlashStorage<'b, F: NorFlash> {
    /// None where the range is unusable: every operation fails.
    map: Option<Map<F>>,
    pages: u32,
    scratch: &'b mut [u8],
    /// Whether scrubbing may be owed from before the last power cut.
    unchecked: bool,
    /// Scrubbing failed while something was to be read: reading does not try it again, since each time wears out a page.
    reads_on: bool,
}

impl<'b, F: NorFlash> FlashStorage<'b, F> {
    /// Uses the pages of `range`, which begins and ends at page boundaries and holds all records twice:
    /// 32 KiB are good. `scratch` has [`SCRATCH`] bytes. A blank range holds no records.
    ///
    /// A range that cannot be used makes every operation fail with [`StorageError::Medium`].
    #[must_use]
    pub fn new(flash: F, range: Range<u32>, scratch: &'b mut [u8]) -> Self {
        let pages = u32::try_from(F::ERASE_SIZE).ok().and_then(|size| range.len_u32().checked_div(size));
        // The map's own check subtracts before it compares.
        let fits = range.start < range.end && F::ERASE_SIZE >= 1024 && scratch.len() >= SCRATCH;
        let config = Some(range).filter(|_| fits).and_then(|range| MapConfig::try_new(range).ok());
        let map = config.map(|config| MapStorage::new(flash, config, Cache::new_uncached()));
        Self { map, pages: pages.unwrap_or(0), scratch, unchecked: true, reads_on: false }
    }

    /// The flash itself, for whoever wants to look at it.
    pub fn into_flash(self) -> Option<F> {
        self.map.map(|map| map.destroy().0)
    }

    async fn fetch(&mut self, key: u16) -> Result<Option<&[u8]>, StorageError> {
        let map = self.map.as_mut().ok_or(StorageError::Medium)?;
        let item = map.fetch_item::<&[u8]>(self.scratch, &Number(key)).await.map_err(explain)?;
        Ok(item.and_then(|item| Number(key).strip(item)))
    }

    async fn put(&mut self, key: u16, item: &[u8]) -> Result<(), StorageError> {
        let map = self.map.as_mut().ok_or(StorageError::Medium)?;
        map.store_item(self.scratch, &Number(key), &item).await.map_err(explain)
    }

    async fn head(&mut self, record: Record) -> Result<Head, StorageError> {
        Ok(self.fetch(head_key(record)).await?.map_or(Head::ABSENT, Head::decode))
    }

    /// Catches up with scrubbing that a power cut put off.
    async fn settle(&mut self) -> Result<(), StorageError> {
        if self.unchecked {
            if self.fetch(SCRUB_OWED).await?.is_some_and(|owed| owed == [1]) {
                self.scrub().await?;
            }
            self.unchecked = false;
        }
        Ok(())
    }

    /// Says durably that scrubbing is owed.
    async fn owe_scrub(&mut self) -> Result<(), StorageError> {
        self.unchecked = true;
        self.put(SCRUB_OWED, &[1]).await
    }

    /// Writes filler until every page of the range was erased once, so that nothing which is no longer valid can be
    /// read out of it.
    async fn scrub(&mut self) -> Result<(), StorageError> {
        let filler = [0; CHUNK];
        let mut written = 0;
        // The ring is one page longer than what is full of valid items at most; a second page covers the rest of
        // the page that was open in the beginning.
        let page = F::ERASE_SIZE;
        let wanted = (self.pages as usize + 2) * page;
        while written < wanted {
            self.put(FILLER, &filler).await?;
            written += CHUNK;
        }
        self.put(FILLER, &[]).await?;
        self.put(SCRUB_OWED, &[0]).await?;
        self.unchecked = false;
        Ok(())
    }

    async fn store_long(&mut self, record: Record, old: &Head, content: &[u8]) -> Result<(), StorageError> {
        let generation = !old.generation();
        for (number, chunk) in content.chunks(CHUNK).enumerate() {
            self.put(chunk_key(record, generation, number), chunk).await?;
        }
        let length = u16::try_from(content.len()).map_err(|_| StorageError::TooLong)?;
        self.put_head(record, &Head::Long { generation, length }).await
    }

    async fn put_head(&mut self, record: Record, head: &Head) -> Result<(), StorageError> {
        let mut item = Zeroizing::new([0; head::LONGEST]);
        let length = head.encode(&mut item);
        self.put(head_key(record), item.get(..length).ok_or(StorageError::TooLong)?).await
    }

    /// Empties the chunks of a generation that is not in use any more, so that they take no room.
    async fn drop_chunks(&mut self, record: Record, old: &Head) -> Result<(), StorageError> {
        if let Head::Long { generation, length } = *old {
            for number in 0..usize::from(length).div_ceil(CHUNK) {
                self.put(chunk_key(record, generation, number), &[]).await?;
            }
        }
        Ok(())
    }
}

impl<F: NorFlash> Storage for FlashStorage<'_, F> {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        let outcome = self.read(record, buffer).await;
        self.scratch.zeroize();
        outcome
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        let outcome = self.write(record, content).await;
        self.scratch.zeroize();
        outcome
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        let outcome = self.remove(record).await;
        self.scratch.zeroize();
        outcome
    }
}

impl<F: NorFlash> FlashStorage<'_, F> {
    async fn read(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        // What is in force is for the newest head to say, scrubbed or not. A page that cannot be erased any more must not take
        // all records with it, and the device off its broker.
        if !self.reads_on && self.settle().await.is_err() {
            self.reads_on = true;
        }
        match self.head(record).await? {
            Head::Absent { .. } => Ok(None),
            Head::Short { length, content, .. } => {
                let content = content.get(..usize::from(length)).ok_or(StorageError::Medium)?;
                let room = buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?;
                room.copy_from_slice(content);
                Ok(Some(content.len()))
            }
            Head::Long { generation, length } => {
                let length = usize::from(length);
                let room = buffer.get_mut(..length).ok_or(StorageError::TooLong)?;
                for (number, part) in room.chunks_mut(CHUNK).enumerate() {
                    let found = self.fetch(chunk_key(record, generation, number)).await?;
                    // The head was written after its chunks: one that is missing has rotted. The medium goes on, and it is
                    // for the record's own checksum to find the hole: a device whose medium fails does not start.
                    match found.filter(|found| found.len() == part.len()) {
                        Some(found) => part.copy_from_slice(found),
                        None => part.fill(0),
                    }
                }
                Ok(Some(length))
            }
        }
    }

    async fn write(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        if content.len() > Record::MAX {
            return Err(StorageError::TooLong);
        }
        self.settle().await?;
        let old = self.head(record).await?;
        let replaces_secret = is_secret(record) && !matches!(old, Head::Absent { .. });
        if replaces_secret {
            self.owe_scrub().await?;
        }
        match Head::short(old.generation(), content) {
            Some(head) => self.put_head(record, &head).await?,
            None => self.store_long(record, &old, content).await?,
        }
        // The new record is in force from here on; what follows only tidies up, and a medium that fails there has
        // not failed to store.
        if replaces_secret { self.scrub().await } else { self.drop_chunks(record, &old).await.or(Ok(())) }
    }

    async fn remove(&mut self, record: Record) -> Result<(), StorageError> {
        self.settle().await?;
        let old = self.head(record).await?;
        if matches!(old, Head::Absent { .. }) {
            return Ok(());
        }
        // Certificates and state are no secrets: what is left of them is overwritten as the ring goes round.
        let secret = is_secret(record);
        if secret {
            self.owe_scrub().await?;
        }
        self.put_head(record, &Head::Absent { generation: old.generation() }).await?;
        self.drop_chunks(record, &old).await?;
        if secret { self.scrub().await } else { Ok(()) }
    }
}

/// Records whose old content must not be readable after they were replaced or erased.
const fn is_secret(record: Record) -> bool {
    matches!(record, Record::KeyA | Record::KeyB)
}

/// Whether scrubbing is owed: `[1]` or `[0]`.
const SCRUB_OWED: u16 = 0xff00;
/// What scrubbing writes.
const FILLER: u16 = 0xff01;

/// The first byte of the number of each item of a record.
const fn number(record: Record) -> u16 {
    record.number() as u16
}

const fn head_key(record: Record) -> u16 {
    number(record) << 8
}

fn chunk_key(record: Record, generation: bool, chunk: usize) -> u16 {
    // Records are at most 6 KiB, 14 chunks.
    let chunk = u16::try_from(chunk).unwrap_or(u16::MAX) & 0x3f;
    number(record) << 8 | if generation { 0xc0 } else { 0x80 } | chunk
}

fn explain<E>(error: Error<E>) -> StorageError {
    match error {
        Error::FullStorage => StorageError::Full,
        Error::ItemTooBig | Error::BufferTooBig | Error::BufferTooSmall(_) => StorageError::TooLong,
        _ => StorageError::Medium,
    }
}

trait LenU32 {
    fn len_u32(&self) -> u32;
}

impl LenU32 for Range<u32> {
    fn len_u32(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

const _: () = assert!(INLINE + head::HEADER <= CHUNK);
