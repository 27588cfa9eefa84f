//! A small client of MQTT 5 and 3.1.1 over rustls, for looking at a broker from outside and for attacking it.
//!
//! It says exactly how a login fails, which client libraries blur: by which TLS alert or which reason code.

use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use rustls::{AlertDescription, ClientConnection, StreamOwned};

use super::https::{ClientKey, client_config, connect};

/// The reason code "not authorized" (MQTT 5, section 3.4.2.1).
pub const NOT_AUTHORIZED: u8 = 0x87;

/// Who logs in, and where.
#[derive(Debug)]
pub struct Login<'a> {
    /// Port on the loopback interface.
    pub port: u16,
    /// Trust anchor in DER.
    pub root: &'a [u8],
    /// Client certificate and key; none tries without.
    pub identity: Option<ClientKey>,
    /// MQTT client identifier.
    pub client_id: &'a str,
}

/// A connection that the broker accepted.
#[derive(Debug)]
pub struct Probe {
    stream: StreamOwned<ClientConnection, TcpStream>,
    pending: Vec<(String, Vec<u8>)>,
    version: Version,
}

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5, as the agents do.
    V5,
    /// MQTT 3.1.1, for brokers that speak nothing else.
    V311,
}

/// How a login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The broker broke the TLS handshake off with this alert.
    Alert(AlertDescription),
    /// The broker closed the connection without a word.
    Closed,
    /// The broker answered the login with this reason code.
    Refused(u8),
    /// Something else.
    Other(String),
}

impl Probe {
    /// Logs in.
    ///
    /// # Errors
    /// How the broker refused.
    ///
    /// # Panics
    /// Where nobody listens, or `login` holds no usable certificate.
    pub fn connect(login: &Login<'_>) -> Result<Self, ProbeError> {
        Self::connect_by(Version::V5, login, None)
    }

    /// Logs in by this version of MQTT, and with a user name and password, where they are given.
    ///
    /// # Errors
    /// How the broker refused.
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    pub fn connect_by(
        version: Version,
        login: &Login<'_>,
        password: Option<(&str, &str)>,
    ) -> Result<Self, ProbeError> {
        let config = client_config(login.root, login.identity.as_ref());
        let mut probe = Self { stream: connect(login.port, config), pending: Vec::new(), version };
        // Variable header: protocol, version, flags with clean start, keep-alive of a minute, no properties.
        let flags = if password.is_some() { 0xc2 } else { 0x02 };
        let (level, properties) = match version {
            Version::V5 => (5, b"\x00".as_slice()),
            Version::V311 => (4, b"".as_slice()),
        };
        let mut body = [b"\x00\x04MQTT".as_slice(), &[level, flags, 0, 60], properties].concat();
        put_text(&mut body, login.client_id);
        if let Some((user, password)) = password {
            put_text(&mut body, user);
            put_text(&mut body, password);
        }
        probe.send(0x10, &body)?;
        match probe.packet()? {
            (0x20, body) => match body.get(1) {
                Some(0) => Ok(probe),
                Some(reason) => Err(ProbeError::Refused(*reason)),
                None => Err(ProbeError::Other("an empty CONNACK".into())),
            },
            (other, _) => Err(ProbeError::Other(format!("packet {other:#x} in place of CONNACK"))),
        }
    }

    /// Subscribes with QoS 1; the reason code of the broker.
    ///
    /// # Panics
    /// Where the connection breaks.
    pub fn subscribe(&mut self, filter: &str) -> u8 {
        self.try_subscribe(filter).expect("to subscribe")
    }

    /// As [`subscribe`](Self::subscribe), at a broker that may close the connection instead.
    ///
    /// # Errors
    /// How it did.
    pub fn try_subscribe(&mut self, filter: &str) -> Result<u8, ProbeError> {
        let mut body = vec![0, 1];
        body.extend(self.no_properties());
        put_text(&mut body, filter);
        body.push(1);
        self.send(0x82, &body)?;
        let empty = || ProbeError::Other("an empty SUBACK".into());
        self.try_answer(0x90)?.last().copied().ok_or_else(empty)
    }

