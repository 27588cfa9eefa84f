//! Every call of the admin API that changes something leaves an event that says who, by what and from where. A new call
//! fails here until it stands in the table.

use std::collections::BTreeSet;

use enroll_server::api::routes::{Access, HTTPS};
use enroll_server::audit::EventKind;
use enroll_server::store::{EventQuery, Label, Page, Selection};

use crate::kit::Site;

/// Path, device it is called for, body, and the event that it leaves; in this order.
const CALLS: &[(&str, &str, &str, EventKind)] = &[
    ("/admin/v1/devices/{device}/approve", "SN-1", "", EventKind::Approved),
    ("/admin/v1/devices/{device}/deny", "SN-2", "{\"reason\": \"not ours\"}", EventKind::Denied),
    ("/admin/v1/devices/{device}/group", "SN-1", "{\"group\": \"lot-7\"}", EventKind::Labelled),
    ("/admin/v1/devices/{device}/tags", "SN-8", "{\"add\": [\"x\"]}", EventKind::Labelled),
    ("/admin/v1/devices/{device}/renew", "SN-4", "", EventKind::RenewalWanted),
    ("/admin/v1/renewals", "SN-8", "{\"tag\": \"x\"}", EventKind::RenewalWanted),
    ("/admin/v1/devices/{device}/suspend", "SN-4", "", EventKind::DeviceStateChanged),
    ("/admin/v1/devices/{device}/resume", "SN-4", "", EventKind::DeviceStateChanged),
    ("/admin/v1/devices/{device}/retire", "SN-5", "", EventKind::DeviceStateChanged),
    ("/admin/v1/devices/{device}/return", "SN-6", "", EventKind::DeviceStateChanged),
    ("/admin/v1/devices/{device}/transfer", "SN-7", "{\"to\": \"lot-7\"}", EventKind::DeviceStateChanged),
    ("/admin/v1/devices/{device}/revoke", "SN-3", "{\"reason\": \"key-compromise\"}", EventKind::Revoked),
    ("/admin/v1/bulk", "SN-8", "{\"action\": \"suspend\", \"tag\": \"x\"}", EventKind::DeviceStateChanged),
    ("/admin/v1/certificates/revoke", "", "{\"certificate\": \"{server}\"}", EventKind::PeerRevoked),
    ("/admin/v1/tokens", "", "{\"hours\": 1}", EventKind::TokenCreated),
];

#[tokio::test]
async fn every_call_that_changes_something_says_who_by_what_and_from_where() {
    let listed: BTreeSet<&str> = CALLS.iter().map(|call| call.0).collect();
    let routes = HTTPS.iter().filter(|route| route.access == Access::Operator && route.method != "GET");
    assert_eq!(listed, routes.map(|route| route.path).collect(), "calls in the table, and routes");

    let waiting = "[enrollment]\nfirst = \"hold\"\n";
    let site = Site::with(|config| {
        std::fs::write(config.files.policy_groups.join("waiting.toml"), waiting).unwrap()
    })
    .await;
    for n in 1..=8 {
        let device = site.device(&format!("SN-{n}")).await;
        if n > 2 {
            site.enroll(&device).await;
        } else if n == 2 {
            // Only a request that waits can be denied.
            let group = Label::Group("waiting".parse().unwrap());
            site.admin().label(Selection::One(device.id.clone()), group, Page::first(1)).await.unwrap();
            site.try_enroll(&device).await;
        }
    }
    let token = std::fs::read_to_string(site.folder.path().join("server/admin.token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", token.trim());
    let server = std::fs::read_to_string(&site.config.files.server_certificate).unwrap().replace('\n', "\\n");
    for (path, device, body, kind) in CALLS {
        let (path, body) = (path.replace("{device}", device), body.replace("{server}", &server));
        let newest = site.admin().events(1).await.unwrap()[0].number;
        let reply = site.tls().try_request("POST", &path, &headers, body.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let events = site.admin().find_events(EventQuery::after(newest, 10)).await.unwrap();
        let found: Vec<_> = events.iter().filter(|event| event.kind == kind.name()).collect();
        let [event] = found.as_slice() else { panic!("{path}: {events:?}") };
        assert_eq!(event.actor, "admin-api:admin-token", "{path}");
        assert_eq!(event.action.as_deref(), Some(format!("POST {path}").as_str()));
        assert!(event.source.as_deref().unwrap().starts_with("127.0.0.1:"), "{path}: {event:?}");
        assert!(!format!("{event:?}").contains(token.trim()), "{path}");
    }
    // What devices and the server itself do has no administrator.
    for event in site.admin().events(200).await.unwrap() {
        let of_administrator = event.actor.starts_with("admin-api:");
        assert_eq!(event.action.is_some(), of_administrator, "{event:?}");
    }
}
