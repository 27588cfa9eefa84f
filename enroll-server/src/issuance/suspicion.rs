//! What a refusal tells beside the refusal: a suspected clone, a device that changed for the worse.

use appraisal::Appraised;
use shared::{DeviceId, Reject, UnixTime};

use super::evidence::{Evidence, evidence_hash};
use super::{Denied, Issuance};
use crate::audit::changes::LastClaims;
use crate::audit::{self, Actor, EventKind};
use crate::store::{NewEvent, Observed, Snapshot};

impl Issuance {
    /// Passes an appraisal on. A refusal may be an event of its own: a suspected clone, or a device whose genuine
    /// evidence tells of a change for the worse.
    pub(super) async fn noted(
        &self,
        device: &DeviceId,
        appraised: Result<Appraised, Denied>,
        (evidence, snapshot): (Option<Evidence<'_>>, &Snapshot),
        now: UnixTime,
    ) -> Result<Appraised, Denied> {
        if let Err(Denied::Appraisal(refusal)) = &appraised {
            let evidence_sha256 = evidence.as_ref().and_then(evidence_hash);
            if refusal.reject == Reject::IdentityConflict {
                let event = NewEvent::new(now, EventKind::CloneSuspected, refusal.explanation.as_str());
                self.suspect(event.about(device).because(refusal.rule).on(evidence_sha256)).await;
            }
            let verified = refusal.verified.as_ref();
            if let Some(claims) = verified.and_then(|verified| verified.claims_of(snapshot.known.as_ref())) {
                let (device, claims) = (device.clone(), LastClaims::from(claims));
                let observed = Observed { device, claims, evidence_sha256, at: now };
                // As below.
                if let Err(error) = self.parts.store.observe(observed).await {
                    tracing::error!(%error, "a refused device's claims could not be compared with its last");
                }
            }
        }
        appraised
    }

    pub(super) async fn suspect(&self, event: NewEvent) {
        // The refusal stands whether or not the suspicion can be written down.
        if let Err(error) = self.parts.store.add_event(event.by(Actor::Device), audit::QUIET).await {
            tracing::error!(%error, "a suspected clone could not be written to the audit trail");
        }
    }
}
