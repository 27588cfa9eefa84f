//! The OCSP responder: asks the store how certificates stand, and has the answer signed, or gives one that was signed
//! for another before (RFC 5019).
//!
//! Every answer goes by the store, so that a revocation is there at once: what is kept is the signature, not the
//! status. HTTP is not its concern.

mod cache;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ca::Issuer;
use ca::ocsp::{Answer, Asked, Failure, Produced, Query, Responder, Status, names_issuer};
use shared::UnixTime;

use crate::authorities::InOffice;
use crate::clock::Clock;
use crate::issuance::chain;
use crate::store::{CertificateStatus, IssuerNumber, Store};
use cache::{Cache, Kept};

/// How long the CA's key is left alone after it did not sign a responder's certificate.
const RETRY: Duration = Duration::from_secs(30);

/// Answers for all CAs that have a key.
#[derive(Debug)]
pub struct Ocsp {
    store: Arc<dyn Store>,
    authorities: Arc<InOffice>,
    clock: Arc<dyn Clock>,
    valid: Duration,
    responders: Mutex<BTreeMap<IssuerNumber, Post>>,
    /// Held while a responder is made, so that one is made and not many.
    making: tokio::sync::Mutex<()>,
    cache: Mutex<Cache>,
}

/// The responder of a CA, if there is one, and when the CA last failed to make one.
#[derive(Clone, Debug, Default)]
struct Post {
    responder: Option<Arc<Responder>>,
    failed: Option<UnixTime>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The OCSPResponse in DER.
    pub der: Bytes,
    /// From when until when it is good, where others may keep it.
    pub keep: Option<Produced>,
    /// What became of the request, for the counters.
    pub outcome: &'static str,
}

