//! Who may say what: the rules for one client's packets, without I/O. A device reaches what is below its own name; the
//! enrollment server writes commands, and hears who comes online.

use rumqttc::mqttbytes::v5::{Connect, DisconnectReasonCode, LastWill, Packet, Publish};
use shared::DeviceId;

use super::peer::Who;

/// The rules for the client whose certificate was verified.
#[derive(Debug)]
pub(super) struct Acl {
    who: Who,
}

/// Why a packet does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// The client identifier is not the certificate's common name.
    #[error("the client identifier is not the name in the certificate")]
    ForeignClientId,
    /// A topic, filter or last will that is not the client's.
    #[error("a topic outside the device's own")]
    ForeignTopic,
    /// A topic alias, which would hide the topic.
    #[error("topic aliases are not offered")]
    TopicAlias,
    /// A packet that a client does not send, or not now.
    #[error("this packet does not belong here")]
    Unexpected,
    /// Not MQTT 5, or longer than allowed.
    #[error("the packet cannot be read")]
    Malformed,
}

impl Violation {
    /// The reason code that the client is told (MQTT 5, section 3.14.2.1).
    pub(super) const fn reason(self) -> DisconnectReasonCode {
        match self {
            Self::ForeignClientId | Self::ForeignTopic => DisconnectReasonCode::NotAuthorized,
            Self::TopicAlias => DisconnectReasonCode::TopicAliasInvalid,
            Self::Unexpected => DisconnectReasonCode::ProtocolError,
            Self::Malformed => DisconnectReasonCode::MalformedPacket,
        }
    }
}

impl Acl {
    /// The rules for `who`.
    pub(super) const fn new(who: Who) -> Self {
        Self { who }
    }

    /// Whose rules these are.
    pub(super) const fn who(&self) -> &Who {
        &self.who
    }

    /// Checks the first packet of a session.
    pub(super) fn connect(&self, connect: &Connect, will: Option<&LastWill>) -> Result<(), Violation> {
        if connect.client_id != self.who.name() {
            return Err(Violation::ForeignClientId);
        }
        match will {
            Some(will) => self.topic(&will.topic),
            None => Ok(()),
        }
    }

    /// Checks a packet of a session that is under way.
    pub(super) fn packet(&self, packet: &Packet) -> Result<(), Violation> {
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            Packet::Subscribe(subscribe) => {
                subscribe.filters.iter().try_for_each(|filter| self.filter(&filter.path))
            }
            Packet::Unsubscribe(unsubscribe) => {
                unsubscribe.filters.iter().try_for_each(|filter| self.filter(filter))
            }
            Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::PingReq
            | Packet::Disconnect(_) => Ok(()),
            Packet::Auth(_)
            | Packet::Connect(..)
            | Packet::ConnAck(_)
            | Packet::PingResp
            | Packet::SubAck(_)
            | Packet::UnsubAck(_) => Err(Violation::Unexpected),
        }
    }

    fn publish(&self, publish: &Publish) -> Result<(), Violation> {
        if publish.properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some()) {
            return Err(Violation::TopicAlias);
        }
        self.topic(&publish.topic)
    }

    fn topic(&self, topic: &[u8]) -> Result<(), Violation> {
        let topic = core::str::from_utf8(topic).map_err(|_| Violation::Malformed)?;
        // A topic name has no wildcards (MQTT 5, section 4.7.1).
        if topic.contains(['+', '#']) {
            return Err(Violation::ForeignTopic);
        }
        allow(match &self.who {
            Who::Device(id) => is_own(topic, id),
            Who::Server => is_of_a_device(topic, "/command"),
        })
    }

    fn filter(&self, filter: &str) -> Result<(), Violation> {
        allow(match &self.who {
            Who::Device(id) => is_own(filter, id),
            Who::Server => filter == "devices/+/status" || is_of_a_device(filter, "/status"),
        })
    }
}

/// Below the device's own prefix. A filter may have wildcards behind it: they reach the device's own topics only. Shared
/// subscriptions begin with `$share` and so never have the prefix.
fn is_own(topic: &str, id: &DeviceId) -> bool {
    let below = topic.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(id.as_str()));
    below.and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.is_empty())
}

