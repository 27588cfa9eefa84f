//! The one order in which a certificate comes about: appraise, authorize, record, lint, sign, store, answer.
//!
//! Each step takes what only the step before can make ([`Appraised`](appraisal::Appraised),
//! [`Authorized`](crate::authorization::Authorized), [`Recorded`](crate::store::Recorded),
//! `ca::Linted`, `ca::Issued`, [`Granted`]), so that none can be left out. Speaks neither HTTP nor SQL.

mod application;
mod basis;
mod challenge;
mod credential;
mod denied;
mod draft;
mod enroll;
mod est;
mod evidence;
mod explain;
mod grant;
mod identity;
mod journal;
mod list_address;
mod outcome;
mod recover;
mod renew;
pub(crate) mod signing;
mod suspicion;

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod authority_tests;
#[cfg(test)]
mod caught_up_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod credential_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod lost_rows_tests;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod pinning_tests;
#[cfg(test)]
mod planted_tests;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod restored_tests;
#[cfg(test)]
mod rewriting_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
pub(crate) mod tests;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use ca::LdevidProfile;
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime};

use crate::admission::Gate;
use crate::authorities::{Authorities, InOffice};
use crate::clock::Clock;
use crate::credential::WrappingFile;
use crate::failpoint::Hook;
#[cfg(any(test, feature = "plants"))]
use crate::failpoint::Plant;
use crate::nonce::{Freshness, NonceKey};
use crate::policies::Policies;
use crate::store::{Asked, Store};

pub(crate) use basis::endorsements;
use basis::{Imported, Makers};
pub use challenge::Challenged;
pub use denied::{Denied, chain, reject_of_message, rule_of};
use draft::Draft;
pub use est::{EstClient, EstEnroll, EstReenroll};
use evidence::Evidence;
pub(crate) use evidence::sha256;
pub use evidence::token_hash;
pub use explain::Circumstances;
pub use identity::{ClientIdentity, IdentityError};
pub use journal::Journal;
pub(crate) use list_address::list_address;
pub use outcome::{Granted, Outcome};
pub use recover::Recovered;

/// Everything it takes to issue.
#[derive(Debug)]
pub struct Issuance {
    parts: Parts,
    makers: Makers,
    imported: Imported,
    clock: Arc<dyn Clock>,
    /// The second in which it was last seen that signing is not stopped: see [`signing`].
    may_sign_in: AtomicU64,
    gate: Gate,
}

/// What an [`Issuance`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where everything is recorded.
    pub store: Arc<dyn Store>,
    /// The issuing CAs.
    pub authorities: Arc<InOffice>,
    /// What all LDevIDs have in common.
    pub profile: LdevidProfile,
    /// The key of the nonces.
    pub nonces: NonceKey,
    /// The key under which symmetric keys are wrapped in the store.
    pub wrapping: WrappingFile,
    /// How long a nonce is good for.
    pub nonce_lifetime: Duration,
    /// What the operator demands, and what is known to be good.
    pub policies: Arc<Policies>,
    /// Where records of refusals wait.
    pub refusals: Arc<Journal>,
    /// Looks on; for tests.
    pub hook: Hook,
}

impl Issuance {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, clock: Arc<dyn Clock>) -> Self {
        let gate = Gate::default();
        let may_sign_in = AtomicU64::new(u64::MAX);
        Self { parts, makers: Makers::default(), imported: Imported::default(), clock, gate, may_sign_in }
    }

    /// With this gate, which the listeners ask too.
    #[must_use]
    pub fn behind(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// Who decides what is let in.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What the certificate of `identity` has left of its life.
    pub(crate) fn left(&self, identity: &ClientIdentity) -> Duration {
        identity.not_after().since(self.now())
    }

    /// Whether a nonce is one that was given to `device` a short time ago.
    pub(crate) fn was_given(&self, nonce: &Nonce, device: &DeviceId) -> bool {
        self.parts.nonces.check(nonce, device, self.now()) == Ok(Freshness::Fresh)
    }

    /// Whether it may sign: not after an older database was put in place, until an operator has decided.
    ///
    /// # Errors
    /// Says why not.
    pub async fn may_sign(&self) -> Result<(), Denied> {
        // Another replica may find an older database while this one runs. One question a second costs nothing.
        let second = self.now().as_secs();
        if self.may_sign_in.load(Ordering::Relaxed) != second {
            match signing::stopped(self.parts.store.as_ref()).await? {
                Some(why) => return Err(Denied::SigningStopped(why)),
                None => self.may_sign_in.store(second, Ordering::Relaxed),
            }
        }
        Ok(())
    }

    /// The time by the issuance's clock.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Whether this defect is planted.
    #[cfg(any(test, feature = "plants"))]
    pub(crate) fn has(&self, plant: Plant) -> bool {
        self.parts.hook.has(plant)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &Arc<Policies> {
        &self.parts.policies
    }

    /// Where records of refusals wait.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Journal> {
        &self.parts.refusals
    }

    /// The issuing CAs in force now.
    #[must_use]
    pub fn authorities(&self) -> Arc<Authorities> {
        self.parts.authorities.now()
    }

    /// Where the issuing CAs in force are kept.
    #[must_use]
    pub fn in_office(&self) -> &Arc<InOffice> {
        &self.parts.authorities
    }

    /// Begins the record of a request, and pins the policies it is judged by.
    fn draft(&self, asked: Asked, device: &DeviceId, evidence: Option<Evidence<'_>>, now: UnixTime) -> Draft {
        Draft::new(self.parts.policies.current(), asked, device, evidence, now)
    }

    /// Ends the record of a request. That of one that was granted or held stands in the store already.
    fn closed<T>(&self, draft: Draft, done: Result<T, Denied>) -> Result<T, Denied> {
        if let Err(denied) = &done
            // It was not appraised, and comes again.
            && !matches!(denied, Denied::Later(_))
            && let Some(record) = draft.refused(denied)
        {
            self.parts.refusals.add(record);
        }
        done
    }

    /// Records a request that was refused before it came here.
    pub fn turned_away(&self, asked: Asked, device: &DeviceId, reject: Reject, reason: &str) {
        let draft = self.draft(asked, device, None, self.now());
        self.parts.refusals.add(draft.turned_away(reject, reason));
    }
}