impl Ocsp {
    /// A responder whose answers without a nonce are good for `valid`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        authorities: Arc<InOffice>,
        clock: Arc<dyn Clock>,
        valid: Duration,
    ) -> Self {
        Self {
            store,
            authorities,
            clock,
            valid,
            responders: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            cache: Mutex::default(),
        }
    }

    /// Answers a request of anyone. There is always an answer; one that says no more than why there is none is not
    /// signed.
    pub async fn answer(&self, request: &[u8]) -> Answered {
        match self.try_answer(request).await {
            Ok(answered) => answered,
            Err(failure) => Answered {
                der: Bytes::copy_from_slice(&failure.der()),
                keep: None,
                outcome: match failure {
                    Failure::MalformedRequest => "malformed",
                    Failure::InternalError => "internal-error",
                    Failure::TryLater => "try-later",
                    Failure::Unauthorized => "unauthorized",
                },
            },
        }
    }

    async fn try_answer(&self, request: &[u8]) -> Result<Answered, Failure> {
        let query = Query::read(request).map_err(|_| Failure::MalformedRequest)?;
        let authorities = self.authorities.now();
        let named = |asked: &Asked| {
            authorities.signers().find(|(_, issuer)| names_issuer(asked, issuer.certificate()))
        };
        let (number, issuer) = query.asked().iter().find_map(named).ok_or(Failure::Unauthorized)?;
        let ours: Vec<&Asked> =
            query.asked().iter().filter(|asked| names_issuer(asked, issuer.certificate())).collect();
        let serials = ours.iter().filter_map(|asked| asked.serial()).collect();
        let statuses = self.store.statuses(serials).await.map_err(|error| {
            tracing::error!(error = chain(&error), "OCSP: the store does not answer");
            Failure::TryLater
        })?;
        let mut statuses = statuses.into_iter();
        let answers: Vec<Answer<'_>> = query
            .asked()
            .iter()
            .map(|asked| {
                let is_ours = names_issuer(asked, issuer.certificate());
                let found = asked.serial().filter(|_| is_ours).and_then(|_| statuses.next()).flatten();
                Answer { asked, status: status(found, number) }
            })
            .collect();
        let now = self.clock.now();
        // One certificate and no nonce: others get the same.
        let single = match (answers.as_slice(), query.nonce()) {
            ([answer], None) if answer.status != Status::Unknown => Some(*answer),
            _ => None,
        };
        if let Some(answer) = single
            && let Some(kept) = self.cache().get(answer.asked.cert_id(), answer.status, now, self.valid)
        {
            return Ok(Answered { der: kept.der, keep: Some(kept.produced), outcome: "kept" });
        }
        let responder = self.responder(number, issuer, now).await?;
        let produced = Produced { at: now, next_update: now.after(self.valid).min(responder.not_after()) };
        let der = responder.respond(&answers, &query, produced).map_err(|error| {
            tracing::error!(error = chain(&error), "OCSP: an answer was not signed");
            Failure::InternalError
        })?;
        let der = Bytes::from(der);
        if let Some(answer) = single {
            let kept = Kept { status: answer.status, produced, der: der.clone() };
            self.cache().put(answer.asked.cert_id().to_vec(), kept);
        }
        Ok(Answered { der, keep: single.map(|_| produced), outcome: "signed" })
    }

    /// The responder of a CA: made at the first question, and again when half of its life is over. While the CA's key
    /// does not sign, the old one goes on to its end.
    async fn responder(
        &self,
        number: IssuerNumber,
        issuer: &Arc<Issuer>,
        now: UnixTime,
    ) -> Result<Arc<Responder>, Failure> {
        let Post { responder, failed } = self.post(number);
        let usable = responder.filter(|old| old.certificate().validity().contains(now));
        if let Some(old) = usable.as_ref().filter(|old| !old.is_due(now)) {
            return Ok(Arc::clone(old));
        }
        if failed.is_some_and(|failed| failed <= now && now < failed.after(RETRY)) {
            return usable.ok_or(Failure::TryLater);
        }
        let _making = match &usable {
            Some(old) => match self.making.try_lock() {
                Ok(making) => making,
                Err(_) => return Ok(Arc::clone(old)),
            },
            None => self.making.lock().await,
        };
        if let Some(made) = self.post(number).responder.filter(|made| !made.is_due(now)) {
            return Ok(made);
        }
        let signer = Arc::clone(issuer);
        // The key may be remote, and then signing blocks.
        let made = tokio::task::spawn_blocking(move || Responder::new(&signer, now)).await;
        match made.map_err(|_| Failure::InternalError)? {
            Ok(made) => {
                let made = Arc::new(made);
                let (serial, until) = (made.certificate().serial(), made.not_after());
                tracing::info!(issuer = %number, %serial, %until, "an OCSP responder was made");
                let post = Post { responder: Some(Arc::clone(&made)), failed: None };
                self.responders().insert(number, post);
                Ok(made)
            }
            Err(error) => {
                tracing::error!(issuer = %number, error = chain(&error), "no OCSP responder could be made");
                self.responders().entry(number).or_default().failed = Some(now);
                usable.ok_or(Failure::TryLater)
            }
        }
    }

    fn post(&self, number: IssuerNumber) -> Post {
        self.responders().get(&number).cloned().unwrap_or_default()
    }

    fn responders(&self) -> std::sync::MutexGuard<'_, BTreeMap<IssuerNumber, Post>> {
        self.responders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of a certificate of the CA `number`. "Unknown" of one that the store does not know: RFC 6960, section
/// 2.2, allows "revoked" where a CA knows all that it issued, and servers' certificates are signed outside of the store, which
/// knows only which of them are revoked.
fn status(found: Option<CertificateStatus>, number: IssuerNumber) -> Status {
    match found.filter(|found| found.issuer == number) {
        None => Status::Unknown,
        Some(CertificateStatus { revocation: None, .. }) => Status::Good,
        Some(CertificateStatus { revocation: Some(revocation), .. }) => {
            Status::Revoked { at: revocation.at, reason: revocation.reason }
        }
    }
}
