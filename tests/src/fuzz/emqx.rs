//! What EMQX asks: whatever it says, a client gets what is its own, by the certificate that names it.

use std::borrow::Cow;

use enroll_server::peers::emqx::{Claim, Login, Wish};
use enroll_server::peers::{Client, certificate_of};
use serde_json::{Value as Json, json};
use shared::limits::MAX_REQUEST;
use x509_cert::der::Decode as _;

use super::peers::{RIGHTS, SERIAL_NUMBER, leaf, names};
use super::pieces::{join, split};

/// The question whether a client may log in.
pub(super) fn login(data: &[u8]) -> bool {
    let data = &*body(data);
    if data.len() > MAX_REQUEST {
        // No such body is read.
        return false;
    }
    let Some(claim) = Login::read(data).and_then(|login| login.claim()) else { return false };
    let name = match &claim {
        Claim::Device(identity, _) => identity.device().as_str(),
        Claim::Unshown(Client::Device(id)) => id.as_str(),
        Claim::Server(_) | Claim::Unshown(Client::Server) => SERVER,
    };
    agree(data, &["username", "clientid", "common_name"], name);
    let shown = fields(data).map(|fields| fields["certificate"].clone());
    match (&claim, shown) {
        // What is shown and of no use is never taken for nothing.
        (Claim::Unshown(_), Some(shown)) => assert!(shown.is_null(), "{shown} was passed over"),
        (Claim::Device(..) | Claim::Server(_), Some(shown)) => shown_is_of(&claim, &shown, name),
        (_, None) => {}
    }
    let as_it_is = format!("{claim:?}");
    let read_as = |claim: Option<Claim>| claim.map(|claim| format!("{claim:?}"));
    twice(data, &["username", "clientid", "common_name", "certificate"], |data| {
        Login::read(data).and_then(|login| read_as(login.claim()))
    });
    passed_over(data, |data| {
        assert_eq!(Login::read(data).and_then(|login| read_as(login.claim())), Some(as_it_is.clone()));
    });
    true
}

/// Another decoder finds the same name in the certificate, where it reads it at all.
fn shown_is_of(claim: &Claim, shown: &Json, name: &str) {
    let der = certificate_of(shown.as_str().expect("a text").as_bytes()).expect("base64");
    let other = x509_cert::Certificate::from_der(&der);
    let (kind, serial) = match claim {
        Claim::Device(identity, held) => {
            assert_eq!(*held, der, "not the certificate that was shown");
            (SERIAL_NUMBER, identity.serial())
        }
        Claim::Server(serial) => (COMMON_NAME, *serial),
        Claim::Unshown(_) => panic!("a certificate was shown"),
    };
    if let Ok(other) = other {
        assert_eq!(names(&other.tbs_certificate.subject, kind), [name]);
        assert_eq!(other.tbs_certificate.serial_number.as_bytes(), serial.to_der_value());
    }
}

/// The question whether a client may publish or subscribe.
pub(super) fn wish(data: &[u8]) -> bool {
    let data = &*body(data);
    if data.len() > MAX_REQUEST {
        return false;
    }
    let Some(client) = right(data) else { return false };
    let name = if let Client::Device(id) = &client { id.as_str() } else { SERVER };
    agree(data, &["username", "clientid"], name);
    if let Some(fields) = fields(data) {
        let (action, topic) = (fields["action"].as_str(), fields["topic"].as_str().expect("a text"));
        let own = match (&client, action) {
            (Client::Device(_), Some("publish")) => {
                ["telemetry", "status"].map(|kind| of(name, kind)).to_vec()
            }
            (Client::Device(_), Some("subscribe")) => vec![of(name, "command")],
            (Client::Server, Some("subscribe")) => vec![of("+", "status")],
            // One device's commands, and no pattern of many.
            (Client::Server, Some("publish")) => {
                let id = topic.split('/').nth(1).unwrap_or_default();
                assert!(
                    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
                    "{topic}"
                );
                vec![of(id, "command")]
            }
            _ => panic!("{action:?} is no action"),
        };
        assert!(own.iter().any(|own| own == topic), "{topic} is not {client:?}'s own");
    }
    twice(data, &["username", "clientid", "action", "topic"], right);
    passed_over(data, |data| assert_eq!(right(data), Some(client.clone())));
    true
}

/// The body as it is, or with a field out of each piece of the input.
fn body(data: &[u8]) -> Cow<'_, [u8]> {
    match data.first() {
        Some(0) => [b"{", &*split(data).join(&b','), b"}"].concat().into(),
        _ => data.into(),
    }
}

