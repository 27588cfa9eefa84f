//! Every kind of credential, for its own device and for another one, at every route of every table from which the routers and
//! the description of the API are made: allowed is what a row here says, and a route without a row fails. The dashboard's are in
//! [`dashboard`], and what one listener answers to another's paths in [`listeners`].

mod dashboard;
mod listeners;

use core::net::SocketAddr;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enroll_server::api::routes::{EST, HTTP, HTTPS, Route};
use enroll_server::config::Est;
use enroll_server::dashboard::Role;
use enroll_server::peers::BrokerToken;
use enroll_server::store::DeviceState;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
use shared::DeviceId;
use shared::endpoint;
use shared::message::latest::{EnrollRequest, EvidenceKind, FreshEvidence, Nonce};
use tokio::net::TcpStream;

use crate::dashboard::{Browser, settings};
use crate::kit::Site;
use crate::kit::client::{Identity, Tls, exchange};
use crate::kit::device::{Device, Maker, Operational, reference_values};
use crate::routes::filled;

/// What a client comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Nothing; where evidence is wanted, that of an unknown maker.
    Nobody,
    /// A one-time token of its device, as evidence.
    Token,
    /// The same by HTTP Basic.
    Basic,
    /// The IDevID of its device: as evidence, over EST in TLS.
    Idevid,
    /// The LDevID of its device, in TLS.
    Ldevid,
    /// One that was replaced, and so is revoked.
    Revoked,
    /// The operator's token.
    Operator,
    /// The token of brokers.
    Broker,
    /// The cookie of a session of this role at the dashboard.
    Session(Role),
}

const ALL: &[Who] = &[
    Who::Revoked,
    Who::Nobody,
    Who::Token,
    Who::Basic,
    Who::Idevid,
    Who::Ldevid,
    Who::Operator,
    Who::Broker,
    Who::Session(Role::Viewer),
    Who::Session(Role::Operator),
    Who::Session(Role::Admin),
];
/// All but the first.
const NOT_REVOKED: &[Who] = ALL.split_at(1).1;

