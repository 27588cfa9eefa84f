//! What becomes of the server's answer to a request.

use core::time::Duration;

use shared::codec::DecodeError;
use shared::message::latest::{Answer, Outcome, Rejected};
use shared::reject::DeviceAction;
use shared::{Reject, UnixTime};

use super::drive::{Run, random};
use super::exchange::take_trust;
use super::{Agent, AnswerError, Notice, OnceError, Parts, World};
use crate::lifecycle::{Errand, Event, Verdict, renewal_point};
use crate::platform::{Attester as _, Clock as _, Observer as _, PublicPoint, Reply, StorageError};
use crate::slots::{self, Dates, Identity, Purpose};
use crate::x509::Validity;

/// Why an issued certificate is not in its slot now.
enum NotTaken {
    Answer(AnswerError),
    Storage(StorageError),
}

impl<W: World, const REQUEST: usize, const ANSWER: usize> Agent<'_, W, REQUEST, ANSWER> {
    /// Takes the answer in its buffer. `key` is the key that a certificate was asked for; without it, none is
    /// taken.
    pub(super) async fn take_answer(
        &mut self,
        run: &mut Run,
        errand: Errand,
        reply: Reply,
        validity: Validity,
        key: Option<&PublicPoint>,
    ) {
        let (server_time, outcome) = match read(self.answer.get(..reply.length).unwrap_or_default()) {
            Ok(answer) => answer,
            Err(_) if reply.status != 200 => {
                return self.bad_answer(run, errand, AnswerError::Status(reply.status));
            }
            Err(error) => return self.bad_answer(run, errand, error.into()),
        };
        let verdict = match outcome {
            Read::Pending { retry_after } => {
                run.failure = Some(OnceError::Pending);
                Verdict::Pending { retry_after }
            }
            Read::Rejected { code, retry_after } => {
                let renewal = run.stored.state().asked().filter(|asked| asked.purpose == Purpose::Renew);
                let reject = Reject::from_code(code);
                let enrolls_again = reject.is_some_and(|r| r.device_action() == DeviceAction::EnrollAgain);
                let bare = renewal.is_some_and(|asked| asked.evidence().is_none());
                // A renewal that goes on as an enrollment, or with evidence, has not failed yet.
                let goes_on =
                    renewal.is_some() && enrolls_again || bare && reject == Some(Reject::EvidenceWanted);
                if !goes_on {
                    run.failure = Some(OnceError::Refused { code });
                }
                Verdict::Rejected { code, status: reply.status, retry_after }
            }
            Read::Issued => {
                let Some(key) = key else {
                    return self.bad_answer(run, errand, AnswerError::Unasked);
                };
                let held = self.trust.bundle().map(|bundle| bundle.number);
                let taken = self.take_issued(run, reply.length, key).await;
                if self.trust.bundle().map(|bundle| bundle.number) != held {
                    self.tell(run, Event::TrustAsked);
                }
                match taken {
                    Ok(dates) => Verdict::Issued { dates },
                    Err(NotTaken::Answer(error)) => return self.bad_answer(run, errand, error),
                    Err(NotTaken::Storage(error)) => return self.not_stored(run, error),
                }
            }
        };
        self.tell(run, Event::Answered { errand, server_time, answer: verdict, validity });
        self.report(run, verdict, reply.length);
    }

    /// Checks the certificate, then makes trust bundle and identity durable.
    async fn take_issued(&mut self, run: &Run, length: usize, key: &PublicPoint) -> Result<Dates, NotTaken> {
        let Self { world, trust, request, answer, .. } = self;
        let Parts { attester, clock, rng, storage, observer, .. } = world.parts();
        let answer = Answer::decode(answer.get(..length).unwrap_or_default())
            .map_err(|error| NotTaken::Answer(error.into()))?;
        let Outcome::Issued(issued) = answer.outcome else {
            return Err(NotTaken::Answer(AnswerError::Unasked));
        };
        let mut identity = Identity {
            chain: issued.chain,
            renew_at: issued.renew_by,
            order: run.stored.state().counter(),
            broker: issued.broker,
        };
        let dates =
            identity.check(key, attester.device_id()).map_err(|error| NotTaken::Answer(error.into()))?;
        if dates.not_after <= answer.server_time {
            return Err(NotTaken::Answer(AnswerError::Ended));
        }
        let random = random(rng, attester.device_id(), clock.uptime());
        identity.renew_at =
            renewal_point(issued.renew_from, issued.renew_by, answer.server_time, dates.not_after, random);
        take_trust(trust, issued.trust_bundle, storage, observer, request)
            .await
            .map_err(NotTaken::Storage)?;
        let slot = slots::store_identity(storage, &run.stored, &identity, request)
            .await
            .map_err(NotTaken::Storage)?;
        let dates = Dates { renew_at: identity.renew_at, ..dates };
        observer.notice(&Notice::Enrolled {
            slot,
            chain: &identity.chain,
            not_after: dates.not_after,
            renew_at: dates.renew_at,
            renewal: run.stored.state().current().is_some(),
        });
        Ok(dates)
    }

    /// The certificate cannot be kept; the same request brings it again.
    fn not_stored(&mut self, run: &mut Run, error: StorageError) {
        self.world.parts().observer.notice(&Notice::StorageFailed(error));
        run.failure = Some(error.into());
        self.tell(run, Event::AnswerNotKept);
    }

    fn report(&mut self, run: &Run, verdict: Verdict, length: usize) {
        let is_final = run.machine.state().final_refusal().is_some();
        let answer = Answer::decode(self.answer.get(..length).unwrap_or_default());
        let Parts { observer, .. } = self.world.parts();
        match (verdict, answer.map(|answer| answer.outcome)) {
            (Verdict::Pending { retry_after }, _) => {
                observer.notice(&Notice::Pending { retry_in: retry_after });
            }
            (Verdict::Rejected { code, .. }, Ok(Outcome::Rejected(rejected))) => {
                observer.notice(&Notice::Refused {
                    code,
                    reject: rejected.reject(),
                    message: rejected.message,
                    is_final,
                });
            }
            _ => {}
        }
    }
}

/// An answer's outcome without what it borrows.
enum Read {
    Issued,
    Pending { retry_after: Duration },
    Rejected { code: u16, retry_after: Option<Duration> },
}

fn read(answer: &[u8]) -> Result<(UnixTime, Read), DecodeError> {
    let answer = Answer::decode(answer)?;
    let outcome = match answer.outcome {
        Outcome::Issued(_) => Read::Issued,
        Outcome::Pending { retry_after } => Read::Pending { retry_after },
        Outcome::Rejected(Rejected { code, retry_after, .. }) => Read::Rejected { code, retry_after },
    };
    Ok((answer.server_time, outcome))
}
