//! The exchanges with the enrollment server: challenge, enroll, renew, trust bundle.

use shared::endpoint;
use shared::message::latest::{
    Challenge, ChallengeRequest, EnrollRequest, FreshEvidence, Kinds, RenewRequest, TrustReport,
};
use zeroize::Zeroize as _;

use super::drive::Run;
use super::{Agent, AnswerError, KeyOf, Notice, OnceError, Parts, Peer, RunError, World};
use crate::csr::{self, CsrError};
use crate::lifecycle::{Errand, Event};
use crate::platform::{
    AttestError, Attester, ClientIdentity, KeyError, Observer, Reply, Request, Server, SigningKey as _,
    Storage, StorageError, Transport as _, TransportError,
};
use crate::slots::{self, Identity, Persisted, Purpose, identity_record};
use crate::trust::{Offer, TrustAnchors};
use crate::x509::Validity;

impl<W: World, const REQUEST: usize, const ANSWER: usize> Agent<'_, W, REQUEST, ANSWER> {
    /// Asks for a nonce, or for the time that comes with it.
    pub(super) async fn challenge(&mut self, run: &mut Run, errand: Errand, validity: Validity) {
        let Parts { attester, .. } = self.world.parts();
        // The introduction lies in the answer's buffer meanwhile.
        let introduced = match attester.introduce(&mut self.answer) {
            Ok(length) => length,
            Err(error) => return self.no_request(run, errand, error.into()),
        };
        let question = ChallengeRequest {
            device: attester.device_id().clone(),
            kinds: Kinds::from_slice(&[attester.kind()]).unwrap_or_default(),
            introduction: self.answer.get(..introduced).filter(|bytes| !bytes.is_empty()),
        };
        let Ok(length) = question.encode(&mut self.request) else {
            return self.no_request(run, errand, AttestError::TooLong.into());
        };
        // A server that has too much to do looks how long the identity lasts.
        let renews = errand == Errand::Identity && run.machine.renews();
        let sent = self.send_shown(run, endpoint::CHALLENGE, length, renews, validity).await;
        let Some(reply) = self.reached(run, errand, sent, validity) else {
            return;
        };
        if reply.status != HTTP_OK {
            return self.take_answer(run, errand, reply, validity, None).await;
        }
        let challenge = self.answer.get(..reply.length).unwrap_or_default();
        let Parts { attester, observer, .. } = self.world.parts();
        match Challenge::decode(challenge) {
            Ok(challenge) if challenge.kind == attester.kind() => {
                observer.notice(&Notice::Challenged { kind: challenge.kind });
                let Challenge { server_time, nonce, kind, credential, renewal_wanted, .. } = challenge;
                // One that comes with the time alone must not take the place of that of a request under way.
                if errand == Errand::Identity
                    && let Some(credential) = credential
                    && let Err(error) = attester.take_credential(&nonce, credential)
                {
                    return self.no_request(run, errand, error.into());
                }
                let event = Event::Challenged { errand, server_time, nonce, kind, renewal_wanted, validity };
                self.tell(run, event);
            }
            Ok(_) => self.bad_answer(run, errand, AnswerError::Kind),
            Err(error) => self.bad_answer(run, errand, error.into()),
        }
    }

    /// Sends the request that the durable state names.
    pub(super) async fn request(&mut self, run: &mut Run, purpose: Purpose, validity: Validity) {
        let errand = Errand::Identity;
        let Parts { keys, storage, .. } = self.world.parts();
        let key = match slots::persisted(keys, storage, &run.stored).await {
            Ok(Some(key)) => key,
            Ok(None) | Err(KeyError::Damaged) => return self.key_lost(run),
            // Hardware or storage may answer again: what was asked, with a one-time token perhaps, is not given up.
            Err(error) => return self.no_request(run, errand, error.into()),
        };
        let length = match self.compose(run, &key, purpose) {
            Ok(length) => length,
            Err(error) => return self.no_request(run, errand, error),
        };
        let sent = match purpose {
            Purpose::Enroll => self.send(endpoint::ENROLL, length, None, validity).await,
            Purpose::Renew => match self.send_identified(run, endpoint::RENEW, length, validity).await {
                Ok(sent) => sent,
                Err(error) => return self.no_renewal(run, error, validity),
            },
        };
        // A one-time token may have been in it.
        self.request.zeroize();
        let Some(reply) = self.reached(run, errand, sent, validity) else {
            return;
        };
        self.take_answer(run, errand, reply, validity, Some(&key.key().public_point())).await;
    }

    /// Tells the server which trust bundle is held, and takes the one that it answers with. Whatever has an identity
    /// shows it: the server believes no one else.
    pub(super) async fn fetch_trust(&mut self, run: &mut Run, validity: Validity) {
        let held = self.trust.bundle().map_or(0, |bundle| bundle.number);
        let Ok(length) = TrustReport { held }.encode(&mut self.request) else {
            return self.no_request(run, Errand::Trust, AttestError::TooLong.into());
        };
        let enrolled = run.stored.state().current().is_some();
        let sent = self.send_shown(run, endpoint::TRUST, length, enrolled, validity).await;
        let Some(reply) = self.reached(run, Errand::Trust, sent, validity) else {
            return;
        };
        if reply.status != HTTP_OK {
            return self.bad_answer(run, Errand::Trust, AnswerError::Status(reply.status));
        }
        let Parts { storage, observer, .. } = self.world.parts();
        let offered = self.answer.get(..reply.length).unwrap_or_default();
        match take_trust(&mut self.trust, offered, storage, observer, &mut self.request).await {
            Ok(newer) => self.tell(run, Event::TrustFetched { newer, validity }),
            Err(_) => self.tell(run, Event::RequestFailed { errand: Errand::Trust, again: true }),
        }
    }

    /// Writes the request into its buffer; what it is made of lies in the answer's buffer meanwhile.
    fn compose(
        &mut self,
        run: &Run,
        key: &Persisted<KeyOf<W>>,
        purpose: Purpose,
    ) -> Result<usize, OnceError> {
        let Parts { attester, .. } = self.world.parts();
        let asked = run.stored.state().asked().ok_or(OnceError::Attest(AttestError::Kind))?;
        let device = attester.device_id().clone();
        let trust = self.trust.bundle().ok().map(|bundle| bundle.number);
        let (csr, scratch) = self.answer.split_at_mut_checked(csr::MAX).ok_or(AttestError::TooLong)?;
        let length = csr::build(key, &device, csr).map_err(|error| match error {
            CsrError::Key(error) => OnceError::Key(error),
            CsrError::TooShort => AttestError::TooLong.into(),
        })?;
        let csr = csr.get(..length).unwrap_or_default();
        let mut body = 0..0;
        if let Some((nonce, kind)) = asked.evidence() {
            // Asked before a restart that brought another identity.
            if kind != attester.kind() {
                return Err(AttestError::Kind.into());
            }
            body.end = attester.attest(&nonce, &key.key().public_point(), scratch)?;
        }
        let evidence = asked.evidence().map(|(nonce, kind)| FreshEvidence {
            nonce,
            kind,
            body: scratch.get(body).unwrap_or_default(),
            endorsements: attester.endorsements(),
        });
        let written = match (purpose, evidence) {
            (Purpose::Enroll, Some(evidence)) => {
                EnrollRequest { device, csr, evidence, trust }.encode(&mut self.request)
            }
            (Purpose::Enroll, None) => return Err(AttestError::Kind.into()),
            (Purpose::Renew, evidence) => {
                RenewRequest { device, csr, evidence, trust }.encode(&mut self.request)
            }
        };
        self.answer.zeroize();
        written.map_err(|_| AttestError::TooLong.into())
    }

    /// Sends what is composed, with the identity in use where it is to be `shown` and can be. Where its certificate is not
    /// to be had now, the answer may be what the device needs.
    async fn send_shown(
        &mut self,
        run: &Run,
        path: &str,
        length: usize,
        shown: bool,
        validity: Validity,
    ) -> Result<Reply, TransportError> {
        if shown && let Ok(sent) = self.send_identified(run, path, length, validity).await {
            return sent;
        }
        self.send(path, length, None, validity).await
    }

    /// Sends what is composed, with the identity in use as the TLS client. Its certificates lie behind the
    /// request in the same buffer.
    async fn send_identified(
        &mut self,
        run: &Run,
        path: &str,
        length: usize,
        validity: Validity,
    ) -> Result<Result<Reply, TransportError>, OnceError> {
        let slot = run.stored.state().current().ok_or(OnceError::NotEnrolled)?.slot;
        let Parts { keys, storage, transport, .. } = self.world.parts();
        let key =
            slots::open_identity_key(keys, storage, &run.stored, slot).await?.ok_or(KeyError::Damaged)?;
        let (body, room) = self.request.split_at_mut_checked(length).ok_or(StorageError::TooLong)?;
        let loaded = storage.load(identity_record(slot), room).await?.ok_or(StorageError::Medium)?;
        let identity = Identity::read(slot, room.get(..loaded).unwrap_or_default())
            .map_err(|error| OnceError::Answer(error.into()))?;
        let bundle = self.trust.bundle().map_err(RunError::from)?;
        let server = Server {
            host: self.settings.server_host,
            port: self.settings.server_port,
            anchors: &bundle.anchors,
            validity,
        };
        let client = ClientIdentity { key: &key, chain: &identity.chain };
        let request = Request { path, body: Some(body) };
        Ok(transport.exchange(server, Some(client), request, &mut self.answer).await)
    }

    /// Sends the first `length` bytes of the request buffer, or nothing but the path.
    async fn send(
        &mut self,
        path: &str,
        length: usize,
        identity: Option<ClientIdentity<'_, KeyOf<W>>>,
        validity: Validity,
    ) -> Result<Reply, TransportError> {
        // Without anchors no server is verified: the exchange fails closed.
        let bundle = self.trust.bundle().map_err(|_| TransportError::Tls)?;
        let server = Server {
            host: self.settings.server_host,
            port: self.settings.server_port,
            anchors: &bundle.anchors,
            validity,
        };
        let body = self.request.get(..length).filter(|body| !body.is_empty());
        let request = Request { path, body };
        self.world.parts().transport.exchange(server, identity, request, &mut self.answer).await
    }

    fn reached(
        &mut self,
        run: &mut Run,
        errand: Errand,
        sent: Result<Reply, TransportError>,
        validity: Validity,
    ) -> Option<Reply> {
        match sent {
            Ok(reply) => Some(reply),
            Err(error) => {
                let Parts { observer, .. } = self.world.parts();
                observer.notice(&Notice::Unreachable { peer: Peer::EnrollmentServer, error });
                run.failure = Some(error.into());
                self.tell(run, Event::ExchangeFailed { errand, error, validity });
                None
            }
        }
    }

    pub(super) fn bad_answer(&mut self, run: &mut Run, errand: Errand, error: AnswerError) {
        self.world.parts().observer.notice(&Notice::BadAnswer(error));
        run.failure = Some(error.into());
        self.tell(run, Event::RequestFailed { errand, again: false });
    }

    fn no_request(&mut self, run: &mut Run, errand: Errand, error: OnceError) {
        let Parts { observer, .. } = self.world.parts();
        match error {
            OnceError::Key(error) => observer.notice(&Notice::KeyFailed(error)),
            OnceError::Attest(error) => observer.notice(&Notice::AttestFailed(error)),
            OnceError::Storage(error) => observer.notice(&Notice::StorageFailed(error)),
            _ => {}
        }
        run.failure = Some(error);
        // What this nonce needs is not there any more, and another nonce brings it.
        let again = error != OnceError::Attest(AttestError::Kind);
        self.tell(run, Event::RequestFailed { errand, again });
    }

    /// The identity in use cannot be shown to the server. Where that will not change, the machine goes another
    /// way.
    fn no_renewal(&mut self, run: &mut Run, error: OnceError, validity: Validity) {
        let current = run.stored.state().current();
        match (error, current) {
            (OnceError::Key(KeyError::Damaged) | OnceError::Answer(_), Some(current)) => {
                self.world.parts().observer.notice(&Notice::KeyFailed(KeyError::Damaged));
                self.tell(run, Event::IdentityUnusable { slot: current.slot });
            }
            (OnceError::Storage(StorageError::TooLong), _) => {
                // Request and certificates do not fit one buffer.
                let error = TransportError::TooLarge;
                self.world
                    .parts()
                    .observer
                    .notice(&Notice::Unreachable { peer: Peer::EnrollmentServer, error });
                self.tell(run, Event::ExchangeFailed { errand: Errand::Identity, error, validity });
            }
            _ => self.no_request(run, Errand::Identity, error),
        }
    }

    fn key_lost(&mut self, run: &mut Run) {
        let error = KeyError::Damaged;
        self.world.parts().observer.notice(&Notice::KeyFailed(error));
        run.failure = Some(error.into());
        self.tell(run, Event::KeyFailed);
    }
}

/// Takes over a trust bundle, if it follows the one in force. One that does not is left aside: whatever came
/// with it stands on its own. Says whether another one is in force now.
pub(super) async fn take_trust(
    trust: &mut TrustAnchors,
    offered: &[u8],
    storage: &mut impl Storage,
    observer: &mut impl Observer,
    buffer: &mut [u8],
) -> Result<bool, StorageError> {
    let offer = match trust.verify(offered) {
        Ok(Offer::Newer(offer)) => offer,
        Ok(Offer::Same) => return Ok(false),
        Err(error) => {
            observer.notice(&Notice::TrustRefused(error));
            return Ok(false);
        }
    };
    if let Err(error) = trust.take(offer, storage, buffer).await {
        observer.notice(&Notice::StorageFailed(error));
        return Err(error);
    }
    if let Ok(bundle) = trust.bundle() {
        observer.notice(&Notice::TrustChanged { number: bundle.number, anchors: &bundle.anchors });
    }
    Ok(true)
}

const HTTP_OK: u16 = 200;
