//! The questions of EMQX, of RabbitMQ and of terminators, as they ask them: who is in force has his own, nobody else has
//! anything, and what is not understood is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enroll_server::peers::BrokerToken;
use enroll_server::store::Action;
use serde_json::{Value, json};

use crate::kit::Site;
use crate::kit::client::Reply;

const AUTHENTICATE: &str = "/broker/v1/emqx/authenticate";
const AUTHORIZE: &str = "/broker/v1/emqx/authorize";

/// A server with a token for brokers, and an enrolled device `SN-1`.
struct Asked {
    site: Site,
    token: String,
}

impl Asked {
    async fn new() -> Self {
        let site = Site::new().await;
        let path = site.folder.path().join("server/broker.token");
        let _made = BrokerToken::read_or_make(&path).unwrap();
        let token = std::fs::read_to_string(&path).unwrap();
        let device = site.device("SN-1").await;
        let _identity = site.enroll(&device).await;
        Self { site, token }
    }

    async fn ask(&self, method: &str, path: &str, more: &str, body: &[u8]) -> Reply {
        let headers = format!("Authorization: Bearer {}\r\n{more}", self.token);
        self.site.tls().try_request(method, path, &headers, body).await.unwrap()
    }

    /// What EMQX is told: `allow`, `deny`, or the status of an error.
    async fn emqx(&self, path: &str, question: &Value) -> String {
        let reply = self.ask("POST", path, "", question.to_string().as_bytes()).await;
        if reply.status != 200 {
            return reply.status.to_string();
        }
        let answer: Value = serde_json::from_str(&reply.text()).unwrap();
        assert_eq!(answer["is_superuser"], false, "{answer}");
        answer["result"].as_str().unwrap().to_owned()
    }

    async fn login(&self, user: &str, client: &str, name: &str) -> String {
        self.emqx(AUTHENTICATE, &json!({ "username": user, "clientid": client, "common_name": name })).await
    }

    async fn may(&self, name: &str, action: &str, topic: &str) -> String {
        let question = json!({ "username": name, "clientid": name, "action": action, "topic": topic });
        self.emqx(AUTHORIZE, &question).await
    }

    /// What RabbitMQ is told.
    async fn rabbit(&self, what: &str, form: &str) -> String {
        let reply = self.ask("POST", &format!("/broker/v1/rabbitmq/{what}"), "", form.as_bytes()).await;
        if reply.status == 200 { reply.text() } else { reply.status.to_string() }
    }
}

#[tokio::test]
async fn emqx_is_told_who_is_in_force_and_what_is_whose() {
    let asked = Asked::new().await;
    assert_eq!(asked.login("SN-1", "SN-1", "SN-1").await, "allow");
    assert_eq!(asked.login("enroll_server", "enroll_server", "enroll_server").await, "allow");
    for (user, client, name) in [
        ("SN-2", "SN-2", "SN-2"),
        ("SN-1", "SN-2", "SN-1"),
        ("SN-1", "SN-1", "SN-2"),
        ("SN-1", "SN-1", ""),
        ("", "", ""),
        ("undefined", "undefined", "undefined"),
        ("+", "+", "+"),
    ] {
        assert_eq!(asked.login(user, client, name).await, "deny", "{user} {client} {name}");
    }
    for (action, topic) in [
        ("publish", "devices/SN-1/telemetry"),
        ("publish", "devices/SN-1/status"),
        ("subscribe", "devices/SN-1/command"),
    ] {
        assert_eq!(asked.may("SN-1", action, topic).await, "allow", "{action} {topic}");
        assert_eq!(asked.may("SN-2", action, topic).await, "deny", "another's {action} {topic}");
    }
    for (action, topic) in [
        ("publish", "devices/SN-2/telemetry"),
        ("publish", "devices/SN-1/command"),
        ("subscribe", "devices/SN-1/status"),
        ("subscribe", "devices/+/command"),
        ("subscribe", "#"),
        ("subscribe", "$share/a/devices/SN-1/command"),
        ("all", "devices/SN-1/telemetry"),
        ("", "devices/SN-1/telemetry"),
    ] {
        assert_eq!(asked.may("SN-1", action, topic).await, "deny", "{action} {topic}");
    }
    assert_eq!(asked.may("enroll_server", "publish", "devices/SN-1/command").await, "allow");
    assert_eq!(asked.may("enroll_server", "subscribe", "devices/+/status").await, "allow");
    assert_eq!(asked.may("enroll_server", "subscribe", "devices/#").await, "deny");
}

