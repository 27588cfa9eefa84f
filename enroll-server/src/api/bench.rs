//! The API over a real store for tests: requests go to the routers, without sockets.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use shared::message::latest::{Answer, Challenge, ChallengeRequest, EvidenceKind, Nonce, Outcome};
use shared::{DeviceId, Reject, endpoint};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{Api, Peer, SharedLook, est, https};
use crate::admin::Admin;
use crate::brokers::Brokers;
use crate::clock::{Clock, SettableClock, SystemClock};
use crate::config::Config;
use crate::est::Connection;
use crate::failpoint::Hook;
use crate::issuance::ClientIdentity;
use crate::issuance::tests::new_server;
use crate::kit::{Device, Maker};
use crate::ocsp::Ocsp;
use crate::revocation::Publisher;
use crate::startup;
use crate::telemetry::OnDisk;
use crate::transparency_log::{Folder, Status};

/// A server's inside up to its routers, with one maker.
pub(super) struct ApiBench {
    pub(super) api: Arc<Api>,
    pub(super) admin: Admin,
    pub(super) clock: SettableClock,
    pub(super) maker: Maker,
    pub(super) config: Config,
    routers: [Router; 2],
    _folder: TempDir,
}

/// A request, the same whenever it is sent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) listener: Listener,
    pub(super) path: String,
    pub(super) headers: Vec<(axum::http::HeaderName, String)>,
    pub(super) body: Vec<u8>,
}

/// Where a request comes in, and who its client is by TLS.
#[derive(Clone, Debug)]
pub(super) enum Listener {
    Https(Option<ClientIdentity>),
    /// The chain that the client shows.
    Est(Vec<Vec<u8>>),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Bytes,
}

impl Call {
    /// One of the native protocol.
    pub(super) fn native(path: &str, client: Option<&ClientIdentity>, body: Vec<u8>) -> Self {
        let (listener, path) = (Listener::Https(client.cloned()), path.to_owned());
        Self { listener, path, headers: vec![(CONTENT_TYPE, endpoint::MEDIA_TYPE.into())], body }
    }

    /// One of EST, with the DER of a CSR.
    pub(super) fn est(operation: &str, chain: &[&[u8]], csr: &[u8]) -> Self {
        Self {
            listener: Listener::Est(chain.iter().map(|der| der.to_vec()).collect()),
            path: format!("/.well-known/est/{operation}"),
            headers: vec![(CONTENT_TYPE, "application/pkcs10".into())],
            body: crate::est::to_base64(csr).into_bytes(),
        }
    }

    /// With an Authorization header.
    pub(super) fn by(mut self, authorization: String) -> Self {
        self.headers.push((AUTHORIZATION, authorization));
        self
    }
}

impl Reply {
    /// What a device of the native protocol, or a client of EST, is refused for.
    pub(super) fn reject(&self) -> Option<Reject> {
        if let Ok(answer) = Answer::decode(&self.body) {
            return match answer.outcome {
                Outcome::Rejected(rejected) => rejected.reject(),
                Outcome::Issued(_) | Outcome::Pending { .. } => None,
            };
        }
        let text = core::str::from_utf8(&self.body).ok()?;
        let name = text.split(": ").next()?;
        Reject::ALL.iter().copied().find(|reject| reject.name() == name)
    }

    /// Whether it brings a certificate, or whatever else was asked for.
    pub(super) const fn is_given(&self) -> bool {
        self.status == 200
    }

    /// Whether it is a "later", with a time.
    pub(super) fn is_later(&self) -> bool {
        self.status == 503 && self.reject() == Some(Reject::Unavailable) && self.retry_after.is_some()
    }
}

impl ApiBench {
    /// A server with this policy, after `set_up` of its settings.
    pub(super) async fn new(policy: &str, set_up: impl FnOnce(&mut Config)) -> Self {
        Self::with_hook(policy, set_up, Hook::default()).await
    }

