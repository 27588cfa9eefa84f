//! Works out again what would become of a request, by the very steps that serve it, up to the point where something
//! would be written. Issues nothing, records nothing, uses nothing up.

use std::sync::Arc;

use appraisal::record::rule;
use appraisal::{GroupName, RuleRecord, Verdict};
use shared::UnixTime;
use shared::message::latest::EnrollRequest;

use super::application::Application;
use super::denied::reject_of_message;
use super::draft::Draft;
use super::evidence::Evidence;
use super::grant::Ask;
use super::{Denied, Issuance};
use crate::authorization::Decision;
use crate::explanation::Explanation;
use crate::nonce::Freshness;
use crate::policies::InForce;
use crate::store::{Asked, Ruled};

/// Under which circumstances a request is looked at.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// When; now, where it is not said.
    pub at: Option<UnixTime>,
    /// As a device of this group, whatever the inventory says.
    pub group: Option<GroupName>,
    /// By these policies instead of those in force.
    pub policies: Option<Arc<InForce>>,
}

impl Issuance {
    /// Explains what would become of an enroll request, given as the bytes that were sent.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn explain(&self, body: &[u8], under: &Circumstances) -> Result<Explanation, Denied> {
        let now = under.at.unwrap_or_else(|| self.now());
        let request = match EnrollRequest::decode(body) {
            Ok(request) => request,
            Err(error) => {
                let reject = reject_of_message(&error);
                return Ok(Explanation::unreadable(now.to_string(), reject, &error.to_string()));
            }
        };
        let in_force = under.policies.clone().unwrap_or_else(|| self.parts.policies.current());
        let evidence = Evidence::from(&request.evidence);
        let mut draft = Draft::new(in_force, Asked::Enroll, &request.device, Some(evidence), now);
        let freshness = self.parts.nonces.check(&request.evidence.nonce, &request.device, now);
        let done =
            self.retrace(&request, under, &mut draft, freshness.unwrap_or(Freshness::Fresh), now).await;
        // The server looks at the nonce first and would have stopped there; the rest is of use all the same.
        let done = match freshness {
            Ok(_) => done,
            Err(unknown) => Err(Denied::Nonce(unknown)),
        };
        if let Err(Denied::Store(error)) = done {
            return Err(Denied::Store(error));
        }
        let (verdict, found) = match freshness {
            Ok(Freshness::Fresh) => {
                (Verdict::Passed, "a nonce of this server for this device, in time".into())
            }
            Ok(Freshness::Stale) => (Verdict::Refused, "a nonce that is past its time".into()),
            Err(unknown) => (Verdict::Refused, unknown.to_string().into()),
        };
        let wanted = "a nonce of this server for this device, in time".into();
        // One that is past its time still gets the answer to a request that is known already.
        let verdict = match (&done, verdict) {
            (Ok(_), Verdict::Refused) => Verdict::Passed,
            (_, verdict) => verdict,
        };
        draft.put_first(RuleRecord { rule: rule::NONCE, found, wanted, verdict });
        Ok(Explanation::new(&draft.explained(done)))
    }

    async fn retrace(
        &self,
        request: &EnrollRequest<'_>,
        under: &Circumstances,
        draft: &mut Draft,
        freshness: Freshness,
        now: UnixTime,
    ) -> Result<Ruled, Denied> {
        let csr = appraisal::csr::check(request.csr).map_err(appraisal::Refusal::from)?;
        let mut snapshot = self.parts.store.snapshot(&request.device, now).await?;
        if let (Some(group), Some(known)) = (&under.group, &mut snapshot.known) {
            known.group = group.clone();
        }
        let known = snapshot.known.clone();
        let known = known.as_ref();
        draft.facts(&csr, Some(request.evidence.kind), known, None);
        let evidence = Evidence::from(&request.evidence);
        let (proof, token) = self.proof(&request.device, &evidence, &csr).await?;
        let application = Application::native(&request.device, csr, Some(evidence), freshness, None);
        let group = match &under.group {
            Some(group) => draft.as_group(group.clone())?,
            None => draft.group(known, Some(&proof))?,
        };
        let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
        draft.know(self.imported.get(self.parts.store.as_ref(), snapshot.reference).await?);
        let appraised =
            draft.appraise(&group, &makers, |basis| application.appraise(&proof, basis, known, now))?;
        // The store compares with what it has: a group that is only supposed is none of it.
        if under.group.is_some() {
            snapshot = self.parts.store.snapshot(&request.device, now).await?;
        }
        let certificate = draft.certificate(&group, known, &appraised, &self.parts.profile)?;
        let (presented, record) = (None, draft.record());
        let ask =
            Ask { application: &application, snapshot, token, presented, group, record, certificate, now };
        match self.parts.store.would(self.authorize(appraised, ask)?).await? {
            Decision::Record | Decision::Release(_) | Decision::Known(..) => Ok(Ruled::Accepted),
            Decision::Hold => Ok(Ruled::Held),
            Decision::Changed => Err(Denied::Contended),
            Decision::Refuse(refused) => Err(Denied::Refused(refused)),
        }
    }
}
