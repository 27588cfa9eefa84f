//! What RabbitMQ's HTTP backend asks, in forms, and which of it is for the client's own name. Whether that client is in
//! force is asked of the store afterwards.

use super::{Action, Client, Rights};

/// What RabbitMQ's MQTT plugin calls its exchange, its virtual host and the queues of a client.
const EXCHANGE: &str = "amq.topic";
const VHOST: &str = "/";
const QUEUE: &str = "mqtt-subscription-";

/// A question: the fields of a form, in their order.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

/// Something that a user wants to do to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'f> {
    /// The user's name.
    pub user: &'f str,
    /// What it would do.
    pub action: Action,
    /// The topic, as RabbitMQ writes it.
    pub routing_key: &'f str,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`; `None` where it is not.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        // A question has at least a name in it.
        let text = core::str::from_utf8(body).ok().filter(|text| !text.is_empty())?;
        Some(Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }

    /// Is this a user? The name, where it may be one's. Where a client sends a password, it did not come by its certificate.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let name = self.one("username").filter(|_| !self.has("password"));
        // Newer versions say the client identifier here already.
        name.filter(|name| !self.has("client_id") || self.one("client_id") == Some(name))
    }

    /// May the user enter the virtual host? Asked before another session under the same client identifier ends.
    #[must_use]
    pub fn vhost(&self) -> Option<&str> {
        self.one("username")
            .filter(|name| self.one("vhost") == Some(VHOST) && self.one("client_id") == Some(name))
    }

    /// May the user do that to a queue or an exchange? To its own queues, and to the exchange of MQTT; topics are asked
    /// about by themselves.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.one("username").filter(|name| {
            let resource = self.one("name").unwrap_or_default();
            let own = resource.strip_prefix(QUEUE).and_then(|rest| rest.strip_prefix(*name));
            self.one("vhost") == Some(VHOST)
                && match (self.one("resource"), self.one("permission")) {
                    (Some("queue"), Some("configure" | "write" | "read")) => {
                        matches!(own, Some("qos0" | "qos1"))
                    }
                    (Some("exchange"), Some("write" | "read")) => resource == EXCHANGE,
                    _ => false,
                }
        })
    }

    /// May the user write or read this routing key? `None` where it is not asked about MQTT.
    #[must_use]
    pub fn topic(&self) -> Option<Wish<'_>> {
        let action = match self.one("permission")? {
            "write" => Action::Publish,
            "read" => Action::Subscribe,
            _ => return None,
        };
        let at_mqtt = self.one("vhost") == Some(VHOST) && self.one("name") == Some(EXCHANGE);
        let wish = Wish { user: self.one("username")?, action, routing_key: self.one("routing_key")? };
        at_mqtt.then_some(wish)
    }

    /// The value of a field that stands there once.
    fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name || is_variable(known, name));
        let first = found.next()?;
        found.next().is_none().then_some(first.1.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name || is_variable(known, name))
    }
}

impl Wish<'_> {
    /// Whether `client`, who has the user's name, has this right.
    #[must_use]
    pub fn is_right_of(&self, client: &Client, rights: &Rights) -> bool {
        // Levels are parted by dots there: an identifier with a dot would be two of them, and perhaps another's topic.
        !self.user.contains('.') && rights.allow_as(client, self.action, self.routing_key, &routing_key)
    }
}

/// A topic or filter of MQTT as RabbitMQ's plugin writes it.
fn routing_key(topic: &str) -> String {
    topic.replace('/', ".").replace('+', "*")
}

/// RabbitMQ sends what it knows of an MQTT client as `variable_map.NAME` too.
fn is_variable(known: &str, name: &str) -> bool {
    name == "client_id" && known == "variable_map.client_id"
}

#[cfg(test)]
mod tests {
    use super::{Form, routing_key};
    use proptest::prelude::*;

    #[test]
    fn a_form_is_read_and_what_stands_there_twice_counts_as_missing() {
        let form =
            Form::read(b"username=SN-1&vhost=%2F&name=a%20b+c&vhost2=&username2=x&twice=1&twice=2").unwrap();
        assert_eq!(form.one("username"), Some("SN-1"));
        assert_eq!(form.one("vhost"), Some("/"));
        assert_eq!(form.one("name"), Some("a b c"));
        assert_eq!((form.one("twice"), form.has("twice")), (None, true));
        assert_eq!((form.one("missing"), form.has("missing")), (None, false));
        let form = Form::read(b"variable_map.client_id=a&variable_map.username=b").unwrap();
        assert_eq!((form.one("client_id"), form.one("username")), (Some("a"), None));
        assert!(Form::read(b"\xff").is_none() && Form::read(b"").is_none());
        assert_eq!(routing_key("devices/+/command"), "devices.*.command");
    }

    #[test]
    fn a_form_has_no_fragment_that_hides_the_rest_of_it() {
        let form = Form::read(b"username=SN-1#&username=SN-2&password=x").unwrap();
        assert_eq!((form.one("username"), form.user()), (None, None));
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _read = Form::read(&bytes);
        }
    }
}