    /// The same with a hook.
    pub(super) async fn with_hook(policy: &str, set_up: impl FnOnce(&mut Config), hook: Hook) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = new_server(folder.path(), policy);
        set_up(&mut config);
        let clock = SettableClock::new(SystemClock.now());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let opened = startup::open(&config, &shared, hook).await.unwrap();
        let issuance = opened.issuance;
        let store = Arc::clone(issuance.store());
        let in_office = Arc::clone(issuance.in_office());
        let mut publisher = Publisher::new(
            Arc::clone(&store),
            Arc::clone(&in_office),
            Arc::clone(&shared),
            config.crl.clone(),
        );
        publisher.publish_if_due().await.unwrap();
        let admin = Admin::new(Arc::clone(&store), Arc::clone(&shared));
        let maker = Maker::new("Example Maker");
        admin.add_maker(&maker.pem).await.unwrap();
        let api = Arc::new(Api {
            issuance,
            admin: Admin::new(Arc::clone(&store), Arc::clone(&shared)),
            admin_token_sha256: config.admin_token_sha256,
            broker_token: config.files.broker_token.clone(),
            trust: opened.trust,
            lineup: opened.lineup,
            brokers: Brokers::new(&config).unwrap(),
            approval_retry: config.approval_retry,
            busy_retry: config.busy_retry,
            limits: config.limits,
            on_disk: OnDisk::of(&config, watch::channel(Vec::new()).1),
            traces: None,
            spans: None,
            revocations: publisher.subscribe(),
            rollover: watch::channel(None).1,
            ocsp: Ocsp::new(store, in_office, shared, config.ocsp.valid),
            metrics: Arc::default(),
            refusals: Arc::default(),
            repeated: Arc::new(crate::audit::Repeated::new(config.repeated_refusals)),
            webhooks: Vec::new(),
            log: Arc::new(Folder::new(config.transparency.folder.clone())),
            log_status: watch::channel(Status::Unknown).1,
            health: SharedLook::default(),
            gauges: SharedLook::default(),
        });
        let routers = [https(Arc::clone(&api)), est(Arc::clone(&api))];
        Self { api, admin, clock, maker, config, routers, _folder: folder }
    }

    /// A device of the maker, in the inventory.
    pub(super) async fn device(&self, id: &str) -> Device {
        let device = self.maker.device(id);
        self.admin.import_devices(&device.inventory()).await.unwrap();
        device
    }

    pub(super) async fn nonce(&self, device: &DeviceId) -> Nonce {
        let reply = self.challenge(device).await;
        assert!(reply.is_given(), "{reply:?}");
        Challenge::decode(&reply.body).unwrap().nonce
    }

    /// Asks for a challenge.
    pub(super) async fn challenge(&self, device: &DeviceId) -> Reply {
        let kinds = EvidenceKind::NATIVE.iter().copied().collect();
        let mut body = vec![0; 256];
        let request = ChallengeRequest { device: device.clone(), kinds, introduction: None };
        let length = request.encode(&mut body).unwrap();
        body.truncate(length);
        self.send(&Call::native(endpoint::CHALLENGE, None, body)).await
    }

    /// Sends a request with POST, or with GET where it has no body.
    pub(super) async fn send(&self, call: &Call) -> Reply {
        let method = if call.body.is_empty() { Method::GET } else { Method::POST };
        let mut request =
            Request::builder().method(method).uri(&call.path).body(Body::from(call.body.clone())).unwrap();
        for (name, value) in &call.headers {
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let [https, est] = &self.routers;
        let router = match &call.listener {
            Listener::Https(client) => {
                request.extensions_mut().insert::<Peer>(client.clone());
                https
            }
            Listener::Est(chain) => {
                request.extensions_mut().insert(Arc::new(Connection::showing(chain)));
                est
            }
        };
        let response = router.clone().oneshot(request).await.unwrap();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.map(|after| after.to_str().unwrap().parse().unwrap());
        let status = response.status().as_u16();
        Reply { status, retry_after, body: response.into_body().collect().await.unwrap().to_bytes() }
    }

    /// The database's file.
    pub(super) fn database(&self) -> &Path {
        &self.config.files.store
    }
}
