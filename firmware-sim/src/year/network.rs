//! A device's way to the enrollment server, looked on.

use std::sync::Arc;

use agent_core::platform::{ClientIdentity, Reply, Request, Server, Transport, TransportError};
use agent_core::x509::Certificate;
use shared::endpoint;
use shared::message::latest::{Answer, Outcome};

use super::ledger::Ledger;
use super::plant::{Plant, renew_at_the_end};
use super::time::Participant;

/// [`Transport`] that tells the ledger what is asked for.
pub(super) struct Calls<T> {
    pub(super) inner: T,
    pub(super) who: Arc<Participant>,
    pub(super) ledger: Ledger,
    pub(super) device: usize,
    pub(super) plant: Option<Plant>,
}

impl<K, T: Transport<K>> Transport<K> for Calls<T> {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        self.who.doing("asking the enrollment server");
        self.ledger.request(self.device, &request);
        if self.plant == Some(Plant::IgnoresTrustBundles) && request.path == endpoint::TRUST {
            return Err(TransportError::Unreachable);
        }
        let reply = self.inner.exchange(server, identity, request, answer).await?;
        self.who.doing("reading the answer");
        if self.plant != Some(Plant::IgnoresRenewalWindow) {
            return Ok(reply);
        }
        let received = answer.get(..reply.length).unwrap_or_default();
        let length = end_of_leaf(received).and_then(|end| renew_at_the_end(answer, reply.length, end));
        Ok(Reply { length: length.unwrap_or(reply.length), ..reply })
    }
}

/// The end of the certificate in an answer.
fn end_of_leaf(answer: &[u8]) -> Option<shared::UnixTime> {
    let Outcome::Issued(issued) = Answer::decode(answer).ok()?.outcome else { return None };
    Some(Certificate::parse(issued.chain.first()?).ok()?.not_after())
}
