//! Writes the protocol's answers.

use core::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use shared::codec::EncodeError;
use shared::message::latest::{Answer, Issued, Outcome as Wire, Rejected};
use shared::{DeviceId, Reject, endpoint, limits};

use super::Api;
use super::error::{Problem, sentence};
use crate::admission::Later;
use crate::config::Broker;
use crate::issuance::{Denied, Granted, Outcome};
use crate::telemetry::traces::spans;

impl Api {
    /// The answer to an enrollment or renewal that was not refused. `held` is the trust bundle that the device has.
    pub(super) async fn outcome(
        &self,
        device: &DeviceId,
        held: Option<u64>,
        outcome: &Outcome,
    ) -> Result<Response<Body>, Problem> {
        match outcome {
            Outcome::Granted(granted) => {
                let broker = self.broker(device).await?;
                Ok(self.granted(device, granted, held, broker)?)
            }
            Outcome::Held => {
                let pending = Wire::Pending { retry_after: self.approval_retry };
                // RFC 9110, section 15.3.3: accepted, not yet acted upon.
                Ok(self.answer(StatusCode::ACCEPTED, pending, Some(self.approval_retry))?)
            }
        }
    }

    /// The broker of a device that has a certificate.
    async fn broker(&self, device: &DeviceId) -> Result<&Broker, Problem> {
        if let Some(only) = self.brokers.only() {
            return Ok(only);
        }
        let known = self.issuance.store().device(device).await.map_err(Denied::from)?;
        let group = known.map(|known| known.group).unwrap_or_default();
        let assigned = self.brokers.assign(device, &group).await.ok_or(Problem::NoBroker)?;
        tracing::debug!(%device, %group, broker = assigned.name, "a broker was assigned");
        Ok(&assigned.broker)
    }

    fn granted(
        &self,
        device: &DeviceId,
        granted: &Granted,
        held: Option<u64>,
        broker: &Broker,
    ) -> Result<Response<Body>, EncodeError> {
        let broker = broker.told(granted.broker(), device);
        let (renew_from, renew_by) = granted.validity().renewal_window();
        // Two of MAX_CHAIN; the trust anchor is left out.
        let authorities = self.issuance.authorities();
        let above = authorities.get(granted.issuer()).map(|authority| authority.certificate().der());
        let chain = [Some(granted.der()), above].into_iter().flatten().collect();
        let trust = self.trust.now();
        let issued = Issued {
            chain,
            renew_from,
            renew_by,
            trust_bundle: trust.next_for(held).signed(),
            broker: broker.settings(),
        };
        self.answer(StatusCode::OK, Wire::Issued(issued), None)
    }

    /// Refuses: logs, counts and answers.
    pub(super) fn refuse(
        &self,
        endpoint: &'static str,
        device: Option<&DeviceId>,
        problem: &Problem,
    ) -> Response<Body> {
        let reject = problem.reject();
        problem.log(endpoint, device);
        self.count_refusal(endpoint, device, (reject, problem.later()));
        let retry_after = problem.retry_after(self.busy_retry);
        let message = sentence(reject);
        let rejected = Rejected { code: reject.code(), message: &message, retry_after };
        let status = StatusCode::from_u16(reject.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.answer(status, Wire::Rejected(rejected), retry_after).unwrap_or_else(|_| {
            // A refusal is shorter than any buffer; without its body the status still says enough.
            let mut bare = Response::new(Body::empty());
            *bare.status_mut() = status;
            bare
        })
    }

    /// Counts a refusal, for the metrics, the audit trail, and as one of perhaps many of a device.
    pub(super) fn count_refusal(
        &self,
        endpoint: &'static str,
        device: Option<&DeviceId>,
        (reject, later): (Reject, Option<Later>),
    ) {
        self.metrics.refused(endpoint, reject);
        spans::about(device, reject.name());
        if let Some(later) = later {
            // Nothing was wrong with it.
            return self.metrics.told_to_come_again(later.reason);
        }
        self.refusals.count(reject);
        if let Some(device) = device {
            self.repeated.count(device, reject, self.issuance.now());
        }
    }

    fn answer(
        &self,
        status: StatusCode,
        outcome: Wire<'_>,
        retry_after: Option<Duration>,
    ) -> Result<Response<Body>, EncodeError> {
        // Where CAs are longer than they may be planned, devices with more memory are served all the same.
        let mut bytes = vec![0; limits::MAX_ANSWER_LARGE];
        let length = Answer { server_time: self.issuance.now(), outcome }.encode(&mut bytes)?;
        bytes.truncate(length);
        let mut response = cbor(bytes.into());
        *response.status_mut() = status;
        if let Some(after) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        Ok(response)
    }
}

/// A body in the protocol's media type, for nobody's cache.
pub(super) fn cbor(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(endpoint::MEDIA_TYPE));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
