//! Cuts a byte stream into MQTT 5 packets, each of bounded size.

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v5::Packet;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::acl::Violation;

/// Longest packet in either direction, in bytes.
pub(super) const MAX_PACKET: u32 = 16 * 1024;

/// Bytes that have arrived and are no whole packet yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Bytes that have arrived already.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { buffer: bytes.into() }
    }

    /// The next packet that is complete.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, Violation> {
        match Packet::read(&mut self.buffer, Some(MAX_PACKET)) {
            Ok(packet) => Ok(Some(packet)),
            Err(Error::InsufficientBytes(_)) => Ok(None),
            Err(_) => Err(Violation::Malformed),
        }
    }

    /// Reads some more bytes; `false` at the end of the stream. Never holds more than one packet of the greatest
    /// size and one read.
    pub(super) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<bool> {
        self.buffer.reserve(READ);
        Ok(from.read_buf(&mut self.buffer).await? > 0)
    }

    /// What was read beyond the packets that were taken.
    pub(super) fn into_rest(self) -> BytesMut {
        self.buffer
    }
}

/// Bytes asked for at once.
const READ: usize = 4096;

/// A packet as bytes.
pub(super) fn encode(packet: &Packet) -> Result<BytesMut, Violation> {
    let mut bytes = BytesMut::with_capacity(packet.size() + 8);
    packet.write(&mut bytes, Some(MAX_PACKET)).map_err(|_| Violation::Malformed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Frames, MAX_PACKET, encode};
    use crate::broker::acl::Violation;
    use proptest::prelude::*;
    use rumqttc::mqttbytes::QoS;
    use rumqttc::mqttbytes::v5::{Packet, Publish};

    #[test]
    fn a_length_beyond_the_cap_is_refused_before_the_bytes_arrive() {
        // PUBLISH with a remaining length of 2,097,152 bytes (MQTT 5, section 1.5.5).
        assert_eq!(Frames::of(&[0x30, 0x80, 0x80, 0x80, 0x01]).next(), Err(Violation::Malformed));
        const { assert!(MAX_PACKET < 2_097_152) };
    }

    #[test]
    fn packets_come_out_one_by_one() {
        let publish = Packet::Publish(Publish::new("a/b", QoS::AtMostOnce, "x", None));
        let mut bytes = encode(&publish).unwrap();
        bytes.extend_from_slice(&encode(&Packet::PingReq).unwrap());
        bytes.extend_from_slice(&[0x30]);
        let mut frames = Frames::of(&bytes);
        assert_eq!(frames.next(), Ok(Some(publish)));
        assert_eq!(frames.next(), Ok(Some(Packet::PingReq)));
        assert_eq!(frames.next(), Ok(None));
        assert_eq!(frames.into_rest().as_ref(), [0x30]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::of(&bytes);
            while let Ok(Some(_packet)) = frames.next() {}
        }

        #[test]
        fn foreign_bodies_never_panic(kind in 1_u8..16, flags in 0_u8..16, body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = vec![kind << 4 | flags, u8::try_from(body.len()).unwrap()];
            bytes.extend_from_slice(&body);
            let _verdict = Frames::of(&bytes).next();
        }
    }
}
