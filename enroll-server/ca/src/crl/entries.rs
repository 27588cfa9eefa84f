//! The entries of a list, each written in DER once, and kept for the next list.
//!
//! They lie in 256 parts by the first byte of the serial number. A copy shares all parts, and a change touches one of
//! them: of 50,000 entries some 200. So whoever signs or looks up has a copy of its own, for next to nothing.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entry, Revoked};
use crate::serial::Serial;

/// What a list says of its certificates, by serial number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entries {
    parts: BTreeMap<u8, Arc<BTreeMap<Serial, Entry>>>,
    len: usize,
}

impl Entries {
    /// Puts an entry in, in place of an older one for the same certificate.
    pub fn insert(&mut self, entry: Entry) {
        let serial = entry.revoked().serial;
        let [first, ..] = *serial.as_bytes();
        let part = Arc::make_mut(self.parts.entry(first).or_default());
        if part.insert(serial, entry).is_none() {
            self.len += 1;
        }
    }

    /// Takes an entry off; tells whether it was there.
    pub fn remove(&mut self, serial: Serial) -> bool {
        let [first, ..] = *serial.as_bytes();
        let Some(part) = self.parts.get_mut(&first).filter(|part| part.contains_key(&serial)) else {
            return false;
        };
        Arc::make_mut(part).remove(&serial);
        if part.is_empty() {
            self.parts.remove(&first);
        }
        self.len -= 1;
        true
    }

    /// The entry for a certificate.
    #[must_use]
    pub fn get(&self, serial: Serial) -> Option<Revoked> {
        let [first, ..] = *serial.as_bytes();
        Some(self.parts.get(&first)?.get(&serial)?.revoked())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, by serial number.
    pub fn iter(&self) -> impl Iterator<Item = Revoked> + '_ {
        self.each().map(Entry::revoked)
    }

    /// How they stand in the list.
    pub(super) fn ders(&self) -> Vec<&[u8]> {
        self.each().map(Entry::der).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Entry> {
        self.parts.values().flat_map(|part| part.values())
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({})", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entries, Entry, Revoked};
    use crate::crl::Reason;
    use crate::serial::Serial;
    use proptest::prelude::*;
    use shared::UnixTime;
    use std::collections::BTreeMap;

    fn revoked(first: u8, second: u8, at: u64) -> Revoked {
        let mut bytes = [7; 16];
        (bytes[0], bytes[1]) = (first, second);
        let serial = Serial::from_bytes(bytes).unwrap();
        Revoked { serial, at: UnixTime::from_secs(at), reason: Reason::KeyCompromise }
    }

    fn entry(revoked: Revoked) -> Entry {
        Entry::write(revoked).unwrap()
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut entries = Entries::default();
        entries.insert(entry(revoked(1, 1, 5)));
        let copy = entries.clone();
        entries.insert(entry(revoked(1, 2, 5)));
        assert!(entries.remove(revoked(1, 1, 0).serial));
        assert_eq!(copy.iter().collect::<Vec<_>>(), [revoked(1, 1, 5)]);
        assert_eq!(entries.iter().collect::<Vec<_>>(), [revoked(1, 2, 5)]);
    }

    proptest! {
        /// The same as a plain map, whatever is put in and taken off.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 1_u8..4, 0_u8..4, 0_u64..9), 0..60)) {
            let (mut entries, mut model) = (Entries::default(), BTreeMap::new());
            for (put, first, second, at) in steps {
                let revoked = revoked(first, second, at);
                if put {
                    entries.insert(entry(revoked));
                    model.insert(revoked.serial, revoked);
                } else {
                    prop_assert_eq!(entries.remove(revoked.serial), model.remove(&revoked.serial).is_some());
                }
                prop_assert_eq!(entries.len(), model.len());
                prop_assert_eq!(entries.get(revoked.serial), model.get(&revoked.serial).copied());
            }
            prop_assert_eq!(entries.iter().collect::<Vec<_>>(), model.into_values().collect::<Vec<_>>());
        }
    }
}
