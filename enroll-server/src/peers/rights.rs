//! What a client may do at a broker, by the name in its certificate. The one home of it: configurations are written
//! from it, and brokers that ask are answered by it.
//!
//! Knows no certificates and no states: that a device is in force is asked of the store.

use std::collections::BTreeSet;

use appraisal::policy::BrokerOverride;
use shared::DeviceId;

use crate::config::Broker;
use crate::mqtt::CLIENT_NAME;
use crate::policies::InForce;

/// Stands for the device's identifier.
pub(super) const ID: &str = "{id}";

/// What is done to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something is sent to it.
    Publish,
    /// What is sent to it is asked for.
    Subscribe,
}

/// The topics of devices, as templates with `{id}`.
///
/// A device writes its telemetry and its status and reads its commands. The enrollment server writes commands and reads
/// the status of all. Nobody else has any right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    telemetry: BTreeSet<String>,
    status: BTreeSet<String>,
    command: BTreeSet<String>,
}

/// Who stands behind the name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A device.
    Device(DeviceId),
    /// The enrollment server itself. No device can have this name: identifiers have no underscore.
    Server,
}

impl Client {
    /// By the common name of a certificate that leads to our CAs; `None` where it is nobody's.
    #[must_use]
    pub fn of_common_name(name: &str) -> Option<Self> {
        if name == CLIENT_NAME {
            return Some(Self::Server);
        }
        DeviceId::new(name).ok().map(Self::Device)
    }
}

impl Rights {
    /// Those at any of `brokers`, where policies that are in force, and candidates, may say other topics.
    #[must_use]
    pub fn in_force<'a>(brokers: impl IntoIterator<Item = &'a Broker>, policies: &'a InForce) -> Self {
        let own = policies.set.iter().flat_map(|(_, group)| {
            let candidate = group.candidate().map(|candidate| candidate.policy.broker());
            [Some(group.policy().broker()), candidate].into_iter().flatten()
        });
        Self::of(brokers, own)
    }

    /// Those at any of `brokers`, where `overrides` are what policies of groups say instead.
    #[must_use]
    pub fn of<'a>(
        brokers: impl IntoIterator<Item = &'a Broker>,
        overrides: impl IntoIterator<Item = &'a BrokerOverride>,
    ) -> Self {
        let mut rights = Self::default();
        for broker in brokers {
            rights.telemetry.insert(broker.telemetry_topic.clone());
            rights.status.insert(broker.status_topic.clone());
            rights.command.insert(broker.command_topic.clone());
        }
        for own in overrides {
            rights.telemetry.extend(own.telemetry_topic.clone());
            rights.status.extend(own.status_topic.clone());
            rights.command.extend(own.command_topic.clone());
        }
        rights
    }

    /// What a device may write.
    pub(super) fn device_writes(&self) -> impl Iterator<Item = &str> {
        self.telemetry.iter().chain(&self.status).map(String::as_str)
    }

    /// What a device may read; the enrollment server writes it.
    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.command.iter().map(String::as_str)
    }

    /// What the enrollment server reads.
    pub(super) fn statuses(&self) -> impl Iterator<Item = &str> {
        self.status.iter().map(String::as_str)
    }

    /// All templates.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.device_writes().chain(self.commands())
    }

    /// Whether `client` may do `action` to `topic`: the topic, or the filter, as MQTT has it.
    #[must_use]
    pub fn allow(&self, client: &Client, action: Action, topic: &str) -> bool {
        self.allow_as(client, action, topic, &str::to_owned)
    }

    /// As [`allow`](Self::allow), where topics are written in another form, which `form` makes.
    pub(crate) fn allow_as(
        &self,
        client: &Client,
        action: Action,
        topic: &str,
        form: &dyn Fn(&str) -> String,
    ) -> bool {
        match (client, action) {
            (Client::Device(id), Action::Publish) => {
                self.device_writes().any(|template| form(&of_device(template, id)) == topic)
            }
            (Client::Device(id), Action::Subscribe) => {
                self.commands().any(|template| form(&of_device(template, id)) == topic)
            }
            // It subscribes to all at once, and names the one device that it commands.
            (Client::Server, Action::Subscribe) => {
                self.statuses().any(|template| form(&of_all(template)) == topic)
            }
            (Client::Server, Action::Publish) => self.commands().any(|template| {
                let form_of = form(template);
                let Some((before, after)) = form_of.split_once(ID) else { return false };
                let id = topic.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                id.is_some_and(|id| {
                    DeviceId::new(id).is_ok_and(|id| form(&of_device(template, &id)) == topic)
                })
            }),
        }
    }
}

