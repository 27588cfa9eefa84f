//! What stands on which list: kept from one list to the next, so that a revocation costs the work of one entry.
//!
//! No I/O, no signing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ca::Serial;
use ca::crl::{CrlError, Entries, Entry, Revoked};
use shared::UnixTime;

use crate::store::{IssuerNumber, Listing, Partition, Revocation, RevocationChanges, RevocationState};

/// How long a certificate stays on the list after its end, for clocks that are behind.
pub(super) const LINGER: Duration = Duration::from_secs(86_400);

/// Names a list: its CA and its partition, 0 for the complete one.
pub(super) type Name = (IssuerNumber, u32);

/// All lists.
#[derive(Debug)]
pub(super) struct Book {
    upto: u64,
    pages: BTreeMap<Name, Page>,
}

/// One list.
#[derive(Debug, Default)]
pub(super) struct Page {
    entries: Entries,
    /// The same by the end of the certificates' lives.
    ends: BTreeSet<(UnixTime, Serial)>,
    /// What came since the list that is out was signed.
    changed: bool,
    /// The address in its certificates, and when the last of them ends; `None` for the complete list.
    partition: Option<(String, UnixTime)>,
}

impl Book {
    /// Begins with what the store says.
    pub(super) fn open(state: RevocationState) -> Result<Self, CrlError> {
        let mut book = Self { upto: state.upto, pages: BTreeMap::new() };
        book.add(state.partitions);
        for listing in state.entries {
            book.list(listing)?;
        }
        // Lists that were made of an older book may differ.
        book.pages.values_mut().for_each(|page| page.changed = true);
        Ok(book)
    }

    /// The number of the last change in it.
    pub(super) const fn upto(&self) -> u64 {
        self.upto
    }

    /// Takes in what changed; tells whether there was anything.
    pub(super) fn apply(&mut self, changes: RevocationChanges, now: UnixTime) -> Result<bool, CrlError> {
        let any = changes.upto != self.upto;
        self.add(changes.partitions);
        for listing in changes.changes {
            // What ended long ago is on no list any more.
            if listing.not_after >= now.before(LINGER) {
                self.list(listing)?;
            }
        }
        self.upto = changes.upto;
        Ok(any)
    }

    /// All lists by name.
    pub(super) fn pages(&self) -> impl Iterator<Item = (Name, &Page)> {
        self.pages.iter().map(|(name, page)| (*name, page))
    }

    /// Makes sure that this CA has a complete list.
    pub(super) fn open_page(&mut self, issuer: IssuerNumber) {
        let _there = self.pages.entry((issuer, 0)).or_default();
    }

    /// A list with everything that is in it was signed at `at`. What ended long enough before has now been on a list
    /// made after its end (RFC 5280, section 3.3), and is left out of the next one.
    pub(super) fn signed(&mut self, name: Name, at: UnixTime) {
        let Some(page) = self.pages.get_mut(&name) else { return };
        page.changed = false;
        while let Some((end, serial)) = page.ends.first().copied()
            && end < at.before(LINGER)
        {
            page.ends.remove(&(end, serial));
            page.entries.remove(serial);
        }
    }

    /// Drops lists that no certificate names any more which could be valid anywhere.
    pub(super) fn drop_ended(&mut self, now: UnixTime) {
        let over = |page: &Page| page.partition.as_ref().is_some_and(|(_, ends)| *ends < now.before(LINGER));
        self.pages.retain(|_, page| !over(page) || !page.entries.is_empty());
    }

    fn add(&mut self, partitions: Vec<Partition>) {
        for Partition { issuer, number, url, ends } in partitions {
            self.pages.entry((issuer, number)).or_default().partition = Some((url, ends));
        }
    }

    fn list(&mut self, listing: Listing) -> Result<(), CrlError> {
        let Listing { serial, issuer, partition, not_after, revocation } = listing;
        let both = [(issuer, 0), (issuer, partition)];
        let names = if partition == 0 { both.get(..1) } else { both.get(..) };
        let of = |Revocation { at, reason }| Entry::write(Revoked { serial, at, reason });
        let entry = revocation.map(of).transpose()?;
        for name in names.into_iter().flatten() {
            // A partition that the store does not name has no address, and so no list.
            if name.1 != 0 && !self.pages.contains_key(name) {
                continue;
            }
            let page = self.pages.entry(*name).or_default();
            match &entry {
                Some(entry) => {
                    page.entries.insert(entry.clone());
                    page.ends.insert((not_after, serial));
                }
                None => {
                    page.entries.remove(serial);
                    page.ends.remove(&(not_after, serial));
                }
            }
            page.changed = true;
        }
        Ok(())
    }
}

