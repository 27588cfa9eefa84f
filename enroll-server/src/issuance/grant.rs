//! From an accepted appraisal to the answer: authorize, record, lint, sign, store.

use std::sync::Arc;

use appraisal::{Appraised, GroupName};
use ca::{IssueError, RecordedIntent as _, Serial, SerialError, Validity};
use shared::{Reject, UnixTime};
use tracing::Instrument as _;

use super::application::Application;
use super::evidence::{evidence_hash, stored};
use super::{Denied, Granted, Issuance, Outcome, chain};
use crate::audit::EventKind;
use crate::authorities::Authority;
#[cfg(any(test, feature = "plants"))]
use crate::authorization::Decision;
use crate::authorization::{Authorized, Basis};
use crate::failpoint::Failpoint;
#[cfg(any(test, feature = "plants"))]
use crate::failpoint::Plant;
use crate::nonce::Freshness;
use crate::policies::Pinned;
use crate::store::{Binding, Completed, NewAppraisal, NewEvent, RecordOutcome, Recorded, Sha256, Snapshot};
use crate::telemetry::traces::spans;

/// How often a request is appraised anew because its device changed in between.
pub(super) const ATTEMPTS: usize = 4;

/// A request as far as it is needed after its appraisal.
pub(super) struct Ask<'a> {
    pub(super) application: &'a Application<'a>,
    pub(super) snapshot: Snapshot,
    pub(super) token: Option<Sha256>,
    pub(super) presented: Option<Serial>,
    pub(super) group: GroupName,
    pub(super) record: Box<NewAppraisal>,
    pub(super) certificate: Pinned,
    pub(super) now: UnixTime,
}

impl Issuance {
    /// `None`: the device changed since its snapshot; the request has to be appraised again.
    pub(super) async fn issue(&self, appraised: Appraised, ask: Ask<'_>) -> Result<Option<Outcome>, Denied> {
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
        let (store, refusals) = (self.parts.store.as_ref(), &self.parts.refusals);
        #[cfg(any(test, feature = "plants"))]
        if self.parts.hook.has(Plant::ChecksNonceApart)
            && store.would(authorized.clone()).await? == Decision::Record
        {
            // The planted bug: by what was seen a moment ago. Meanwhile the same request may have come once more.
            tokio::time::sleep(core::time::Duration::from_millis(250)).await;
            let planted = Recorded::planted(&authorized);
            let (validity, issuer) = (planted.validity(), planted.issuer());
            let signed = self.sign(planted, now).await?;
            let recorded = store.record(authorized).await?;
            if let RecordOutcome::Open(recorded) = recorded {
                store.complete(recorded, signed.der().to_vec(), now).await?;
            }
            return Ok(Some(Outcome::Granted(Granted::new(signed.der().to_vec(), validity, issuer))));
        }
        refusals.write_before_granting(&device, store).await;
        let recorded = match self.parts.store.record(authorized).await? {
            RecordOutcome::Open(recorded) => recorded,
            RecordOutcome::Issued { der, validity, issuer } => {
                return Ok(Some(Outcome::Granted(Granted::new(der, validity, issuer))));
            }
            RecordOutcome::Held => return Ok(Some(Outcome::Held)),
            RecordOutcome::Changed => return Ok(None),
            RecordOutcome::OtherCa => return Err(Denied::OtherCa),
            RecordOutcome::Refused(refused) => {
                if refused.reject == Reject::IdentityConflict {
                    let event = NewEvent::new(now, EventKind::CloneSuspected, refused.reason).about(&device);
                    self.suspect(event.because(refused.reject.name()).on(evidence)).await;
                }
                return Err(Denied::Refused(refused));
            }
        };
        let serial = recorded.serial();
        self.parts.hook.at(Failpoint::Recorded(serial));
        let finished = self.finish(recorded, now).await;
        if let Err(denied) = &finished
            && denied.is_for_good()
        {
            // Else its repetitions would be told to come later for ever: it may be of a clock that was years ahead.
            self.parts.store.void(serial, chain(denied), now).await?;
        }
        finished.map(|granted| Some(Outcome::Granted(granted)))
    }

    /// Whether the CA lives by the clock. Where it does not, the clock may be wrong, and so would be whatever is said of
    /// certificates of makers and devices by it: nobody is judged.
    pub(super) fn ca_lives(&self, now: UnixTime) -> Result<(), Denied> {
        let lives = self.authorities().issuer().certificate().check_valid_at(now);
        Ok(lives.map_err(IssueError::from)?)
    }

    pub(super) fn authorize(&self, appraised: Appraised, ask: Ask<'_>) -> Result<Authorized, Denied> {
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
            serial: self.serial(now)?,
            validity: Validity::of_ldevid(now, certificate.lifetime, ca).map_err(IssueError::from)?,
            profile: certificate.bound,
            issuer: authorities.active(),
            intents: self.parts.nonces.intents().clone(),
            now,
        };
        Ok(Authorized::new(appraised, basis))
    }

    /// A number that nobody can tell before.
    fn serial(&self, now: UnixTime) -> Result<Serial, Denied> {
        let fill = |bytes: &mut [u8; 16]| self.parts.hook.draw(bytes).map_err(|_| SerialError::Random);
        Serial::draw_at(now, fill).map_err(|_| Denied::Random)
    }

    /// Lints, signs and stores a recorded intent.
    pub(super) async fn finish(&self, recorded: Recorded, now: UnixTime) -> Result<Granted, Denied> {
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
}
