//! Renewal by the certificate of the connection, and what else such a connection says of its device.

use appraisal::RenewalPresented;
use shared::message::latest::{Nonce, RenewRequest};
use shared::{DeviceId, UnixTime};

use super::application::Application;
use super::draft::Draft;
use super::evidence::Evidence;
use super::grant::{ATTEMPTS, Ask};
use super::{ClientIdentity, Denied, Issuance, Outcome};
use crate::nonce::Freshness;
use crate::store::Asked;
use crate::telemetry::traces::spans;

impl Issuance {
    /// Renews over mutual TLS. Authority comes from `identity` alone, never from the body.
    ///
    /// # Errors
    /// Says why not.
    pub async fn renew(
        &self,
        request: &RenewRequest<'_>,
        identity: Option<&ClientIdentity>,
    ) -> Result<Outcome, Denied> {
        let now = self.now();
        let evidence = request.evidence.as_ref().map(Evidence::from);
        let mut draft = self.draft(Asked::Renew, &request.device, evidence, now);
        let renewed = self.do_renew(request, evidence, identity, &mut draft, now).await;
        self.closed(draft, renewed)
    }

    async fn do_renew(
        &self,
        request: &RenewRequest<'_>,
        evidence: Option<Evidence<'_>>,
        identity: Option<&ClientIdentity>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        let identity = identity.ok_or(Denied::NoClientCertificate)?;
        let csr = appraisal::csr::check(request.csr).map_err(appraisal::Refusal::from)?;
        let freshness = self.freshness(evidence.and_then(|evidence| evidence.nonce), &request.device, now)?;
        let application = Application::native(&request.device, csr, evidence, freshness, request.trust);
        self.renew_as(&application, identity, draft, now).await
    }

    /// How the nonce of evidence stands; evidence without one is as fresh as its request.
    pub(super) fn freshness(
        &self,
        nonce: Option<&Nonce>,
        device: &DeviceId,
        now: UnixTime,
    ) -> Result<Freshness, Denied> {
        Ok(match nonce {
            Some(nonce) => self.parts.nonces.check(nonce, device, now)?,
            None => Freshness::Fresh,
        })
    }

    /// Renews the certificate of `identity`, whatever protocol the application came by.
    pub(super) async fn renew_as(
        &self,
        application: &Application<'_>,
        identity: &ClientIdentity,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        let Application { device, csr, evidence, .. } = application;
        self.ca_lives(now)?;
        application.note_way(draft);
        for attempt in 0..ATTEMPTS {
            let tls = identity.as_stored(self.parts.store.as_ref()).await?;
            let snapshot = self.parts.store.snapshot(device, now).await?;
            let known = snapshot.known.as_ref();
            let kind = evidence.as_ref().map(|evidence| evidence.kind);
            draft.facts(csr, kind, known, Some(&tls));
            let (proof, token) = match evidence {
                Some(evidence) => {
                    let (proof, token) = self.proof(device, evidence, csr).await?;
                    (Some(proof), token)
                }
                None => (None, None),
            };
            let presented = RenewalPresented { device, csr, identity: &tls, proof: proof.as_ref() };
            let group = application.group(draft, known, proof.as_ref())?;
            let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
            draft.know(self.imported.get(self.parts.store.as_ref(), snapshot.reference).await?);
            let appraised = spans::appraisal().in_scope(|| {
                draft.appraise(&group, &makers, |basis| {
                    appraisal::appraise_renewal(&presented, basis, known, now)
                })
            });
            let appraised = self.noted(device, appraised, (*evidence, &snapshot), now).await?;
            if attempt == 0 {
                self.gate.group(&group, Some(self.left(identity)))?;
            }
            let presented = Some(identity.serial());
            let certificate = draft.certificate(&group, known, &appraised, &self.parts.profile)?;
            let record = draft.record();
            let ask = Ask { application, snapshot, token, presented, group, record, certificate, now };
            if let Some(outcome) = self.issue(appraised, ask).await? {
                return Ok(outcome.told(draft.broker()));
            }
        }
        Err(Denied::Contended)
    }

    /// Writes down which trust bundle the device of `identity` holds, and that it goes by this identity; `false` where its certificate is revoked or
    /// over, which proves nothing any more.
    ///
    /// # Errors
    /// Where the certificate is none of ours, or the store fails.
    pub async fn reported_trust(&self, identity: &ClientIdentity, held: u64) -> Result<bool, Denied> {
        let (tls, now) = (identity.as_stored(self.parts.store.as_ref()).await?, self.now());
        if tls.revoked || tls.not_after < now {
            return Ok(false);
        }
        self.parts.store.confirm_trust(&tls.device, held, Some(identity.serial()), now).await?;
        Ok(true)
    }
}
