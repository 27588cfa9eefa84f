//! Enrollment by evidence, whatever protocol it came by.

use shared::UnixTime;
use shared::message::latest::EnrollRequest;

use super::application::Application;
use super::draft::Draft;
use super::evidence::Evidence;
use super::grant::{ATTEMPTS, Ask};
use super::{Denied, Issuance, Outcome};
use crate::store::Asked;
use crate::telemetry::traces::spans;

impl Issuance {
    /// Enrolls a device by its evidence.
    ///
    /// # Errors
    /// Says why not.
    pub async fn enroll(&self, request: &EnrollRequest<'_>) -> Result<Outcome, Denied> {
        let now = self.now();
        let evidence = Evidence::from(&request.evidence);
        let mut draft = self.draft(Asked::Enroll, &request.device, Some(evidence), now);
        let enrolled = self.do_enroll(request, evidence, &mut draft, now).await;
        self.closed(draft, enrolled)
    }

    async fn do_enroll(
        &self,
        request: &EnrollRequest<'_>,
        evidence: Evidence<'_>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        // First what costs little: whoever has no nonce of ours costs us no signature check.
        let freshness = self.parts.nonces.check(&request.evidence.nonce, &request.device, now)?;
        let csr = appraisal::csr::check(request.csr).map_err(appraisal::Refusal::from)?;
        let application = Application::native(&request.device, csr, Some(evidence), freshness, request.trust);
        self.enroll_as(&application, evidence, draft, now).await
    }

    /// Enrolls by `evidence`, whatever protocol the application came by.
    pub(super) async fn enroll_as(
        &self,
        application: &Application<'_>,
        evidence: Evidence<'_>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        let Application { device, csr, .. } = application;
        self.ca_lives(now)?;
        application.note_way(draft);
        for attempt in 0..ATTEMPTS {
            let snapshot = self.parts.store.snapshot(device, now).await?;
            let known = snapshot.known.as_ref();
            draft.facts(csr, Some(evidence.kind), known, None);
            let (proof, token) = self.proof(device, &evidence, csr).await?;
            let group = application.group(draft, known, Some(&proof))?;
            let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
            draft.know(self.imported.get(self.parts.store.as_ref(), snapshot.reference).await?);
            let appraised = spans::appraisal().in_scope(|| {
                draft.appraise(&group, &makers, |basis| application.appraise(&proof, basis, known, now))
            });
            let appraised = self.noted(device, appraised, (Some(evidence), &snapshot), now).await?;
            // Only now: whoever asks in a device's name would use up what the group may have.
            if attempt == 0 {
                self.gate.group(&group, None)?;
            }
            let certificate = draft.certificate(&group, known, &appraised, &self.parts.profile)?;
            let (presented, record) = (None, draft.record());
            let ask = Ask { application, snapshot, token, presented, group, record, certificate, now };
            if let Some(outcome) = self.issue(appraised, ask).await? {
                return Ok(outcome.told(draft.broker()));
            }
        }
        Err(Denied::Contended)
    }
}
