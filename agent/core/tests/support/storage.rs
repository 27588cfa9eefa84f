//! Storage in memory that keeps its contract up to the operation at which the power fails.

use core::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use agent_core::platform::{Record, Storage, StorageError};

/// When and how the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// At which write or erase, counted from 1.
    pub at: usize,
    /// Whether that operation still takes effect.
    pub done: bool,
}

/// What a storage shares with the test.
#[derive(Debug, Default)]
pub struct Medium {
    pub records: HashMap<u8, Vec<u8>>,
    /// Writes and erases so far.
    pub operations: usize,
    pub cut: Option<Cut>,
    /// The power is off: nothing returns any more.
    pub dead: bool,
    /// Writes fail with this error, but the device runs on.
    pub failing: Option<StorageError>,
    /// A planted fault: the other slot's key is erased as soon as a certificate is stored.
    pub erases_too_early: bool,
    /// A planted fault: a key can be read at once, but is durable only with the certificate.
    pub forgets_keys: bool,
    /// This record reads well once more, and is rotten afterwards.
    pub rots_at: Option<Record>,
    /// So many reads of this record from now on, one fails.
    pub fails_at: Option<(Record, usize)>,
    late: Option<(u8, Vec<u8>)>,
}

impl Medium {
    fn put(&mut self, record: Record, content: &[u8]) {
        if matches!(record, Record::IdentityA | Record::IdentityB)
            && let Some((key, bytes)) = self.late.take()
        {
            self.records.insert(key, bytes);
        }
        if self.erases_too_early && record == Record::IdentityB {
            self.records.remove(&(Record::KeyA as u8));
        }
        if self.forgets_keys && matches!(record, Record::KeyA | Record::KeyB) {
            self.late = Some((record as u8, content.to_vec()));
        } else {
            self.records.insert(record as u8, content.to_vec());
        }
    }
}

/// A handle on a medium; the medium survives the device.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(pub Rc<RefCell<Medium>>);

impl MemoryStorage {
    pub fn cut(&self, cut: Option<Cut>) {
        let mut medium = self.0.borrow_mut();
        medium.operations = 0;
        medium.cut = cut;
        medium.dead = false;
        medium.late = None;
    }

    pub fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    pub fn copy(&self) -> Self {
        let medium = self.0.borrow();
        let copy = Medium { records: medium.records.clone(), ..Medium::default() };
        Self(Rc::new(RefCell::new(copy)))
    }

    pub fn get(&self, record: Record) -> Option<Vec<u8>> {
        self.0.borrow().records.get(&(record as u8)).cloned()
    }

    pub fn damage(&self, record: Record) {
        if let Some(bytes) = self.0.borrow_mut().records.get_mut(&(record as u8)) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }
    }

    /// Whether this is the read that fails.
    fn fails(&self, record: Record) -> bool {
        let at = &mut self.0.borrow_mut().fails_at;
        match at {
            Some((of, left)) if *of == record => {
                *left -= 1;
                *left == 0 && at.take().is_some()
            }
            _ => false,
        }
    }

    /// Counts a write, and says whether it takes effect and whether it returns.
    fn operation(&self) -> Result<Outcome, StorageError> {
        let mut medium = self.0.borrow_mut();
        if medium.dead {
            return Ok(Outcome { effect: false, returns: false });
        }
        if let Some(error) = medium.failing {
            return Err(error);
        }
        medium.operations += 1;
        match medium.cut {
            Some(cut) if cut.at == medium.operations => {
                medium.dead = true;
                Ok(Outcome { effect: cut.done, returns: false })
            }
            _ => Ok(Outcome { effect: true, returns: true }),
        }
    }
}

struct Outcome {
    effect: bool,
    returns: bool,
}

impl Storage for MemoryStorage {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        if self.fails(record) {
            return Err(StorageError::Medium);
        }
        let rots = self.0.borrow().rots_at == Some(record);
        let medium = self.0.borrow();
        let late = medium.late.as_ref().filter(|(key, _)| *key == record as u8).map(|(_, bytes)| bytes);
        let Some(content) = late.or_else(|| medium.records.get(&(record as u8))) else {
            return Ok(None);
        };
        buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?.copy_from_slice(content);
        let length = content.len();
        drop(medium);
        if rots {
            self.damage(record);
            self.0.borrow_mut().rots_at = None;
        }
        Ok(Some(length))
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        assert!(content.len() <= Record::MAX);
        let outcome = self.operation()?;
        if outcome.effect {
            self.0.borrow_mut().put(record, content);
        }
        if !outcome.returns {
            core::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        let outcome = self.operation()?;
        if outcome.effect {
            self.0.borrow_mut().records.remove(&(record as u8));
        }
        if !outcome.returns {
            core::future::pending::<()>().await;
        }
        Ok(())
    }
}