/// The topic of one device.
fn of_device(template: &str, id: &DeviceId) -> String {
    template.replace(ID, id.as_str())
}

/// The filter that finds the topics of all devices.
pub(super) fn of_all(template: &str) -> String {
    let levels: Vec<_> =
        template.split('/').map(|level| if level.contains(ID) { "+" } else { level }).collect();
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Action, Client, Rights};
    use appraisal::policy::BrokerOverride;
    use proptest::prelude::*;

    fn rights() -> Rights {
        let text = "tenant = \"Acme\"\n";
        let config = crate::config::Config::parse(text, "f.toml".as_ref(), "/srv".as_ref()).unwrap();
        let own =
            BrokerOverride { telemetry_topic: Some("lab/{id}/data".into()), ..BrokerOverride::default() };
        Rights::of([&config.broker], [&own])
    }

    fn client(name: &str) -> Client {
        Client::of_common_name(name).unwrap()
    }

    #[test]
    fn a_device_has_its_own_topics_and_no_others() {
        let (rights, device) = (rights(), client("SN-1"));
        for topic in ["devices/SN-1/telemetry", "devices/SN-1/status", "lab/SN-1/data"] {
            assert!(rights.allow(&device, Action::Publish, topic), "{topic}");
            assert!(!rights.allow(&device, Action::Subscribe, topic), "{topic}");
        }
        assert!(rights.allow(&device, Action::Subscribe, "devices/SN-1/command"));
        for foreign in [
            "devices/SN-2/telemetry",
            "devices/SN-1/command",
            "devices/+/status",
            "devices/SN-1/#",
            "#",
            "",
            "devices/{id}/telemetry",
            "/devices/SN-1/telemetry",
            "$share/g/devices/SN-1/command",
        ] {
            assert!(!rights.allow(&device, Action::Publish, foreign), "{foreign}");
        }
        for foreign in
            ["devices/+/command", "devices/SN-2/command", "#", "+/+/+", "$share/g/devices/SN-1/command"]
        {
            assert!(!rights.allow(&device, Action::Subscribe, foreign), "{foreign}");
        }
    }

    #[test]
    fn the_server_commands_and_sees_who_is_there() {
        let (rights, server) = (rights(), client("enroll_server"));
        assert_eq!(server, Client::Server);
        assert!(rights.allow(&server, Action::Publish, "devices/SN-1/command"));
        assert!(rights.allow(&server, Action::Subscribe, "devices/+/status"));
        for (action, foreign) in [
            (Action::Publish, "devices/SN-1/telemetry"),
            (Action::Publish, "devices/+/command"),
            (Action::Publish, "devices//command"),
            (Action::Publish, "devices/a/b/command"),
            (Action::Publish, "devices/command"),
            (Action::Subscribe, "devices/#"),
            (Action::Subscribe, "devices/+/telemetry"),
        ] {
            assert!(!rights.allow(&server, action, foreign), "{foreign}");
        }
    }

    #[test]
    fn a_name_is_a_device_or_nobody() {
        for nobody in ["", "SN 1", "a/b", "+", "#", "enroll_server ", "Enroll_Server", "-a", &"a".repeat(49)]
        {
            assert_eq!(Client::of_common_name(nobody), None, "{nobody}");
        }
    }

    proptest! {
        #[test]
        fn no_device_reaches_what_another_has(
            one in "[A-Za-z0-9]([A-Za-z0-9.-]{0,8}[A-Za-z0-9])?",
            other in "[A-Za-z0-9]([A-Za-z0-9.-]{0,8}[A-Za-z0-9])?",
            which in prop::sample::select(vec!["devices/{}/telemetry", "devices/{}/command", "lab/{}/data"]),
        ) {
            let rights = rights();
            let topic = which.replace("{}", &other);
            for action in [Action::Publish, Action::Subscribe] {
                let allowed = rights.allow(&client(&one), action, &topic);
                prop_assert!(!allowed || one == other, "{one} has {topic}");
            }
        }
    }
}
