//! The entries of a list, each written in DER once, and kept for the next list.
//!
//! They lie in 256 parts by the last byte of the serial number: the first ones are the time ([`Serial::random_at`]), which
//! years have in common. A copy shares all parts, and a change touches one of them: of 50,000 entries some 200. So whoever
//! signs or looks up has a copy of its own, for next to nothing.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entry, Revoked};
use crate::serial::Serial;

/// What a list says of its certificates, by serial number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// In each the entries are sorted by serial number. Vectors, since half of a tree's nodes is empty, and many lists have a
    /// few entries in each part.
    parts: BTreeMap<u8, Arc<Vec<Entry>>>,
    len: usize,
}

impl Entries {
    /// Puts an entry in, in place of an older one for the same certificate.
    pub fn insert(&mut self, entry: Entry) {
        let serial = entry.revoked().serial;
        let part = Arc::make_mut(self.parts.entry(part_of(serial)).or_default());
        let at = part.partition_point(|held| held.revoked().serial < serial);
        match part.get_mut(at).filter(|held| held.revoked().serial == serial) {
            Some(older) => *older = entry,
            None => {
                part.insert(at, entry);
                self.len += 1;
            }
        }
    }

    /// Takes an entry off; tells whether it was there.
    pub fn remove(&mut self, serial: Serial) -> bool {
        let number = part_of(serial);
        let Some(part) = self.parts.get_mut(&number) else { return false };
        let Some(at) = place(part, serial) else { return false };
        Arc::make_mut(part).remove(at);
        if part.is_empty() {
            self.parts.remove(&number);
        }
        self.len -= 1;
        true
    }

    /// The entry for a certificate.
    #[must_use]
    pub fn get(&self, serial: Serial) -> Option<Revoked> {
        let part = self.parts.get(&part_of(serial))?;
        Some(part.get(place(part, serial)?)?.revoked())
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

    /// All of them, in the order in which they stand in the list: the same for the same entries.
    pub fn iter(&self) -> impl Iterator<Item = Revoked> + '_ {
        self.each().map(Entry::revoked)
    }

    /// How they stand in the list.
    pub(super) fn ders(&self) -> Vec<&[u8]> {
        self.each().map(Entry::der).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Entry> {
        self.parts.values().flat_map(|part| part.iter())
    }
}

/// The part that a certificate's entry lies in.
const fn part_of(serial: Serial) -> u8 {
    let [.., last] = *serial.as_bytes();
    last
}

/// Where in its part a certificate's entry is.
fn place(part: &[Entry], serial: Serial) -> Option<usize> {
    part.binary_search_by_key(&serial, |entry| entry.revoked().serial).ok()
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

    fn revoked(last: u8, first: u8, at: u64) -> Revoked {
        let mut bytes = [7; 16];
        (bytes[0], bytes[15]) = (first, last);
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

    /// Of certificates that were issued as the server does it, within one day.
    #[test]
    fn a_change_copies_a_small_part() {
        let mut entries = Entries::default();
        let at = |number: u64| UnixTime::from_secs(1_800_000_000 + number * 10);
        for number in 0..8_192 {
            let serial = Serial::random_at(at(number)).unwrap();
            entries.insert(entry(Revoked { serial, at: at(number), reason: Reason::Superseded }));
        }
        let largest = entries.parts.values().map(|part| part.len()).max().unwrap();
        // 32 expected with a standard deviation of 5.6: eight of those.
        assert!(largest < 80, "{largest} of {} in one part", entries.len());
    }

    proptest! {
        /// The same as a plain map, whatever is put in and taken off.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0_u8..4, 1_u8..4, 0_u64..9), 0..60)) {
            let (mut entries, mut model) = (Entries::default(), BTreeMap::new());
            for (put, last, first, at) in steps {
                let revoked = revoked(last, first, at);
                if put {
                    entries.insert(entry(revoked));
                    model.insert(revoked.serial, revoked);
                } else {
                    prop_assert_eq!(entries.remove(revoked.serial), model.remove(&revoked.serial).is_some());
                }
                prop_assert_eq!(entries.len(), model.len());
                prop_assert_eq!(entries.get(revoked.serial), model.get(&revoked.serial).copied());
            }
            let mut found: Vec<_> = entries.iter().collect();
            found.sort_by_key(|revoked| revoked.serial);
            prop_assert_eq!(found, model.into_values().collect::<Vec<_>>());
        }
    }
}
