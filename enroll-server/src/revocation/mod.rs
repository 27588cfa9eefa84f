//! Publishes what is revoked: as files, over HTTP, and to programs that run the server inside themselves.
//!
//! Each issuing CA has a complete list, and one for each distribution point that its certificates name. A list is made
//! anew when something on it changes, and well before it runs out. What is revoked is the store's to know.

mod book;
mod publisher;
#[cfg(test)]
mod publisher_tests;
mod root;
mod roots;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ca::Serial;
use ca::crl::{Entries, Revoked};
use shared::UnixTime;

use crate::store::IssuerNumber;
use book::Name;

pub use publisher::{PublishError, Publisher};
pub use root::RootCrl;
pub(crate) use root::RootSource;
pub use roots::RootLists;

/// How long lists may fail to be made before the server is not ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is revoked, as published. A copy shares everything with the original.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// The number of the CA that issues; 0 before the first list.
    pub issuer: u32,
    /// CRL number of its complete list; 0 before the first.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When it runs out.
    pub next_update: UnixTime,
    /// That list, in DER.
    pub der: Bytes,
    /// The complete lists of all CAs that have a key, one after the other, then the roots', in PEM.
    pub pem: Bytes,
    /// The roots' lists.
    pub roots: RootLists,
    /// Whether the root has revoked the CA that issues.
    pub ca_revoked: bool,
    /// Since when lists that are due could not be made; `None` where all is well.
    pub failing: Option<UnixTime>,
    /// How many lists are still to be made for the first time.
    pub missing: usize,
    /// When the first of the lists that are kept up runs out.
    pub first_end: UnixTime,
    /// By the number of the CA and that of the list.
    lists: BTreeMap<(u32, u32), Arc<List>>,
}

/// One list.
#[derive(Clone, Debug)]
pub struct List {
    /// Its CRL number.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When it runs out.
    pub next_update: UnixTime,
    /// The list in DER.
    pub der: Bytes,
    /// What it says.
    pub entries: Entries,
}

impl Revocations {
    /// Whether a certificate with this serial number, big-endian with or without leading zeros, is on a list.
    #[must_use]
    pub fn contains(&self, serial: &[u8]) -> bool {
        self.find(serial).is_some()
    }

    /// What the lists say of a certificate.
    #[must_use]
    pub fn find(&self, serial: &[u8]) -> Option<Revoked> {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        let (_, significant) = serial.split_at(zeros);
        let serial = Serial::from_bytes(significant.try_into().ok()?)?;
        self.complete().find_map(|list| list.entries.get(serial))
    }

    /// How many certificates are on the lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.complete().map(|list| list.entries.len()).sum()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether relying parties can go by the lists.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self, now: UnixTime) -> Result<(), String> {
        if self.number == 0 || now >= self.first_end {
            return Err(format!("ran out at {}", self.first_end));
        }
        if self.ca_revoked {
            return Err("the root has revoked the issuing CA".to_owned());
        }
        if let Some(since) = self.roots.unread.filter(|since| now >= since.after(PATIENCE)) {
            return Err(format!("the root's list could not be read since {since}"));
        }
        if self.missing > 0 {
            return Err(format!("{} lists are still to be made", self.missing));
        }
        match self.failing {
            Some(since) if now >= since.after(PATIENCE) => Err(format!("not made since {since}")),
            _ => Ok(()),
        }
    }

    /// The list of the CA with this number and of this partition, 0 for the complete one.
    #[must_use]
    pub fn list(&self, issuer: u32, partition: u32) -> Option<&Arc<List>> {
        self.lists.get(&(issuer, partition))
    }

    /// How many lists are out.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    fn put(&mut self, lists: Vec<(Name, Arc<List>)>) {
        self.lists
            .extend(lists.into_iter().map(|((issuer, partition), list)| ((issuer.get(), partition), list)));
    }

    /// Makes the complete lists of these CAs those that are given out, the first one in DER; tells whether there is
    /// that one.
    fn issue_of(&mut self, whose: &[IssuerNumber]) -> bool {
        let lists: Vec<Arc<List>> = whose.iter().filter_map(|ca| self.list(ca.get(), 0).cloned()).collect();
        let own = whose.first().and_then(|ca| Some((ca.get(), self.list(ca.get(), 0)?.clone())));
        let Some((issuer, list)) = own else { return false };
        self.issuer = issuer;
        (self.number, self.this_update, self.next_update) = (list.number, list.this_update, list.next_update);
        self.der = list.der.clone();
        let ders = lists.iter().map(|list| &list.der).chain(self.roots.all().map(|root| &root.der));
        self.pem = ders.map(|der| ca::pem::crl(der)).collect::<String>().into();
        true
    }

    /// Counts which of the lists `names` are there, and drops others that have run out.
    fn keep_up(&mut self, names: &BTreeSet<Name>, now: UnixTime) {
        let names: BTreeSet<_> = names.iter().map(|(issuer, partition)| (issuer.get(), *partition)).collect();
        self.lists.retain(|name, list| names.contains(name) || now < list.next_update);
        let ends = names.iter().filter_map(|name| Some(self.lists.get(name)?.next_update));
        self.first_end = ends.min().unwrap_or_default();
        self.missing = names.iter().filter(|name| !self.lists.contains_key(name)).count();
    }

    fn complete(&self) -> impl Iterator<Item = &List> {
        self.lists.iter().filter(|((_, partition), _)| *partition == 0).map(|(_, list)| &**list)
    }
}
