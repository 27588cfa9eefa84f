//! A map that nobody can make grow.

use core::hash::Hash;
use std::collections::HashMap;

/// What is lost when an entry is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Nothing: a new one would be the same.
    Nothing,
    /// Some fairness: whoever comes again begins anew.
    Some,
    /// It is counted on.
    Held,
}

/// At most so many entries. The keys are hashed with a random key, so that nobody can choose some that collide.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    entries: HashMap<K, V>,
    most: usize,
}

impl<K: Hash + Eq, V: Default> Table<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most: most.max(2) }
    }

    /// The entry of `key`, made where there is none. Where there are too many, those go that are worth nothing; where
    /// that does not help, half of those that nobody counts on. `None` where all are counted on.
    pub(super) fn entry(&mut self, key: K, worth: impl Fn(&V) -> Worth) -> Option<&mut V> {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.entries.retain(|_, value| worth(value) != Worth::Nothing);
            // Cleared by a quarter at least, so that it does not come to this with every key.
            if self.entries.len() > self.most - self.most / 4 {
                let mut goes = false;
                self.entries.retain(|_, value| {
                    goes = !goes;
                    goes || worth(value) == Worth::Held
                });
            }
            if self.entries.len() >= self.most {
                return None;
            }
        }
        Some(self.entries.entry(key).or_default())
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Worth};

    #[test]
    fn it_forgets_what_is_worth_least_and_never_grows() {
        let mut table: Table<u32, u8> = Table::new(100);
        let worth = |value: &u8| match value {
            0 => Worth::Nothing,
            1 => Worth::Some,
            _ => Worth::Held,
        };
        for key in 0..50 {
            *table.entry(key, worth).unwrap() = 2;
        }
        for key in 50..100_000 {
            *table.entry(key, worth).unwrap() = u8::try_from(key % 2).unwrap();
            assert!(table.len() <= 100);
        }
        assert!((0..50).all(|key| table.get_mut(&key).is_some()), "what is counted on stays");
        for key in 0..100 {
            if let Some(value) = table.entry(key, worth) {
                *value = 2;
            }
        }
        assert!(table.entry(1_000_000, worth).is_none(), "full of what is counted on");
    }
}
