//! What brokers and terminators ask about: RabbitMQ's forms, certificates in base64.

use std::path::Path;
use std::sync::LazyLock;

use enroll_server::config::Config;
use enroll_server::issuance::ClientIdentity;
use enroll_server::peers::rabbitmq::Form;
use enroll_server::peers::{Action, Client, MAX_SENT, Rights, certificate_of};
use shared::message::latest::{Answer, Outcome};
use x509_cert::der::{Decode as _, Encode as _, Tagged as _};

use crate::exchange;

/// A form of RabbitMQ, as each of the four questions.
pub(super) fn rabbitmq_form(data: &[u8]) -> bool {
    let Some(form) = Form::read(data) else { return false };
    let answer = allowed(&form);
    if answer == [const { None }; 4] {
        return false;
    }
    for name in answer.iter().flatten() {
        assert!(Client::of_common_name(name).is_some(), "{name:?} is nobody's name");
    }
    if let (Some(Client::Device(id)), Some(wish)) = (right(&form), form.topic()) {
        let kinds: &[&str] = match wish.action {
            Action::Publish => &["telemetry", "status"],
            Action::Subscribe => &["command"],
        };
        let own = kinds.iter().map(|kind| format!("devices.{}.{kind}", id.as_str()));
        assert!(own.into_iter().any(|own| own == wish.routing_key), "{wish:?} is not of {id:?}'s own");
    }
    // No form has a part that is not read: a second name, or a password, changes the answer wherever it stands.
    let with = |field: &str, before: bool| {
        let parts = if before { [field.as_bytes(), data] } else { [data, field.as_bytes()] };
        Form::read(&parts.join(&b'&')).expect("a form")
    };
    for before in [false, true] {
        assert_eq!(allowed(&with("username=SN-0001", before)), [const { None }; 4], "two names");
        assert_eq!(with("password=", before).user(), None, "a password");
        // What nobody looks at changes nothing.
        assert_eq!(allowed(&with("vhost2=x", before)), answer);
    }
    true
}

/// Who is allowed something by each of the four questions, where he is in force.
fn allowed(form: &Form) -> [Option<String>; 4] {
    let named = [form.user(), form.vhost(), form.resource()];
    let [user, vhost, resource] =
        named.map(|name| name.filter(|name| Client::of_common_name(name).is_some()).map(ToOwned::to_owned));
    let topic = form.topic().filter(|_| right(form).is_some()).map(|wish| wish.user.to_owned());
    [user, vhost, resource, topic]
}

/// Whose right the wish is.
fn right(form: &Form) -> Option<Client> {
    let wish = form.topic()?;
    Client::of_common_name(wish.user).filter(|client| wish.is_right_of(client, &RIGHTS))
}

/// Those at a broker as it is by default.
pub(super) static RIGHTS: LazyLock<Rights> = LazyLock::new(|| {
    let config = Config::parse("tenant = \"Acme\"\n", Path::new("enroll-server.toml"), Path::new("/srv"));
    Rights::of([&config.expect("a configuration").broker], [])
});

/// A client's certificate as terminators and EMQX send it. One in DER is put into base64, so that what is changed in it is
/// read.
pub(super) fn client_certificate(data: &[u8]) -> bool {
    let text = match data.first() {
        Some(0x30) => enroll_server::est::to_base64(data).into_bytes(),
        _ => data.to_vec(),
    };
    let Some(der) = certificate_of(&text) else { return false };
    assert!(text.len() <= MAX_SENT);
    // There is one spelling: what one program takes for the certificate that was issued, no other takes for another.
    assert_eq!(enroll_server::est::to_base64(&der).as_bytes(), text);
    let Ok(identity) = ClientIdentity::from_der(&der) else { return false };
    // Another decoder finds the same name, number and end, where it reads it at all.
    if let Ok(other) = x509_cert::Certificate::from_der(&der) {
        let tbs = &other.tbs_certificate;
        assert_eq!(names(&tbs.subject, SERIAL_NUMBER), [identity.device().as_str()]);
        assert_eq!(tbs.serial_number.as_bytes(), identity.serial().to_der_value());
        let end = tbs.validity.not_after.to_unix_duration().as_secs();
        assert_eq!(end, identity.not_after().as_secs());
        assert!(!other.to_der().expect("what was read is written").is_empty());
    }
    true
}

/// The attribute that has a device's identifier.
pub(super) const SERIAL_NUMBER: &str = "2.5.4.5";

/// The values of this attribute in a name.
pub(super) fn names(name: &x509_cert::name::Name, kind: &str) -> Vec<String> {
    let attributes = name.0.iter().flat_map(|set| set.0.iter());
    attributes
        .filter(|attribute| attribute.oid.to_string() == kind)
        .map(|attribute| {
            let value = core::str::from_utf8(attribute.value.value());
            value.unwrap_or_else(|_| panic!("a {} that is no text", attribute.value.tag())).to_owned()
        })
        .collect()
}

/// Seeds of these targets.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    Some(match target {
        "rabbitmq_form" => {
            FORMS.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        }
        "client_certificate" => {
            let leaf = leaf();
            vec![
                ("recorded-der".into(), leaf.clone()),
                ("recorded-text".into(), enroll_server::est::to_base64(&leaf).into_bytes()),
                ("recorded-issuing-ca".into(), exchange::bytes("issuing_ca")),
            ]
        }
        _ => return None,
    })
}

/// The device's certificate of the recorded exchange.
pub(super) fn leaf() -> Vec<u8> {
    let answer = exchange::bytes("enroll_answer");
    let Ok(Answer { outcome: Outcome::Issued(issued), .. }) = Answer::decode(&answer) else {
        panic!("exchange.json: no identity was issued")
    };
    issued.chain[0].to_vec()
}

const FORMS: [(&str, &str); 6] = [
    ("user", "username=SN-0001"),
    ("user-of-newer-versions", "username=SN-0001&client_id=SN-0001&vhost=%2F"),
    ("vhost", "username=SN-0001&vhost=%2F&ip=192.0.2.1&client_id=SN-0001&variable_map.username=SN-0001"),
    (
        "queue",
        "username=SN-0001&vhost=%2F&resource=queue&name=mqtt-subscription-SN-0001qos1&permission=configure",
    ),
    ("exchange", "username=SN-0001&vhost=%2F&resource=exchange&name=amq.topic&permission=write"),
    (
        "topic",
        "username=SN-0001&vhost=%2F&resource=topic&name=amq.topic&permission=write&\
         routing_key=devices.SN-0001.telemetry&variable_map.client_id=SN-0001",
    ),
];
