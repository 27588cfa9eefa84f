//! Every route with every method, without credentials: nothing is given that is not meant for everyone.

use std::collections::BTreeSet;

use enroll_server::api::routes::{Access, HTTP, HTTPS};
use shared::Reject;

use crate::cli::{json, on};
use crate::kit::client::http;
use crate::kit::device::{Device, Operational};
use crate::kit::{Site, assert_refused};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

#[tokio::test]
async fn without_credentials_only_public_things_are_given() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    let renewal = Device::renew(&device.id, &Operational::new().csr);
    let admin_token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let size = site.logged().await;
    for route in HTTPS {
        let path = filled(route.path, size);
        for method in METHODS {
            for body in [&[][..], &renewal] {
                let reply = site.tls().request(method, &path, body).await;
                let what = format!("{method} {path}: {reply:?}");
                let another = |other: &&enroll_server::api::routes::Route| {
                    other.path == route.path && other.method == method
                };
                if method != route.method && HTTPS.iter().any(|other| another(&other)) {
                    // It has its own row, and its own turn.
                    continue;
                }
                if method != route.method {
                    assert!(reply.status == 404 || reply.status == 401, "{what}");
                    continue;
                }
                match route.access {
                    Access::Anyone => assert_eq!(reply.status, 200, "{what}"),
                    Access::Evidence => assert_refused(&reply, Reject::MalformedMessage),
                    Access::ClientCertificate if body.is_empty() => {
                        assert_refused(&reply, Reject::MalformedMessage);
                    }
                    Access::ClientCertificate => assert_refused(&reply, Reject::NotAuthenticated),
                    Access::Operator | Access::Broker => assert_eq!(reply.status, 401, "{what}"),
                    Access::EstClient => panic!("{what}: EST has a listener of its own"),
                }
            }
        }
        if matches!(route.access, Access::Operator | Access::Broker) {
            for wrong in ["", "Bearer ", "Bearer 00", "Basic YTpi", &format!("Bearer {}", "0".repeat(64))] {
                let headers = format!("Authorization: {wrong}\r\n");
                let reply = site.tls().try_request(route.method, &path, &headers, &[]).await.unwrap();
                assert_eq!(reply.status, 401, "{path} with {wrong:?}");
            }
            let shifted = format!("Authorization: Bearer {}x\r\n", admin_token.trim());
            assert_eq!(site.tls().try_request(route.method, &path, &shifted, &[]).await.unwrap().status, 401);
        }
    }
    let certificates = site.admin().certificates(None).await.unwrap();
    assert_eq!(certificates.len(), 1, "something was issued without credentials");
    assert_eq!(site.tokens().await.len(), 0);
    assert!(
        site.admin().device(&device.id).await.unwrap().state != enroll_server::store::DeviceState::Revoked
    );
}

/// A path with something in its places; `size` is that of the log's checkpoint.
pub(crate) fn filled(path: &str, size: u64) -> String {
    path.replace("{device}", "SN-1")
        .replace("{issuer}", "1")
        .replace("{list}", "0.crl")
        .replace("{*request}", "MA==")
        .replace("{*tile}", &format!("entries/000.p/{size}"))
}

#[tokio::test]
async fn paths_that_are_not_there_are_refused_in_the_protocols_own_words() {
    let site = Site::new().await;
    for path in
        ["/", "/v1", "/v1/enroll/", "/v2/enroll", "/v1/enroll%2f", "//v1/enroll", "/.well-known/est/cacerts"]
    {
        for method in METHODS {
            assert_refused(&site.tls().request(method, path, &[]).await, Reject::NoSuchEndpoint);
        }
    }
    // Nothing of the protocol without TLS.
    for route in HTTPS.iter().filter(|route| route.access != Access::Anyone) {
        assert_eq!(http(site.http(), route.path).await.status, 404, "{}", route.path);
    }
    assert!(HTTP.iter().all(|route| route.access == Access::Anyone));
    // A question in a body, and nothing but that.
    let posts: Vec<_> = HTTP.iter().filter(|route| route.method != "GET").map(|route| route.path).collect();
    assert_eq!(posts, ["/ocsp"]);
    let size = site.logged().await;
    for route in HTTP.iter().filter(|route| route.method == "GET") {
        assert_eq!(http(site.http(), &filled(route.path, size)).await.status, 200, "{}", route.path);
    }
}

#[tokio::test]
async fn the_operator_acts_with_the_token() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    site.enroll(&device).await;
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    let call = async |method: &str, path: &str, body: &str| {
        let reply = site.tls().try_request(method, path, &headers, body.as_bytes()).await.unwrap();
        (reply.status, serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap())
    };
    let (status, devices) = call("GET", "/admin/v1/devices", "").await;
    assert_eq!((status, &devices["devices"][0]["state"]), (200, &"enrolled".into()));
    let end = site.admin().certificates(None).await.unwrap()[0].not_after.as_secs();
    for (before, found) in [(end, 0), (end + 1, 1)] {
        let (status, devices) = call("GET", &format!("/admin/v1/devices?expires_before={before}"), "").await;
        assert_eq!((status, devices["devices"].as_array().unwrap().len()), (200, found), "{devices}");
        let time = shared::UnixTime::from_secs(before).to_string();
        let listed = json(&on(site.folder.path(), &["device", "list", "--json", "--expires-before", &time]));
        assert_eq!(listed["devices"].as_array().unwrap().len(), found, "{listed}");
    }
    assert_eq!(call("GET", "/admin/v1/devices?expires_before=tomorrow", "").await.0, 400);
    assert_eq!(call("GET", "/admin/v1/devices/SN-9", "").await.0, 404);
    assert_eq!(call("GET", "/admin/v1/devices/S~N", "").await.0, 400);
    let (status, made) = call("POST", "/admin/v1/tokens", "{\"device\": \"T-1\", \"hours\": 1}").await;
    assert_eq!((status, made["token"].as_str().unwrap().len()), (200, 32));
    assert_eq!(call("POST", "/admin/v1/tokens", "{\"hours\": 0}").await.0, 400);
    assert_eq!(call("POST", "/admin/v1/tokens", "[").await.0, 400);
    let (_, other) = call("POST", "/admin/v1/tokens", "").await;
    let (status, first) = call("GET", "/admin/v1/tokens?limit=1", "").await;
    assert_eq!(status, 200, "{first}");
    let next = first["next"].as_str().unwrap();
    let (_, second) = call("GET", &format!("/admin/v1/tokens?limit=1&after={next}"), "").await;
    let names = [&first, &second].map(|page| page["tokens"][0]["id"].as_str().unwrap());
    let made_names = [&made, &other].map(|made| made["id"].as_str().unwrap());
    assert_eq!(BTreeSet::from(names), BTreeSet::from(made_names));
    assert!(
        second["next"].is_null() && !second.to_string().contains(made["token"].as_str().unwrap()),
        "{second}"
    );
    for wrong in ["after=x", "after=01-a", "limit=0", "limit=1001", "from=1"] {
        assert_eq!(call("GET", &format!("/admin/v1/tokens?{wrong}"), "").await.0, 400, "{wrong}");
    }
    assert_eq!(call("POST", "/admin/v1/devices/SN-1/revoke", "{\"reason\": \"boredom\"}").await.0, 400);
    let (status, revoked) =
        call("POST", "/admin/v1/devices/SN-1/revoke", "{\"reason\": \"key-compromise\"}").await;
    assert_eq!((status, &revoked["certificates"]), (200, &1.into()));
    assert_eq!(call("POST", "/admin/v1/devices/SN-1/approve", "").await.0, 409, "revoked is for good");
}
