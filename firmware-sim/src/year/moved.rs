//! What has to hold of the rollover of the CA at the end: everybody has moved, and the old CA is nobody's any more.

use core::time::Duration;
use std::collections::BTreeSet;

use ca::BACKDATE;
use enroll_server::clock::Clock as _;
use enroll_server::rollover::{Started, status};
use enroll_server::store::{Certificate, Page, Spread};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::YearError;
use super::director::Director;
use super::ledger::{Book, Entry, name_of};
use crate::rollover::servers_moved;

/// What is known of it at the end.
pub(super) struct Moved {
    started: Started,
    retired: bool,
    /// Devices that the server names as those in the way, or left behind.
    in_the_way: Vec<String>,
    /// Number of the trust bundle in force, and how many roots are in it.
    bundle: (u64, usize),
    spread: Spread,
    /// Certificates of the old CA that the database calls good, and those it made after the switch.
    old_live: u64,
    signed_late: usize,
    /// Whether the old CA made a revocation list after it was retired.
    old_list: bool,
    /// How many of server and broker take a client certificate of the old CA.
    old_taken: usize,
    servers_moved: bool,
}

impl Director {
    /// Asks server, database and broker; `None` where there was no rollover.
    pub(super) async fn moved(&self, certificates: &[Certificate]) -> Result<Option<Moved>, YearError> {
        let (Some(started), Some(store)) = (self.rolling.started.clone(), self.store()) else {
            return Ok(None);
        };
        let seen = status(store.as_ref(), Page::first(1_000), self.time.now()).await?;
        let old = seen.issuing_cas.iter().find(|ca| ca.role == Some("replaced"));
        let (switched, retired) = (self.rolling.switched, self.rolling.retired);
        let retired_at = retired.map_or(i64::MAX, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        let signed_late = |known: &&Certificate| {
            old.is_some_and(|old| known.issuer.get() == old.number)
                && switched.is_some_and(|switched| known.not_before.after(BACKDATE) > switched)
        };
        let (name, lists) = (started.plan.old_issuing.subject_der(), self.site.lists());
        let mut lists = CertificateRevocationListDer::pem_slice_iter(&lists);
        // Its last list is out until that ends. What cannot be read may be of anybody.
        let is_late = |list: &CertificateRevocationList<'_>| {
            list.issuer().as_raw() == name && list.last_update().timestamp() > retired_at
        };
        let old_list = lists.any(|list| {
            list.map_or(true, |der| {
                CertificateRevocationList::from_der(&der).map_or(true, |(_, list)| is_late(&list))
            })
        });
        let old_taken = match &self.rolling.old {
            Some(old) => old.taken(&self.site.ports()).await,
            None => 0,
        };
        Ok(Some(Moved {
            retired: retired.is_some(),
            in_the_way: seen.unmoved.devices.into_iter().map(|device| device.device).collect(),
            bundle: seen.trust_bundle.map_or((0, 0), |bundle| (bundle.number, bundle.roots.len())),
            spread: seen.spread,
            old_live: old.map_or(0, |old| old.live),
            signed_late: certificates.iter().filter(signed_late).count(),
            old_list,
            old_taken,
            servers_moved: servers_moved(&self.site.config, &started.plan.issuing),
            started,
        }))
    }
}

impl Moved {
    /// How many living devices have moved, by what they told themselves.
    pub(super) fn devices(&self, book: &Book, now: Duration) -> usize {
        book.devices.iter().filter(|entry| entry.lives(now) && self.left(entry).is_none()).count()
    }

    /// What is wrong.
    pub(super) fn findings(&self, book: &Book, now: Duration) -> Vec<String> {
        if !self.retired {
            let names = self.in_the_way.join(", ");
            return vec![format!("the rollover of the CA has not ended; in its way are: {names}")];
        }
        let mut findings: Vec<String> = book
            .devices
            .iter()
            .filter(|entry| entry.lives(now))
            .filter_map(|entry| Some(format!("{}: {}", entry.id, self.left(entry)?)))
            .collect();
        let mut wrong = |is: bool, what: &str| {
            if is {
                findings.push(format!("the CA was retired, and {what}"));
            }
        };
        wrong(!self.in_the_way.is_empty(), &format!("left behind: {}", self.in_the_way.join(", ")));
        wrong(self.bundle.1 != 1, &format!("the trust bundle holds {} roots", self.bundle.1));
        let numbers: BTreeSet<_> = self.spread.trust.iter().map(|(number, _)| *number).collect();
        wrong(
            numbers != BTreeSet::from([Some(self.bundle.0)]),
            &format!("not all have confirmed trust bundle {}: {:?}", self.bundle.0, self.spread.trust),
        );
        wrong(self.old_live > 0, &format!("{} of its certificates are good", self.old_live));
        wrong(self.signed_late > 0, &format!("it signed {} certificates after the switch", self.signed_late));
        wrong(self.old_list, "it made a revocation list after that");
        wrong(self.old_taken > 0, "server or broker still take its certificates");
        wrong(!self.servers_moved, "server or broker show a certificate of another CA than the new one");
        findings
    }

    /// How a living device has not moved.
    fn left(&self, entry: &Entry) -> Option<String> {
        let (bundle, plan) = (self.bundle.0, &self.started.plan);
        if entry.issuer != name_of(plan.issuing.der()) {
            return Some("its certificate is not of the new CA".into());
        }
        if entry.reported != bundle {
            return Some(format!("told of trust bundle {}, and {bundle} is in force", entry.reported));
        }
        let trusts_old = entry.trust.as_ref().is_some_and(|(number, anchors)| {
            *number == bundle && anchors.iter().any(|anchor| anchor == plan.old_root.der())
        });
        trusts_old.then(|| "trusts the old root".into())
    }
}