impl Page {
    /// What it says.
    pub(super) const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Whether something came since it was signed.
    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// The address in its certificates; `None` for the complete list.
    pub(super) fn url(&self) -> Option<&str> {
        self.partition.as_ref().map(|(url, _)| url.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, LINGER, Page};
    use ca::Serial;
    use ca::crl::Reason;
    use core::time::Duration;
    use proptest::prelude::*;
    use shared::UnixTime;

    use crate::store::{IssuerNumber, Listing, Partition, Revocation, RevocationChanges, RevocationState};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn listing(number: u8, partition: u32, revoked: bool) -> Listing {
        let revocation = revoked.then_some(Revocation { at: NOW, reason: Reason::KeyCompromise });
        Listing {
            serial: Serial::from_bytes([number; 16]).unwrap(),
            issuer: IssuerNumber::first(),
            partition,
            not_after: NOW.after(HOUR),
            revocation,
        }
    }

    fn partitions(numbers: core::ops::RangeInclusive<u32>) -> Vec<Partition> {
        let of = |number| Partition {
            issuer: IssuerNumber::first(),
            number,
            url: format!("http://a/{number}"),
            ends: NOW.after(HOUR),
        };
        numbers.map(of).collect()
    }

    fn lengths(book: &Book) -> Vec<(u32, usize, bool)> {
        let of =
            |(name, page): ((IssuerNumber, u32), &Page)| (name.1, page.entries().len(), page.is_changed());
        book.pages().map(of).collect()
    }

    #[test]
    fn a_change_is_on_two_lists_and_no_other_is_signed_again() {
        let state =
            RevocationState { upto: 4, entries: vec![listing(1, 1, true)], partitions: partitions(1..=3) };
        let mut book = Book::open(state).unwrap();
        (0..4).for_each(|partition| book.signed((IssuerNumber::first(), partition), NOW));
        let changes = vec![listing(2, 2, true), listing(3, 9, true), listing(4, 0, true)];
        let changes = RevocationChanges { upto: 7, changes, partitions: partitions(1..=3) };
        assert!(book.apply(changes.clone(), NOW).unwrap());
        assert!(!book.apply(changes, NOW).unwrap(), "nothing new");
        // One names a partition that nobody knows; it is on the complete list.
        assert_eq!(lengths(&book), [(0, 4, true), (1, 1, false), (2, 1, true), (3, 0, false)]);
    }

    #[test]
    fn an_entry_stays_until_a_list_was_made_after_its_end() {
        let state =
            RevocationState { upto: 1, entries: vec![listing(1, 1, true)], partitions: partitions(1..=1) };
        let mut book = Book::open(state).unwrap();
        let name = (IssuerNumber::first(), 1);
        let entries = |book: &Book| lengths(book).iter().map(|(_, entries, _)| *entries).collect::<Vec<_>>();
        let late = NOW.after(HOUR).after(LINGER);
        book.signed(name, late);
        assert_eq!(entries(&book), [1, 1], "not before the day for clocks is over");
        let later = late.after(Duration::from_secs(1));
        book.drop_ended(later);
        assert_eq!(entries(&book), [1, 1], "what is on no later list yet is not dropped");
        book.signed(name, later);
        assert_eq!(entries(&book), [1, 0]);
        book.drop_ended(later);
        assert_eq!(entries(&book), [1], "a list of ended certificates is not made any more");
    }

    proptest! {
        /// A book that followed the changes is the same as one that was opened at the end.
        #[test]
        fn following_is_as_good_as_opening(steps in proptest::collection::vec((1_u8..6, any::<bool>()), 0..30)) {
            let start = RevocationState { upto: 0, entries: vec![], partitions: partitions(1..=2) };
            let mut book = Book::open(start).unwrap();
            let mut last = std::collections::BTreeMap::new();
            for (upto, (number, revoked)) in (1..).zip(steps) {
                let changed = listing(number, u32::from(number) % 3, revoked);
                last.insert(number, changed);
                book.apply(RevocationChanges { upto, changes: vec![changed], partitions: vec![] }, NOW).unwrap();
            }
            let entries = last.into_values().filter(|listing| listing.revocation.is_some()).collect();
            let opened = Book::open(RevocationState { upto: 0, entries, partitions: partitions(1..=2) }).unwrap();
            let lists = |book: &Book| book.pages().filter(|(_, page)| !page.entries().is_empty())
                .map(|(name, page)| (name, page.entries().iter().collect::<Vec<_>>())).collect::<Vec<_>>();
            prop_assert_eq!(lists(&book), lists(&opened));
        }
    }
}
