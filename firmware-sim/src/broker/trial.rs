//! The guard's judgement of what a client sends, without a network: for the fuzz target.
//!
//! It takes the same steps as a session, but keeps no session and answers nothing.

use rumqttc::mqttbytes::v5::Packet;
use shared::DeviceId;

use super::acl::Acl;
use super::packets::Frames;
use super::peer::Who;

/// Topics and filters that the guard lets `device` use with these bytes, up to the first packet that it refuses or
/// that is not complete.
#[must_use]
pub fn admitted_topics(device: &DeviceId, bytes: &[u8]) -> Vec<String> {
    let acl = Acl::new(Who::Device(device.clone()));
    let mut frames = Frames::of(bytes);
    let mut topics = Vec::new();
    while let Ok(Some(packet)) = frames.next() {
        let verdict = match &packet {
            Packet::Connect(connect, will, _) => acl.connect(connect, will.as_ref()),
            other => acl.packet(other),
        };
        if verdict.is_err() {
            break;
        }
        topics.extend(topics_in(&packet));
    }
    topics
}

fn topics_in(packet: &Packet) -> Vec<String> {
    let text = |topic: &[u8]| String::from_utf8_lossy(topic).into_owned();
    match packet {
        Packet::Connect(_, Some(will), _) => vec![text(&will.topic)],
        Packet::Publish(publish) => vec![text(&publish.topic)],
        Packet::Subscribe(subscribe) => subscribe.filters.iter().map(|filter| filter.path.clone()).collect(),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.clone(),
        _ => Vec::new(),
    }
}
