//! The one order in which a certificate comes about: appraise, authorize, record, lint, sign, store, answer.
//!
//! Each step takes what only the step before can make ([`Appraised`], [`Authorized`], [`Recorded`],
//! `ca::Linted`, `ca::Issued`, [`Granted`]), so that none can be left out. Speaks neither HTTP nor SQL.

mod application;
mod basis;
mod challenge;
mod credential;
mod denied;
mod draft;
mod est;
mod evidence;
mod explain;
mod identity;
mod journal;
pub(crate) mod signing;

#[cfg(test)]
mod authority_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod credential_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use appraisal::policy::BrokerOverride;
use appraisal::{Appraised, GroupName, RenewalPresented};
use ca::{IssueError, LdevidProfile, RecordedIntent as _, Serial, Validity};
use shared::message::latest::{ChallengeRequest, EnrollRequest, EvidenceKind, Nonce, RenewRequest};
use shared::{DeviceId, Reject, UnixTime};
use tracing::Instrument as _;

use crate::admission::Gate;
use crate::audit::changes::LastClaims;
use crate::audit::{self, Actor, EventKind};
use crate::authorities::{Authorities, Authority, InOffice};
use crate::authorization::{Authorized, Basis};
use crate::clock::Clock;
use crate::credential::WrappingFile;
#[cfg(any(test, feature = "plants"))]
use crate::failpoint::Plant;
use crate::failpoint::{Failpoint, Hook};
use crate::nonce::{Freshness, NonceKey};
use crate::policies::{Pinned, Policies};
use crate::store::{
    Asked, Binding, Completed, IssuerNumber, NewAppraisal, NewEvent, Observed, RecordOutcome, Recorded,
    Sha256, Snapshot, Store,
};
use crate::telemetry::traces::spans;

use application::Application;
pub(crate) use basis::endorsements;
use basis::{Imported, Makers};
pub use challenge::Challenged;
pub use denied::{Denied, chain, reject_of_message, rule_of};
use draft::Draft;
pub use est::{EstClient, EstEnroll, EstReenroll};
pub(crate) use evidence::sha256;
pub use evidence::token_hash;
use evidence::{Evidence, evidence_hash, stored};
pub use explain::Circumstances;
pub use identity::{ClientIdentity, IdentityError};
pub use journal::Journal;

/// Everything it takes to issue.
#[derive(Debug)]
pub struct Issuance {
    parts: Parts,
    makers: Makers,
    imported: Imported,
    clock: Arc<dyn Clock>,
    /// Whether an operator may still have to decide: see [`signing`].
    may_be_stopped: AtomicBool,
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

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate.
    Granted(Granted),
    /// It waits for an operator.
    Held,
}

impl Outcome {
    /// With what the group's policy says of the broker.
    fn told(self, broker: BrokerOverride) -> Self {
        match self {
            Self::Granted(granted) => Self::Granted(Granted { broker, ..granted }),
            Self::Held => Self::Held,
        }
    }

    /// The stable name, as in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Granted(_) => "issued",
            Self::Held => "pending",
        }
    }
}

/// A certificate that is durable and may leave the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    der: Vec<u8>,
    validity: Validity,
    issuer: IssuerNumber,
    broker: BrokerOverride,
}

impl Granted {
    fn new(der: Vec<u8>, validity: Validity, issuer: IssuerNumber) -> Self {
        Self { der, validity, issuer, broker: BrokerOverride::default() }
    }