/// Whom a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// These, whatever device they ask for.
    Any(&'static [Who]),
    /// These, for their own device.
    Own(&'static [Who]),
    /// Those with this token. What they are told besides is not looked at.
    Holder(Who),
}

fn row(id: &str) -> For {
    match id {
        "challenge" | "get_trust" | "report_trust" => For::Any(ALL),
        "enroll" => For::Own(&[Who::Token, Who::Idevid]),
        "renew" => For::Own(&[Who::Ldevid]),
        "get_root_crl" | "get_crl_der" | "get_issuing_crl" | "get_crl_pem" | "get_crl" => For::Any(ALL),
        "get_checkpoint" | "get_tile" => For::Any(ALL),
        "get_healthz" | "get_readyz" | "get_metrics" | "get_ocsp" | "post_ocsp" => For::Any(ALL),
        "est_cacerts" | "est_cacerts_of_group" => For::Any(NOT_REVOKED),
        "est_csrattrs" | "est_csrattrs_of_group" => For::Any(NOT_REVOKED),
        "est_nonce" | "est_nonce_of_group" => For::Any(&[Who::Idevid, Who::Ldevid]),
        "est_simpleenroll" | "est_simpleenroll_of_group" => For::Own(&[Who::Basic, Who::Idevid]),
        "est_simplereenroll" | "est_simplereenroll_of_group" => For::Own(&[Who::Ldevid]),
        "get_description"
        | "get_ca_status"
        | "list_devices"
        | "get_device"
        | "approve_device"
        | "revoke_device"
        | "deny_device"
        | "suspend_device"
        | "resume_device"
        | "retire_device"
        | "return_device"
        | "transfer_device"
        | "put_device_into_group"
        | "change_tags"
        | "renew_device"
        | "list_renewals"
        | "renew_devices"
        | "act_on_devices"
        | "list_approvals"
        | "list_events"
        | "list_tokens"
        | "create_token"
        | "revoke_certificate" => For::Holder(Who::Operator),
        "emqx_authenticate" | "emqx_authorize" | "rabbitmq_user" | "rabbitmq_vhost" | "rabbitmq_resource"
        | "rabbitmq_topic" | "check_certificate" => For::Holder(Who::Broker),
        other => panic!("{other} has no row"),
    }
}

/// A device with all its credentials, and another one.
struct Pair {
    own: Device,
    /// What the token is for: a device that is known by an IDevID does not come by less.
    new: Device,
    other: Device,
    ldevid: Identity,
    revoked: Identity,
    token: String,
}

struct Matrix {
    site: Site,
    stranger: Maker,
    operator: String,
    broker: String,
    size: u64,
    sessions: Vec<(Role, Browser)>,
}

impl Matrix {
    async fn new() -> Self {
        let kinds = "[evidence]\nkinds = [\"idevid-eat\", \"one-time-token\", \"idevid-tls\"]\n";
        let site = Box::pin(Site::with(|config| {
            config.est = Some(Est { listen: SocketAddr::from(([127, 0, 0, 1], 0)) });
            config.dashboard = Some(settings(vec![]));
            std::fs::write(&config.files.policy, format!("{kinds}{}", reference_values())).unwrap();
        }))
        .await;
        let read = |name: &str| {
            let text = std::fs::read_to_string(site.folder.path().join("server").join(name)).unwrap();
            text.trim().to_owned()
        };
        let _made = BrokerToken::read_or_make(&site.config.files.broker_token).unwrap();
        let (operator, broker, size) = (read("admin.token"), read("broker.token"), site.logged().await);
        let mut sessions = Vec::new();
        for role in Role::ALL {
            sessions.push((role, Browser::signed_in(&site, role).await));
        }
        Self { stranger: Maker::new("Nobody"), operator, broker, size, sessions, site }
    }

    fn session(&self, role: Role) -> &Browser {
        self.sessions.iter().find(|(known, _)| *known == role).map(|(_, browser)| browser).unwrap()
    }

    /// The headers with which `who` comes, for `target`.
    fn headers(&self, who: Who, target: &DeviceId, pair: &Pair) -> String {
        match who {
            Who::Basic => {
                let shown = STANDARD.encode(format!("{target}:{}", pair.token));
                format!("Authorization: Basic {shown}\r\n")
            }
            Who::Operator => format!("Authorization: Bearer {}\r\n", self.operator),
            Who::Broker => format!("Authorization: Bearer {}\r\n", self.broker),
            Who::Session(role) => {
                format!("Cookie: {}\r\n", self.session(role).cookie.as_deref().unwrap())
            }
            Who::Nobody | Who::Token | Who::Idevid | Who::Ldevid | Who::Revoked => String::new(),
        }
    }

    async fn pair(&self, name: &str) -> Pair {
        let (own, other) = (self.site.device(name).await, self.site.device(&format!("{name}-OTHER")).await);
        let revoked = self.site.enroll(&own).await;
        let ldevid = self.site.enroll(&own).await;
        let _other = self.site.enroll(&other).await;
        let new = self.site.maker.device(&format!("{name}-NEW"));
        let token = self.site.admin().create_token(Some(&new.id), Duration::from_secs(3_600)).await.unwrap();
        Pair { own, new, other, ldevid, revoked, token: token.text.to_string() }
    }

    /// Whether `who` is given what this route gives.
    async fn is_given(
        &self,
        route: &Route,
        listener: Listener,
        who: Who,
        target: &Device,
        pair: &Pair,
    ) -> bool {
        let mut headers = self.headers(who, &target.id, pair);
        let is_own = target.id != pair.other.id;
        let body = match (route.method, listener) {
            ("GET", _) | (_, Listener::Http) => Vec::new(),
            (_, Listener::Est) => {
                headers += "Content-Type: application/pkcs10\r\nContent-Transfer-Encoding: base64\r\n";
                STANDARD.encode(csr((!is_own).then_some(&target.id))).into_bytes()
            }
            (_, Listener::Https) => {
                headers += "Content-Type: application/cbor\r\n";
                self.body(route, who, target, pair).await
            }
        };
        // Whoever may act does so on a device that is not there.
        let named = if row(route.id) == For::Holder(who) { "NOT-THERE" } else { target.id.as_str() };
        let path = filled(route.path, self.size).replace("SN-1", named).replace("{label}", "default");
        let head = format!(
            "{} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            route.method,
            body.len()
        );
        let bytes = [head.as_bytes(), &body].concat();
        let bound = self.site.server().bound();
        let reply = match listener {
            Listener::Http => exchange(TcpStream::connect(bound.http.unwrap()).await.unwrap(), &bytes).await,
            Listener::Https => {
                exchange(self.tls(bound.https, who, pair).connect().await.unwrap(), &bytes).await
            }
            Listener::Est => {
                let tls = self.tls(bound.est.unwrap(), who, pair);
                let tls = match who {
                    Who::Idevid => tls.identity(&Identity {
                        chain: vec![pair.own.idevid.clone()],
                        key: pair.own.key_der(),
                    }),
                    _ => tls,
                };
                exchange(tls.connect().await.unwrap(), &bytes).await
            }
        };
        let status = reply.unwrap().status;
        match row(route.id) {
            For::Holder(_) => status != 401,
            For::Any(_) | For::Own(_) => status == 200,
        }
    }

    fn tls(&self, to: SocketAddr, who: Who, pair: &Pair) -> Tls {
        let tls = Tls::new(to, &self.site.root());
        match who {
            Who::Ldevid => tls.identity(&pair.ldevid),
            Who::Revoked => tls.identity(&pair.revoked),
            _ => tls,
        }
    }

    /// A message of the native protocol about `target`.
    async fn body(&self, route: &Route, who: Who, target: &Device, pair: &Pair) -> Vec<u8> {
        let csr = Operational::new().csr;
        match route.id {
            "challenge" => {
                let kinds = EvidenceKind::NATIVE.iter().copied().collect();
                let asked = shared::message::latest::ChallengeRequest {
                    device: target.id.clone(),
                    kinds,
                    introduction: None,
                };
                written(|out| asked.encode(out).unwrap())
            }
            "report_trust" => {
                written(|out| shared::message::latest::TrustReport { held: 1 }.encode(out).unwrap())
            }
            "enroll" => {
                let nonce = self.site.nonce(&target.id).await;
                match who {
                    Who::Token => Device::enroll_by_token(&target.id, &pair.token, nonce, &csr),
                    Who::Idevid => enroll_as(&pair.own, &target.id, nonce, &csr),
                    _ => enroll_as(&self.stranger.device(target.id.as_str()), &target.id, nonce, &csr),
                }
            }
            "renew" => Device::renew(&target.id, &csr),
            _ => b"{}".to_vec(),
        }
    }

    async fn certificates(&self, pair: &Pair) -> usize {
        let admin = self.site.admin();
        let count = async |device: &Device| admin.certificates(Some(&device.id)).await.unwrap().len();
        count(&pair.own).await + count(&pair.new).await + count(&pair.other).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Https,
    Est,
    Http,
}

/// The evidence of `device`, under the name of `target`.
fn enroll_as(device: &Device, target: &DeviceId, nonce: Nonce, csr: &[u8]) -> Vec<u8> {
    let eat = device.evidence(&nonce, csr);
    let evidence = FreshEvidence {
        nonce,
        kind: EvidenceKind::IdevidEat,
        body: &eat,
        endorsements: [device.idevid.as_slice()].into_iter().collect(),
    };
    written(|out| EnrollRequest { device: target.clone(), csr, evidence, trust: None }.encode(out).unwrap())
}

fn written(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; shared::limits::MAX_REQUEST];
    let length = write(&mut out);
    out.truncate(length);
    out
}

/// A CSR for EST, which may ask for a name.
fn csr(name: Option<&DeviceId>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = name {
        let serial = DnValue::PrintableString(name.as_str().try_into().unwrap());
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
    }
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_is_good_for_what_its_row_says_and_for_nothing_else() {
    let matrix = Matrix::new().await;
    let shared = matrix.pair("SHARED").await;
    let before = matrix.certificates(&shared).await;
    let (mut cells, mut wrong) = (0, Vec::new());
    for (listener, table) in [(Listener::Https, HTTPS), (Listener::Est, EST), (Listener::Http, HTTP)] {
        for route in table {
            for who in ALL {
                for is_own in [true, false] {
                    let due = match row(route.id) {
                        For::Any(those) => those.contains(who),
                        For::Own(those) => is_own && those.contains(who),
                        For::Holder(holder) => holder == *who,
                    };
                    let issues = matches!(row(route.id), For::Own(_));
                    // Who is given a certificate has others replaced, and the token used up.
                    let fresh = match due && issues {
                        true => Some(matrix.pair(&format!("C-{cells}")).await),
                        false => None,
                    };
                    let pair = fresh.as_ref().unwrap_or(&shared);
                    let target = match who {
                        _ if !is_own => &pair.other,
                        Who::Token | Who::Basic => &pair.new,
                        _ => &pair.own,
                    };
                    let count = matrix.certificates(pair).await;
                    let given = matrix.is_given(route, listener, *who, target, pair).await;
                    let more = matrix.certificates(pair).await - count;
                    if given != due || more != usize::from(due && issues) {
                        wrong.push(format!(
                            "{listener:?} {} by {who:?}, own device: {is_own}: given: {given}, {more} certificates",
                            route.id
                        ));
                    }
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(cells, (HTTPS.len() + EST.len() + HTTP.len()) * ALL.len() * 2);
    // Who was refused has changed nothing.
    assert_eq!(matrix.certificates(&shared).await, before);
    for device in [&shared.own, &shared.other] {
        assert_eq!(matrix.site.admin().device(&device.id).await.unwrap().state, DeviceState::Enrolled);
    }
    let renewal = Device::renew(&shared.own.id, &Operational::new().csr);
    let reply = matrix.site.tls().identity(&shared.ldevid).post(endpoint::RENEW, &renewal).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}
