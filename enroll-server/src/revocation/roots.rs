//! The lists of all roots that verifiers are to trust. Which roots those are changes while the server runs: a rollover
//! brings one and retires another.

use std::sync::Arc;

use shared::UnixTime;

use super::root::{RootCrl, RootSource};
use crate::in_force::InForce;
use crate::rollover::Lineup;

/// What the roots have revoked, as published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootLists {
    /// The list of the root above the CA that issues, where there is one.
    pub first: Option<Arc<RootCrl>>,
    /// Those of the other roots, of which there are some while a rollover is under way.
    pub others: Vec<Arc<RootCrl>>,
    /// When the first of them runs out; the beginning of time where one root has a list and another one has none, since
    /// verifiers that check every CA let nobody in below that.
    pub first_end: Option<UnixTime>,
    /// Since when a list that is there cannot be read: what it revokes is not known.
    pub unread: Option<UnixTime>,
}

impl RootLists {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<RootCrl>> {
        self.first.iter().chain(&self.others)
    }

    /// Whether a root has revoked the CA with this serial number, as it stands in DER.
    #[must_use]
    pub fn revoke(&self, serial: &[u8]) -> bool {
        self.all().any(|root| root.list.revokes(serial))
    }
}

/// Where the lists come from.
#[derive(Debug)]
pub(super) struct Roots {
    lineup: Arc<InForce<Lineup>>,
    /// In the order of the line-up.
    sources: Vec<RootSource>,
}

impl Roots {
    pub(super) const fn new(lineup: Arc<InForce<Lineup>>) -> Self {
        Self { lineup, sources: Vec::new() }
    }

    /// Reads what has changed.
    pub(super) fn look(&mut self, now: UnixTime) -> RootLists {
        let mut known = core::mem::take(&mut self.sources);
        for root in &self.lineup.now().roots {
            let found = known.iter().position(|source| source.is_of(root));
            self.sources.push(match found {
                Some(at) => known.swap_remove(at),
                None => RootSource::new(root.list.clone(), root.certificate.clone()),
            });
        }
        let mut held: Vec<_> = self.sources.iter_mut().map(|source| source.look(now)).collect();
        let ends = held.iter().map(|held| held.as_ref().map(|root| root.list.next_update()));
        let has_any = held.iter().any(Option::is_some);
        let first_end = ends.map(Option::unwrap_or_default).min().filter(|_| has_any);
        let unread = self.sources.iter().filter_map(RootSource::unread_since).min();
        let first = if held.is_empty() { None } else { held.remove(0) };
        RootLists { first, others: held.into_iter().flatten().collect(), first_end, unread }
    }
}