/// The copied key of a device that was returned and enrolled anew: the device is in force, and this certificate is not.
#[tokio::test]
async fn emqx_is_told_of_the_very_certificate_where_it_says_which() {
    let asked = Asked::new().await;
    let login = async |name: &str, certificate: &str| {
        let question = json!({
            "username": name, "clientid": name, "common_name": name, "certificate": certificate,
        });
        asked.emqx(AUTHENTICATE, &question).await
    };
    let device = asked.site.device("SN-3").await;
    let copied = STANDARD.encode(&asked.site.enroll(&device).await.chain[0]);
    assert_eq!(login("SN-3", &copied).await, "allow");
    assert_eq!(login("SN-1", &copied).await, "deny", "another's");

    let _returned = asked.site.admin().act_on(&device.id, Action::Return).await.unwrap();
    assert_eq!(login("SN-3", &copied).await, "deny");
    let new = STANDARD.encode(&asked.site.enroll(&device).await.chain[0]);
    assert_eq!(login("SN-3", &new).await, "allow");
    assert_eq!(
        login("SN-3", &copied).await,
        "deny",
        "the device is in force again, its old certificate is not"
    );
    // Nothing, no base64, what an EMQX sends that does not know the placeholder, no certificate.
    for bad in ["", "%", "${cert_pem}", "AAAA", &"A".repeat(4_000)] {
        assert_eq!(login("SN-3", bad).await, "deny", "{bad:.20}");
    }
    // As configurations of earlier versions ask.
    assert_eq!(asked.login("SN-3", "SN-3", "SN-3").await, "allow");
}

#[tokio::test]
async fn a_device_that_is_out_of_service_is_refused_at_once() {
    let asked = Asked::new().await;
    let id = shared::DeviceId::new("SN-1").unwrap();
    let form = "username=SN-1&vhost=%2F&client_id=SN-1&name=amq.topic&resource=topic&permission=write&\
                routing_key=devices.SN-1.telemetry";
    let all = async |expected: &str| {
        assert_eq!(asked.login("SN-1", "SN-1", "SN-1").await, expected);
        assert_eq!(asked.may("SN-1", "publish", "devices/SN-1/telemetry").await, expected);
        for what in ["user", "vhost", "topic"] {
            assert_eq!(asked.rabbit(what, form).await, expected, "{what}");
        }
    };
    all("allow").await;
    let _revoked = asked.site.admin().revoke(&id, ca::crl::Reason::Unspecified).await.unwrap();
    all("deny").await;
}

#[tokio::test]
async fn rabbitmq_is_told_by_form_and_takes_no_passwords() {
    let asked = Asked::new().await;
    for (what, form, expected) in [
        ("user", "username=SN-1", "allow"),
        ("user", "username=enroll_server", "allow"),
        ("user", "username=SN-2", "deny"),
        // A client that sends a name and a password did not come by its certificate.
        ("user", "username=SN-1&password=x", "deny"),
        ("user", "username=SN-1&password=", "deny"),
        ("user", "username=SN-1&client_id=SN-1", "allow"),
        ("user", "username=SN-1&client_id=SN-2", "deny"),
        ("user", "username=SN-1&username=SN-1", "deny"),
        // Nothing behind a sign is passed over.
        ("user", "username=SN-1#&username=SN-2", "deny"),
        ("user", "username=SN-1#&password=x", "deny"),
        ("user", "", "400"),
        ("vhost", "username=SN-1&vhost=%2F&client_id=SN-1&ip=127.0.0.1", "allow"),
        ("vhost", "username=SN-1&vhost=%2F&client_id=SN-2", "deny"),
        ("vhost", "username=SN-1&vhost=%2F", "deny"),
        ("vhost", "username=SN-1&vhost=other&client_id=SN-1", "deny"),
        (
            "resource",
            "username=SN-1&vhost=%2F&resource=queue&permission=configure&name=mqtt-subscription-SN-1qos1",
            "allow",
        ),
        (
            "resource",
            "username=SN-1&vhost=%2F&resource=queue&permission=read&name=mqtt-subscription-SN-2qos1",
            "deny",
        ),
        // SN-1 is how SN-10 begins.
        (
            "resource",
            "username=SN-1&vhost=%2F&resource=queue&permission=read&name=mqtt-subscription-SN-10qos1",
            "deny",
        ),
        ("resource", "username=SN-1&vhost=%2F&resource=exchange&permission=write&name=amq.topic", "allow"),
        ("resource", "username=SN-1&vhost=%2F&resource=exchange&permission=configure&name=amq.topic", "deny"),
        ("resource", "username=SN-1&vhost=%2F&resource=exchange&permission=write&name=amq.direct", "deny"),
        (
            "topic",
            "username=SN-1&vhost=%2F&name=amq.topic&permission=write&routing_key=devices.SN-1.telemetry",
            "allow",
        ),
        (
            "topic",
            "username=SN-1&vhost=%2F&name=amq.topic&permission=write&routing_key=devices.SN-2.telemetry",
            "deny",
        ),
        (
            "topic",
            "username=SN-1&vhost=%2F&name=amq.topic&permission=read&routing_key=devices.%2A.command",
            "deny",
        ),
        (
            "topic",
            "username=SN-1&vhost=%2F&name=other&permission=write&routing_key=devices.SN-1.telemetry",
            "deny",
        ),
        ("topic", "username=SN-1&vhost=%2F&name=amq.topic&permission=write", "deny"),
    ] {
        assert_eq!(asked.rabbit(what, form).await, expected, "{what} {form}");
    }
}