/// Whose right the wish is.
fn right(data: &[u8]) -> Option<Client> {
    let wish = Wish::read(data)?;
    wish.client().filter(|client| wish.is_right_of(client, &RIGHTS))
}

fn of(id: &str, kind: &str) -> String {
    format!("devices/{id}/{kind}")
}

const SERVER: &str = "enroll_server";
const COMMON_NAME: &str = "2.5.4.3";

/// The fields as another reader sees them, which knows neither what is asked nor great numbers and deep nesting.
fn fields(data: &[u8]) -> Option<Json> {
    serde_json::from_slice(data).ok()
}

/// Another reader finds this name in each of the fields.
fn agree(data: &[u8], keys: &[&str], name: &str) {
    if let Some(fields) = fields(data) {
        for key in keys {
            assert_eq!(fields[key], name, "{key}");
        }
    }
}

/// A field that stands there a second time, in front or behind, is no question any more.
fn twice<C: core::fmt::Debug>(data: &[u8], keys: &[&str], read: impl Fn(&[u8]) -> Option<C>) {
    let text = core::str::from_utf8(data).expect("JSON is UTF-8").trim_ascii();
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).expect("an object");
    let there = fields(data).unwrap_or_default();
    for key in keys.iter().filter(|key| there.get(key).is_some()) {
        for doubled in
            [format!("{{\"{key}\":\"SN-0002\",{inner}}}"), format!("{{{inner},\"{key}\":\"SN-0002\"}}")]
        {
            let read = read(doubled.as_bytes());
            assert!(read.is_none(), "{key} twice: {read:?}");
        }
    }
}

/// What nobody looks at changes nothing, however deep it is.
fn passed_over(data: &[u8], same: impl Fn(&[u8])) {
    let text = core::str::from_utf8(data).expect("JSON is UTF-8").trim_ascii();
    let inner = text.strip_prefix('{').expect("an object");
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for more in ["{\"Username\":7,", &format!("{{\"peerhost\":{deep},")] {
        same(format!("{more}{inner}").as_bytes());
    }
}

/// Seeds of these targets.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let written = |name: &str, question: Json| (name.to_owned(), question.to_string().into_bytes());
    let in_pieces = |name: &str, question: Json| {
        let fields = question.as_object().expect("an object").iter();
        let fields: Vec<_> =
            fields.map(|(key, value)| format!("{}:{value}", json!(key)).into_bytes()).collect();
        (name.to_owned(), join(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    };
    Some(match target {
        "emqx_login" => {
            let leaf = leaf();
            let text = enroll_server::est::to_base64(&leaf);
            let identity = enroll_server::issuance::ClientIdentity::from_der(&leaf).expect("a device's");
            let of = |name: &str| json!({ "username": name, "clientid": name, "common_name": name });
            let shown = |name: &str, text: &str| {
                let mut question = of(name);
                question["certificate"] = text.into();
                question
            };
            vec![
                written("device-with-its-certificate", shown(identity.device().as_str(), &text)),
                in_pieces("pieces", shown(identity.device().as_str(), &text)),
                in_pieces("pieces-of-another", of("SN-0002")),
                in_pieces("pieces-of-the-server", of(SERVER)),
                written("device-with-anothers-certificate", shown("SN-0002", &text)),
                written("server-with-a-devices-certificate", shown(SERVER, &text)),
                written("server", of(SERVER)),
                written(
                    "device",
                    json!({ "username": "SN-0001", "clientid": "SN-0001", "common_name": "SN-0001",
                    "peerhost": "192.0.2.1", "password": null }),
                ),
                written("no-certificate", shown("SN-0001", "${cert_pem}")),
            ]
        }
        "emqx_wish" => {
            let wish = |name: &str, action: &str, topic: &str| json!({ "username": name, "clientid": name, "action": action, "topic": topic });
            vec![
                written("telemetry", wish("SN-0001", "publish", "devices/SN-0001/telemetry")),
                written("command", wish("SN-0001", "subscribe", "devices/SN-0001/command")),
                in_pieces("pieces", wish("SN-0001", "publish", "devices/SN-0001/telemetry")),
                in_pieces("pieces-of-another", wish("SN-0002", "subscribe", "devices/SN-0002/command")),
                in_pieces("pieces-of-the-server", wish(SERVER, "publish", "devices/SN-0001/command")),
                written("anothers", wish("SN-0001", "publish", "devices/SN-0002/telemetry")),
                written("all", wish("SN-0001", "subscribe", "devices/+/command")),
                written("server-commands", wish(SERVER, "publish", "devices/SN-0001/command")),
                written("server-reads", wish(SERVER, "subscribe", "devices/+/status")),
            ]
        }
        _ => return None,
    })
}
