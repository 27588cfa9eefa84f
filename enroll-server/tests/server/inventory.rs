//! The inventory over the admin API and at the command line, beside a server that runs.

use enroll_server::config::{Broker, Choice, NamedBroker, Rule};
use serde_json::{Value, json};
use shared::Reject;

use crate::kit::device::Operational;
use crate::kit::{Site, assert_refused, until};

/// Gives a group a policy that adds nothing to that of `default`.
fn with_group(config: &enroll_server::config::Config, group: &str) {
    std::fs::create_dir_all(&config.files.policy_groups).unwrap();
    std::fs::write(config.files.policy_groups.join(format!("{group}.toml")), "").unwrap();
}

struct Operator {
    headers: String,
}

impl Operator {
    fn of(site: &Site) -> Self {
        let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
        Self { headers: format!("Authorization: Bearer {}\r\n", token.trim()) }
    }

    async fn call(&self, site: &Site, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = site.tls().try_request(method, path, &self.headers, body.as_bytes()).await.unwrap();
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    async fn get(&self, site: &Site, path: &str) -> Value {
        let (status, value) = self.call(site, "GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}

#[tokio::test]
async fn devices_are_listed_in_pages_and_looked_for() {
    let site = Site::new().await;
    let operator = Operator::of(&site);
    for number in 0..5 {
        site.device(&format!("SN-{number}")).await;
    }
    let first = operator.get(&site, "/admin/v1/devices?limit=2").await;
    assert_eq!((first["devices"].as_array().unwrap().len(), &first["next"]), (2, &json!("SN-1")));
    let last = operator.get(&site, "/admin/v1/devices?limit=2&after=SN-3").await;
    assert_eq!((&last["devices"][0]["device"], &last["next"]), (&json!("SN-4"), &Value::Null));
    let body = json!({ "add": ["site:berlin", "x"], "remove": ["y"] });
    let (status, tagged) = operator.call(&site, "POST", "/admin/v1/devices/SN-2/tags", &body).await;
    assert_eq!((status, &tagged["tags"]), (200, &json!(["site:berlin", "x"])));
    let body = json!({ "group": "lot-7" });
    assert_eq!(operator.call(&site, "POST", "/admin/v1/devices/SN-2/group", &body).await.0, 200);
    for query in ["tag=x,site:berlin", "group=lot-7", "find=berlin", "find=LOT", "prefix=SN-2", "find=sn-2"] {
        let found = operator.get(&site, &format!("/admin/v1/devices?{query}")).await;
        assert_eq!(found["devices"][0]["device"], "SN-2", "{query}");
        assert_eq!(found["devices"].as_array().unwrap().len(), 1, "{query}");
    }
    for bad in
        ["limit=0", "limit=1001", "limit=x", "state=lost", "tag=a%20b", "stat=held", "after=S~N", "find="]
    {
        let (status, refusal) =
            operator.call(&site, "GET", &format!("/admin/v1/devices?{bad}"), &Value::Null).await;
        assert_eq!(status, 400, "{bad}: {refusal}");
    }
    for (path, body) in [
        ("SN-2/group", json!({})),
        ("SN-2/group", json!({ "group": "No" })),
        ("SN-2/tags", json!({ "add": "x" })),
        ("SN-2/tags", json!({ "add": [1] })),
        ("SN-2/deny", json!({})),
        ("SN-2/deny", json!({ "reason": "x".repeat(201) })),
        ("SN-2/transfer", json!({})),
    ] {
        let (status, refusal) =
            operator.call(&site, "POST", &format!("/admin/v1/devices/{path}"), &body).await;
        assert_eq!(status, 400, "{path} {body}: {refusal}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("t{number}")).collect();
    let (status, _) =
        operator.call(&site, "POST", "/admin/v1/devices/SN-1/tags", &json!({ "add": many })).await;
    assert_eq!(status, 409);
    assert_eq!(operator.call(&site, "POST", "/admin/v1/devices/SN-9/suspend", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_queue_shows_what_waits_and_many_are_decided_at_once() {
    let policy = "[enrollment]\nfirst = \"hold\"\n";
    let site = Site::with(|config| {
        let rest = std::fs::read_to_string(&config.files.policy).unwrap();
        std::fs::write(&config.files.policy, format!("{policy}{rest}")).unwrap();
    })
    .await;
    let operator = Operator::of(&site);
    let mut bodies = Vec::new();
    for number in 0..3 {
        let device = site.device(&format!("SN-{number}")).await;
        let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
        assert_eq!(site.tls().post("/v1/enroll", &body).await.status, 202);
        bodies.push(body);
    }
    site.device("SN-7").await;
    let queue = operator.get(&site, "/admin/v1/approvals?limit=2").await;
    assert_eq!((queue["requests"].as_array().unwrap().len(), &queue["next"]), (2, &json!("SN-1")));
    let shown = &queue["requests"][0]["shown"];
    assert_eq!(
        (&shown["kind"], &shown["maker"], &shown["rule"]),
        (&json!("idevid-eat"), &json!("Example Maker"), &json!("first-enrollment"))
    );
    assert_eq!(shown["claims"]["model"], "sensor-a");
    assert_eq!(shown["claims"]["measurements"][0]["digest"], hex::encode(crate::kit::device::GOOD));

    let reason = json!({ "reason": "not ordered by us" });
    let (status, denied) = operator.call(&site, "POST", "/admin/v1/devices/SN-1/deny", &reason).await;
    assert_eq!((status, &denied["state"]), (200, &json!("registered")));
    assert_refused(&site.tls().post("/v1/enroll", &bodies[1]).await, Reject::EnrollmentDenied);
    let all = json!({ "action": "approve", "group": "default" });
    let (status, approved) = operator.call(&site, "POST", "/admin/v1/bulk", &all).await;
    assert_eq!((status, &approved["done"]), (200, &json!(2)), "those that wait, and no others");
    for number in [0, 2] {
        assert_eq!(site.tls().post("/v1/enroll", &bodies[number]).await.status, 200);
    }
    assert!(!site.admin().device(&shared::DeviceId::new("SN-7").unwrap()).await.unwrap().approved);
    assert_eq!(operator.get(&site, "/admin/v1/approvals").await["requests"], json!([]));
    for bad in [
        json!({ "action": "approve" }),
        json!({ "action": "approve", "group": "a", "tag": "b" }),
        json!({ "action": "explode", "group": "a" }),
        json!({ "action": "revoke", "group": "a", "reason": "certificate-hold" }),
        json!({ "action": "approve", "group": "a", "limit": 0 }),
        json!({ "action": "approve", "group": "a", "limit": "x" }),
    ] {
        assert_eq!(operator.call(&site, "POST", "/admin/v1/bulk", &bad).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_suspension_is_published_and_taken_back() {
    let site = Site::with(|config| with_group(config, "lot-7")).await;
    let operator = Operator::of(&site);
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let serial = site.admin().certificates(Some(&device.id)).await.unwrap()[0].serial;
    let (status, done) = operator.call(&site, "POST", "/admin/v1/devices/SN-1/suspend", &Value::Null).await;
    assert_eq!((status, &done["state"]), (200, &json!("suspended")));
    let published = site.server().revocations();
    until("the hold is published", async || published.borrow().contains(serial.as_bytes())).await;
    let body = crate::kit::device::Device::renew(&device.id, &Operational::new().csr);
    let refused = site.tls().identity(&identity).post("/v1/renew", &body).await;
    assert_refused(&refused, Reject::DeviceSuspended);
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(operator.call(&site, "POST", "/admin/v1/devices/SN-1/approve", &Value::Null).await.0, 409);
    operator.call(&site, "POST", "/admin/v1/devices/SN-1/resume", &Value::Null).await;
    until("the hold is gone", async || !published.borrow().contains(serial.as_bytes())).await;
    assert_eq!(site.tls().identity(&identity).post("/v1/renew", &body).await.status, 200);
    let to = json!({ "to": "lot-7" });
    let (status, moved) = operator.call(&site, "POST", "/admin/v1/devices/SN-1/transfer", &to).await;
    assert_eq!((status, &moved["state"], &moved["certificates"]), (200, &json!("registered"), &json!(2)));
    site.enroll(&device).await;
    let (_, back) = operator.call(&site, "POST", "/admin/v1/devices/SN-1/return", &Value::Null).await;
    assert_eq!(back["certificates"], 1);
    let (_, over) = operator.call(&site, "POST", "/admin/v1/devices/SN-1/retire", &Value::Null).await;
    assert_eq!(over["state"], "retired");
    assert_refused(&site.try_enroll(&device).await.0, Reject::DeviceRetired);
}

#[tokio::test]
async fn a_device_is_told_the_broker_of_its_group() {
    let site = Site::with(|config| {
        with_group(config, "lot-7");
        let broker = |name: &str| NamedBroker {
            name: name.to_owned(),
            weight: 1,
            broker: Broker { host: format!("{name}.example"), ..config.broker.clone() },
        };
        config.brokers = vec![broker("north"), broker("south")];
        let fixed = |name: &str| Rule { webhook: None, choice: Choice::Fixed(name.to_owned()) };
        config.assignment.default = fixed("north");
        config.assignment.groups.insert("lot-7".parse().unwrap(), fixed("south"));
    })
    .await;
    let operator = Operator::of(&site);
    let device = site.device("SN-1").await;
    let told = async || {
        let (reply, _) = site.try_enroll(&device).await;
        crate::kit::issued(&reply.answer()).broker.host.to_owned()
    };
    assert_eq!(told().await, "north.example");
    let group = json!({ "group": "lot-7" });
    assert_eq!(operator.call(&site, "POST", "/admin/v1/devices/SN-1/group", &group).await.0, 200);
    assert_eq!(told().await, "south.example");
}