#[tokio::test]
async fn a_certificate_is_in_force_or_nobodys() {
    let asked = Asked::new().await;
    let device = asked.site.device("SN-3").await;
    let identity = asked.site.enroll(&device).await;
    let ask = async |der: &[u8]| {
        let header = format!("X-Client-Certificate: {}\r\n", STANDARD.encode(der));
        asked.ask("GET", "/broker/v1/certificate", &header, &[]).await
    };
    let leaf = identity.chain[0].clone();
    let reply = ask(&leaf).await;
    assert_eq!((reply.status, reply.header("x-device")), (200, Some("sn-3")), "{reply:?}");
    // Another certificate under the same serial number, a CA's, none at all.
    let mut forged = leaf.clone();
    *forged.last_mut().unwrap() ^= 1;
    for bad in [forged, identity.chain[1].clone(), vec![0x30, 0], Vec::new(), vec![b'x'; 5_000]] {
        let reply = ask(&bad).await;
        assert_eq!((reply.status, reply.header("x-device")), (403, None), "{reply:?}");
    }
    let none = asked.ask("GET", "/broker/v1/certificate", "", &[]).await;
    assert_eq!(none.status, 403);
    let _suspended = asked.site.admin().revoke(&device.id, ca::crl::Reason::KeyCompromise).await.unwrap();
    assert_eq!(ask(&leaf).await.status, 403);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_nobody_asks_without_the_token() {
    let asked = Asked::new().await;
    let question = json!({ "username": "SN-1", "clientid": "SN-1", "common_name": "SN-1" }).to_string();
    let long = vec![b'x'; 100_000];
    let number = br#"{ "username": 1, "clientid": 1 }"#;
    let list = br#"{ "username": ["SN-1"] }"#;
    let not_understood =
        [&b"[]"[..], b"null", b"{", b"\xff", b"[\"SN-1\",\"SN-1\",\"SN-1\"]", &[b'['; 4_000], number, list];
    for path in [AUTHENTICATE, AUTHORIZE] {
        for body in not_understood {
            assert_eq!(asked.ask("POST", path, "", body).await.status, 400, "{path} {}", body.len());
        }
        assert_eq!(asked.ask("POST", path, "", &long).await.status, 413, "{path}");
        // Whoever is not named is nobody's device.
        for body in [&b""[..], b"{}", b"{ \"username\": null }"] {
            let reply = asked.ask("POST", path, "", body).await;
            assert_eq!(reply.status, 200, "{path} {}", body.len());
            assert!(reply.text().contains("\"deny\""), "{}", reply.text());
        }
    }
    // The operator's token is not the brokers', and theirs opens nothing else.
    let folder = asked.site.folder.path().join("server");
    let admin = std::fs::read_to_string(folder.join("admin.token")).unwrap();
    let by = async |token: &str, method: &str, path: &str| {
        let headers = format!("Authorization: Bearer {token}\r\n");
        asked.site.tls().try_request(method, path, &headers, question.as_bytes()).await.unwrap().status
    };
    assert_eq!(by(&asked.token, "POST", AUTHENTICATE).await, 200);
    assert_eq!(by(admin.trim(), "POST", AUTHENTICATE).await, 401);
    assert_eq!(by(&asked.token, "GET", "/admin/v1/devices").await, 401);
    // Exchanged while the server runs; without the file, or with one that others read, nobody asks.
    let path = folder.join("broker.token");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(by(&asked.token, "POST", AUTHENTICATE).await, 401);
    let _other = BrokerToken::read_or_make(&path).unwrap();
    let other = std::fs::read_to_string(&path).unwrap();
    assert_eq!(by(&asked.token, "POST", AUTHENTICATE).await, 401);
    assert_eq!(by(&other, "POST", AUTHENTICATE).await, 200);
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    std::fs::set_permissions(&path, open).unwrap();
    assert_eq!(by(&other, "POST", AUTHENTICATE).await, 401);
}

#[tokio::test]
async fn without_the_store_nobody_is_allowed() {
    let asked = Asked::new().await;
    let question = json!({ "username": "SN-1", "clientid": "SN-1", "common_name": "SN-1" });
    assert_eq!(asked.emqx(AUTHENTICATE, &question).await, "allow");
    let file = rusqlite::Connection::open(&asked.site.config.files.store).unwrap();
    file.execute_batch("ALTER TABLE devices RENAME TO elsewhere").unwrap();
    assert_eq!(asked.emqx(AUTHENTICATE, &question).await, "503");
    assert_eq!(asked.rabbit("user", "username=SN-1").await, "503");
}