    /// What the device is told of the broker instead of the server's settings, by the policy of its group.
    #[must_use]
    pub const fn broker(&self) -> &BrokerOverride {
        &self.broker
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its life.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The CA that signed it.
    #[must_use]
    pub const fn issuer(&self) -> IssuerNumber {
        self.issuer
    }
}

/// How often a request is appraised anew because its device changed in between.
const ATTEMPTS: usize = 4;

impl Issuance {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, clock: Arc<dyn Clock>) -> Self {
        let gate = Gate::default();
        let may_be_stopped = AtomicBool::new(true);
        Self { parts, makers: Makers::default(), imported: Imported::default(), clock, gate, may_be_stopped }
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
        // What an operator has decided holds for as long as this process lives.
        if self.may_be_stopped.load(Ordering::Relaxed) {
            match signing::stopped(self.parts.store.as_ref()).await? {
                Some(why) => return Err(Denied::SigningStopped(why)),
                None => self.may_be_stopped.store(false, Ordering::Relaxed),
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

    /// Makes a challenge, and remembers nothing of it.
    ///
    /// # Errors
    /// Where the device offers no evidence that the policy accepts, or a TPM does not introduce itself.
    pub async fn challenge(&self, request: &ChallengeRequest<'_>) -> Result<Challenged, Denied> {
        let now = self.now();
        let mut draft = self.draft(Asked::Challenge, &request.device, None, now);
        let kind = self.kind_for(request, &mut draft, now).await;
        let (kind, renewal_wanted) = self.closed(draft, kind)?;
        let made = self.parts.nonces.make(&request.device, now, self.parts.nonce_lifetime);
        let (nonce, valid_until) = made.ok_or(Denied::Random)?;
        let credential = match kind {
            EvidenceKind::Tpm2 => Some(self.tpm_credential(request.introduction, &nonce)?),
            _ => None,
        };
        Ok(Challenged { server_time: now, nonce, valid_until, kind, credential, renewal_wanted })
    }

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
    async fn enroll_as(
        &self,
        application: &Application<'_>,
        evidence: Evidence<'_>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        let Application { device, csr, .. } = application;
        application.note_way(draft);
        for attempt in 0..ATTEMPTS {
            let snapshot = self.parts.store.snapshot(device, now).await?;
            let known = snapshot.known.as_ref();
            draft.facts(csr, Some(evidence.kind), known, None);
            let (proof, token) = self.proof(device, &evidence, csr).await?;
            let group = application.group(draft, known, Some(&proof))?;
            if attempt == 0 {
                self.gate.group(&group, None)?;
            }
            let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
            draft.know(self.imported.get(self.parts.store.as_ref(), snapshot.reference).await?);
            let appraised = spans::appraisal().in_scope(|| {
                draft.appraise(&group, &makers, |basis| application.appraise(&proof, basis, known, now))
            });
            let appraised = self.noted(device, appraised, (Some(evidence), &snapshot), now).await?;
            let certificate = draft.certificate(&group, known, &appraised, &self.parts.profile)?;
            let (presented, record) = (None, draft.record());
            let ask = Ask { application, snapshot, token, presented, group, record, certificate, now };
            if let Some(outcome) = self.issue(appraised, ask).await? {
                return Ok(outcome.told(draft.broker()));
            }
        }
        Err(Denied::Contended)
    }

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
    fn freshness(
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
    async fn renew_as(
        &self,
        application: &Application<'_>,
        identity: &ClientIdentity,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<Outcome, Denied> {
        let Application { device, csr, evidence, .. } = application;
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
            if attempt == 0 {
                self.gate.group(&group, Some(self.left(identity)))?;
            }
            let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
            draft.know(self.imported.get(self.parts.store.as_ref(), snapshot.reference).await?);
            let appraised = spans::appraisal().in_scope(|| {
                draft.appraise(&group, &makers, |basis| {
                    appraisal::appraise_renewal(&presented, basis, known, now)
                })
            });
            let appraised = self.noted(device, appraised, (*evidence, &snapshot), now).await?;
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

    /// Finishes or voids what a crash left open. To be called before the first request.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn recover(&self) -> Result<Recovered, Denied> {
        let mut recovered = Recovered::default();
        let open = self.parts.store.open_intents().await?;
        match self.may_sign().await {
            Err(Denied::SigningStopped(_)) => return Ok(Recovered { left: open.len(), ..recovered }),
            other => other?,
        }
        for recorded in open {
            let (serial, now) = (recorded.serial(), self.now());
            match self.finish(recorded, now).await {
                Ok(_) => recovered.finished += 1,
                Err(Denied::Store(error)) => return Err(Denied::Store(error)),
                // It can never be signed any more.
                Err(
                    denied
                    @ (Denied::Ca(IssueError::Lint(_)) | Denied::NoAuthority(_) | Denied::Withdrawn(_)),
                ) => {
                    self.parts.store.void(serial, denied.to_string(), now).await?;
                    recovered.voided += 1;
                }
                // The key does not answer for now: the device's own repetition takes it up again.
                Err(denied) => {
                    tracing::warn!(%serial, error = chain(&denied), "an open intent could not be signed");
                    recovered.left += 1;
                }
            }
        }
        Ok(recovered)
    }

    /// `None`: the device changed since its snapshot; the request has to be appraised again.
    async fn issue(&self, appraised: Appraised, ask: Ask<'_>) -> Result<Option<Outcome>, Denied> {
        self.parts.hook.at(Failpoint::Appraised);
        self.may_sign().await?;
        let now = ask.now;
        let device = appraised.device().clone();
        let evidence = ask.application.evidence.as_ref().and_then(evidence_hash);
        let authorized = self.authorize(appraised, ask)?;
        #[cfg(any(test, feature = "plants"))]
        if self.parts.hook.has(Plant::SignsBeforeRecording) {
            // The planted bug: what is signed here has no record if the process dies now.
            let planted = Recorded::planted(&authorized);
            self.sign(planted, now).await?;
        }
        let recorded = match self.parts.store.record(authorized).await? {
            RecordOutcome::Open(recorded) => recorded,
            RecordOutcome::Issued { der, validity, issuer } => {
                return Ok(Some(Outcome::Granted(Granted::new(der, validity, issuer))));
            }
            RecordOutcome::Held => return Ok(Some(Outcome::Held)),
            RecordOutcome::Changed => return Ok(None),
            RecordOutcome::Refused(refused) => {
                if refused.reject == Reject::IdentityConflict {
                    let event = NewEvent::new(now, EventKind::CloneSuspected, refused.reason).about(&device);
                    self.suspect(event.because(refused.reject.name()).on(evidence)).await;
                }
                return Err(Denied::Refused(refused));
            }
        };
        self.parts.hook.at(Failpoint::Recorded(recorded.serial()));
        self.finish(recorded, now).await.map(|granted| Some(Outcome::Granted(granted)))
    }

    fn authorize(&self, appraised: Appraised, ask: Ask<'_>) -> Result<Authorized, Denied> {
        let Ask { application, snapshot, token, presented, group, record, certificate, now } = ask;
        let Application { evidence, freshness, via, trust, .. } = *application;
        let nonce = evidence.and_then(|evidence| evidence.nonce.copied());
        let binding = match (nonce, presented, evidence) {
            (Some(nonce), ..) => Binding::Nonce(nonce),
            (None, Some(serial), _) => Binding::Certificate(serial),
            (None, None, Some(_)) => Binding::Key,
            (None, None, None) => return Err(Denied::NoClientCertificate),
        };
        let authorities = self.authorities();
        let ca = authorities.issuer().certificate();
        let basis = Basis {
            known: snapshot.known,
            binding,
            must_be_known: freshness == Freshness::Stale,
            token,
            presented,
            evidence: evidence.as_ref().map(stored),
            via,
            trust,
            group,
            record: Some(record),
            serial: Serial::random_at(now).map_err(|_| Denied::Random)?,
            validity: Validity::of_ldevid(now, certificate.lifetime, ca).map_err(IssueError::from)?,
            profile: certificate.bound,
            issuer: authorities.active(),
            now,
        };
        Ok(Authorized::new(appraised, basis))
    }

    /// Lints, signs and stores a recorded intent.
    async fn finish(&self, recorded: Recorded, now: UnixTime) -> Result<Granted, Denied> {
        let (validity, issuer) = (recorded.validity(), recorded.issuer());
        let signed = self.sign(recorded.clone(), now).instrument(spans::signing()).await?;
        let serial = recorded.serial();
        let completed = self.parts.store.complete(recorded, signed.der().to_vec(), now).await;
        #[cfg(any(test, feature = "plants"))]
        if completed.is_err() && self.parts.hook.has(Plant::AnswersWithoutStoring) {
            return Ok(Granted::new(signed.der().to_vec(), validity, issuer));
        }
        match completed? {
            Completed::Issued(der) => {
                self.parts.hook.at(Failpoint::Completed(serial));
                Ok(Granted::new(der, validity, issuer))
            }
            Completed::Voided(state) => Err(Denied::Withdrawn(state)),
        }
    }

    async fn sign(&self, recorded: Recorded, now: UnixTime) -> Result<ca::Issued, Denied> {
        let authorities = self.authorities();
        let recorded_for = authorities.get(recorded.issuer()).and_then(Authority::signer);
        let issuer = Arc::clone(recorded_for.ok_or(Denied::NoAuthority(recorded.issuer()))?);
        let linted =
            ca::lint(&recorded, &self.parts.profile, issuer.certificate(), now).map_err(IssueError::from)?;
        let signed = if issuer.signs_at_once() {
            issuer.issue(linted, now)?
        } else {
            // A key that is elsewhere lets its callers wait.
            let signed = tokio::task::spawn_blocking(move || issuer.issue(linted, now)).await;
            signed.map_err(|_| Denied::SignerGone)??
        };
        self.parts.hook.at(Failpoint::Signed(signed.serial()));
        Ok(signed)
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

    /// The kind of evidence to ask for.
    async fn kind_for(
        &self,
        request: &ChallengeRequest<'_>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<(EvidenceKind, bool), Denied> {
        let snapshot = self.parts.store.snapshot(&request.device, now).await?;
        Ok((draft.kind_for(&request.kinds, snapshot.known.as_ref())?, snapshot.renewal_wanted))
    }

    /// Passes an appraisal on. A refusal may be an event of its own: a suspected clone, or a device whose genuine
    /// evidence tells of a change for the worse.
    async fn noted(
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

    async fn suspect(&self, event: NewEvent) {
        // The refusal stands whether or not the suspicion can be written down.
        if let Err(error) = self.parts.store.add_event(event.by(Actor::Device), audit::QUIET).await {
            tracing::error!(%error, "a suspected clone could not be written to the audit trail");
        }
    }
}

/// What [`Issuance::recover`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Intents that were signed and stored now.
    pub finished: usize,
    /// Intents that were given up.
    pub voided: usize,
    /// Intents that are still open, because the CA's key does not answer.
    pub left: usize,
}

/// A request as far as it is needed after its appraisal.
struct Ask<'a> {
    application: &'a Application<'a>,
    snapshot: Snapshot,
    token: Option<Sha256>,
    presented: Option<Serial>,
    group: GroupName,
    record: Box<NewAppraisal>,
    certificate: Pinned,
    now: UnixTime,
}