/// The topic of one device that ends so.
fn is_of_a_device(topic: &str, end: &str) -> bool {
    let name = topic.strip_prefix("devices/").and_then(|rest| rest.strip_suffix(end));
    name.is_some_and(|name| DeviceId::new(name).is_ok())
}

const fn allow(allowed: bool) -> Result<(), Violation> {
    if allowed { Ok(()) } else { Err(Violation::ForeignTopic) }
}

#[cfg(test)]
mod tests {
    use super::{Acl, Violation, Who};
    use rumqttc::mqttbytes::QoS;
    use rumqttc::mqttbytes::v5::{
        Packet, Publish, PublishProperties, Subscribe, SubscribeFilter, Unsubscribe,
    };
    use shared::DeviceId;

    fn acl() -> Acl {
        Acl::new(Who::Device(DeviceId::new("SN-1").unwrap()))
    }

    fn publish(topic: &str) -> Packet {
        Packet::Publish(Publish::new(topic, QoS::AtLeastOnce, "x", None))
    }

    fn subscribe(filter: &str) -> Packet {
        Packet::Subscribe(Subscribe::new(SubscribeFilter::new(filter, QoS::AtLeastOnce), None))
    }

    #[test]
    fn own_topics_pass() {
        assert_eq!(acl().packet(&publish("devices/SN-1/telemetry")), Ok(()));
        assert_eq!(acl().packet(&subscribe("devices/SN-1/command")), Ok(()));
        assert_eq!(acl().packet(&subscribe("devices/SN-1/#")), Ok(()));
    }

    #[test]
    fn all_other_topics_do_not() {
        for topic in [
            "devices/SN-2/telemetry",
            "devices/SN-1",
            "devices/SN-1/",
            "devices/SN-11/telemetry",
            "/devices/SN-1/telemetry",
            "$SYS/x",
            "",
            "devices/SN-1/+",
            "devices/SN-1/#",
        ] {
            assert_eq!(acl().packet(&publish(topic)), Err(Violation::ForeignTopic), "{topic}");
        }
        for filter in ["#", "+/SN-1/#", "devices/#", "devices/+/command", "$share/g/devices/SN-1/command"] {
            assert_eq!(acl().packet(&subscribe(filter)), Err(Violation::ForeignTopic), "{filter}");
        }
        let unsubscribe = Packet::Unsubscribe(Unsubscribe::new("devices/SN-2/command", None));
        assert_eq!(acl().packet(&unsubscribe), Err(Violation::ForeignTopic));
    }

    #[test]
    fn one_foreign_filter_spoils_the_subscription() {
        let filters = ["devices/SN-1/command", "devices/SN-2/command"]
            .map(|f| SubscribeFilter::new(f, QoS::AtLeastOnce));
        let both = Packet::Subscribe(Subscribe::new_many(filters, None));
        assert_eq!(acl().packet(&both), Err(Violation::ForeignTopic));
    }

    #[test]
    fn an_alias_never_hides_a_topic() {
        let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
        let packet =
            Packet::Publish(Publish::new("devices/SN-1/telemetry", QoS::AtLeastOnce, "x", Some(properties)));
        assert_eq!(acl().packet(&packet), Err(Violation::TopicAlias));
    }

    #[test]
    fn the_server_writes_commands_and_hears_statuses() {
        let acl = Acl::new(Who::Server);
        assert_eq!(acl.packet(&publish("devices/SN-1/command")), Ok(()));
        for filter in ["devices/+/status", "devices/SN-1/status"] {
            assert_eq!(acl.packet(&subscribe(filter)), Ok(()), "{filter}");
        }
        for topic in [
            "devices/SN-1/status",
            "devices/SN-1/telemetry",
            "devices/+/command",
            "devices//command",
            "x",
            "",
        ] {
            assert_eq!(acl.packet(&publish(topic)), Err(Violation::ForeignTopic), "{topic}");
        }
        for filter in
            ["#", "devices/#", "devices/+/command", "devices/+/telemetry", "$share/g/devices/+/status"]
        {
            assert_eq!(acl.packet(&subscribe(filter)), Err(Violation::ForeignTopic), "{filter}");
        }
    }
}