    /// Publishes with QoS 1; the reason code of the broker, with 0 for all success: that nobody is subscribed (0x10)
    /// is none of the publisher's business.
    ///
    /// # Panics
    /// Where the connection breaks.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> u8 {
        self.publish_as(0x32, topic, payload)
    }

    /// As [`publish`](Self::publish), and the broker keeps it.
    ///
    /// # Panics
    /// Where the connection breaks.
    pub fn publish_retained(&mut self, topic: &str, payload: &[u8]) -> u8 {
        self.publish_as(0x33, topic, payload)
    }

    /// As [`publish`](Self::publish), at a broker that may close the connection instead: MQTT 3.1.1 knows no refusal.
    ///
    /// # Errors
    /// How it did.
    pub fn try_publish(&mut self, topic: &str, payload: &[u8]) -> Result<u8, ProbeError> {
        self.try_publish_as(0x32, topic, payload)
    }

    fn publish_as(&mut self, kind: u8, topic: &str, payload: &[u8]) -> u8 {
        self.try_publish_as(kind, topic, payload).expect("to publish")
    }

    fn try_publish_as(&mut self, kind: u8, topic: &str, payload: &[u8]) -> Result<u8, ProbeError> {
        let mut body = Vec::new();
        put_text(&mut body, topic);
        body.extend([0, 2]);
        body.extend(self.no_properties());
        body.extend_from_slice(payload);
        self.send(kind, &body)?;
        // A PUBACK of two bytes means success (MQTT 5, section 3.4.2.1).
        Ok(self.try_answer(0x40)?.get(2).copied().filter(|reason| *reason >= 0x80).unwrap_or(0))
    }

    /// The length of no properties, which MQTT 3.1.1 does not have.
    fn no_properties(&self) -> Option<u8> {
        (self.version == Version::V5).then_some(0)
    }

    /// Waits for a message that `wanted` takes something from.
    ///
    /// # Panics
    /// Where none comes.
    pub fn message<T>(&mut self, mut wanted: impl FnMut(&str, &[u8]) -> Option<T>) -> T {
        let mut seen = Vec::new();
        loop {
            let (topic, payload) = match self.pending.is_empty() {
                true => self.next_message(),
                false => self.pending.remove(0),
            };
            if let Some(found) = wanted(&topic, &payload) {
                return found;
            }
            seen.push(topic);
            assert!(seen.len() < 10_000, "waited in vain; seen: {seen:?}");
        }
    }

    /// Messages that come before the answer to a ping: everything the broker had for this client until then.
    ///
    /// # Panics
    /// Where the connection breaks.
    pub fn messages_until_now(&mut self) -> Vec<(String, Vec<u8>)> {
        self.send(0xc0, &[]).expect("to ping");
        let _pong = self.answer(0xd0);
        core::mem::take(&mut self.pending)
    }

    /// Waits until the broker closes the connection, at most `limit`; whether it did.
    ///
    /// # Panics
    /// Where no limit can be set.
    pub fn is_dropped_within(&mut self, limit: Duration) -> bool {
        self.stream.sock.set_read_timeout(Some(limit)).expect("a read limit");
        loop {
            match self.packet() {
                Ok((0xe0, _)) => return true,
                Ok(_) => {}
                Err(ProbeError::Other(reason)) if reason.contains("timed out") => return false,
                Err(_) => return true,
            }
        }
    }

    fn next_message(&mut self) -> (String, Vec<u8>) {
        loop {
            let (kind, body) = self.packet().expect("a message");
            if kind >> 4 == 3 {
                return self.received(kind, &body);
            }
        }
    }

    /// The body of the next packet of this kind; messages in between are kept.
    fn answer(&mut self, wanted: u8) -> Vec<u8> {
        self.try_answer(wanted).expect("an answer")
    }

    fn try_answer(&mut self, wanted: u8) -> Result<Vec<u8>, ProbeError> {
        loop {
            let (kind, body) = self.packet()?;
            if kind == wanted {
                return Ok(body);
            }
            if kind >> 4 == 3 {
                let message = self.received(kind, &body);
                self.pending.push(message);
            }
        }
    }

    /// Takes a PUBLISH apart, and acknowledges it where it has QoS 1.
    fn received(&mut self, kind: u8, body: &[u8]) -> (String, Vec<u8>) {
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).expect("a topic");
        let mut at = 2 + length;
        if kind & 0x06 != 0 {
            let id = [body[at], body[at + 1]];
            self.send(0x40, &id).expect("to acknowledge");
            at += 2;
        }
        if self.version == Version::V5 {
            // Properties: their length is one byte in all that is sent here.
            at += 1 + usize::from(body[at]);
        }
        (topic, body[at..].to_vec())
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), ProbeError> {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let more = if length > 127 { 0x80 } else { 0 };
            packet.push(u8::try_from(length % 128).expect("below 128") | more);
            length /= 128;
            if more == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).and_then(|()| self.stream.flush()).map_err(reason)
    }

    fn packet(&mut self) -> Result<(u8, Vec<u8>), ProbeError> {
        let kind = self.byte()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(reason)?;
        Ok((kind, body))
    }

    fn byte(&mut self) -> Result<u8, ProbeError> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).map_err(reason)?;
        Ok(byte[0])
    }
}

fn reason(error: std::io::Error) -> ProbeError {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (alert, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) => ProbeError::Alert(*alert),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            ProbeError::Closed
        }
        (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => ProbeError::Other("timed out".into()),
        _ => ProbeError::Other(error.to_string()),
    }
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}
