//! What the server answers to an enrollment or renewal, and to anything that is refused.

use core::time::Duration;

use super::{KEY_VERSION, VERSION, open};
use crate::codec::{DecodeError, EncodeError, MapReader, Writer, certificates, text};
use crate::limits::{MAX_ANSWER_LARGE, MAX_CHAIN, MAX_HOST, MAX_SENTENCE, MAX_TOPIC, MAX_TRUST_BUNDLE};
use crate::reject::Reject;
use crate::time::UnixTime;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The server's time: a device without a clock learns it here.
    pub server_time: UnixTime,
    /// What became of the request.
    pub outcome: Outcome<'a>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A certificate was issued.
    Issued(Issued<'a>),
    /// Held for an operator's approval: send the same request again after this time.
    Pending {
        /// Whole seconds.
        retry_after: Duration,
    },
    /// Refused.
    Rejected(Rejected<'a>),
}

/// A new operational identity and all it takes to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued<'a> {
    /// The LDevID and its issuing CAs in DER, leaf first, trust anchor left out.
    pub chain: heapless::Vec<&'a [u8], MAX_CHAIN>,
    /// The device renews at a random point from here ...
    pub renew_from: UnixTime,
    /// ... to here.
    pub renew_by: UnixTime,
    /// The signed trust bundle in force: a COSE_Sign1 over a [`TrustBundle`](super::TrustBundle).
    pub trust_bundle: &'a [u8],
    /// Where to connect.
    pub broker: BrokerSettings<'a>,
}

/// The MQTT broker a device talks to, and its topics there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings<'a> {
    /// Host name or address; also the name its certificate must carry.
    pub host: &'a str,
    /// TCP port of MQTT over TLS.
    pub port: u16,
    /// Where the device publishes its measurements.
    pub telemetry_topic: &'a str,
    /// Where it keeps its retained status: birth and last will.
    pub status_topic: &'a str,
    /// Where it receives commands.
    pub command_topic: &'a str,
    /// MQTT keep-alive, in seconds.
    pub keep_alive: u16,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// The wire code; see [`Rejected::reject`].
    pub code: u16,
    /// One sentence for a person; says nothing that helps an attacker.
    pub message: &'a str,
    /// When to try again; none means that trying again will not help.
    pub retry_after: Option<Duration>,
}

impl Rejected<'_> {
    /// The refusal in the table, if this build knows the code.
    #[must_use]
    pub const fn reject(&self) -> Option<Reject> {
        Reject::from_code(self.code)
    }
}

const SERVER_TIME: i64 = 1;
const STATUS: i64 = 2;
const CHAIN: i64 = 3;
const RENEW_FROM: i64 = 4;
const RENEW_BY: i64 = 5;
const TRUST_BUNDLE: i64 = 6;
const BROKER: i64 = 7;
const RETRY_AFTER: i64 = 8;
const CODE: i64 = 9;
const MESSAGE: i64 = 10;

const ISSUED: u64 = 0;
const PENDING: u64 = 1;
const REJECTED: u64 = 2;

impl<'a> Answer<'a> {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        let (pairs, status) = match &self.outcome {
            Outcome::Issued(_) => (8, ISSUED),
            Outcome::Pending { .. } => (4, PENDING),
            Outcome::Rejected(rejected) => (5 + u64::from(rejected.retry_after.is_some()), REJECTED),
        };
        w.map(pairs)?.uint(KEY_VERSION, VERSION)?.uint(SERVER_TIME, self.server_time.as_secs())?;
        w.uint(STATUS, status)?;
        match &self.outcome {
            Outcome::Issued(issued) => issued.encode(&mut w)?,
            Outcome::Pending { retry_after } => {
                w.uint(RETRY_AFTER, retry_after.as_secs())?;
            }
            Outcome::Rejected(rejected) => {
                if let Some(retry_after) = rejected.retry_after {
                    w.uint(RETRY_AFTER, retry_after.as_secs())?;
                }
                w.uint(CODE, rejected.code.into())?.text(MESSAGE, rejected.message)?;
            }
        }
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_ANSWER_LARGE, "answer")?;
        let server_time = UnixTime::from_secs(map.required(SERVER_TIME, "server time", |d| d.u64())?);
        let outcome = match map.required(STATUS, "status", |d| d.u64())? {
            ISSUED => Outcome::Issued(Issued::decode(&mut map)?),
            PENDING => Outcome::Pending {
                retry_after: retry_after(&mut map)?.ok_or(DecodeError::Missing { field: "retry after" })?,
            },
            REJECTED => Outcome::Rejected(Rejected {
                retry_after: retry_after(&mut map)?,
                code: map.required(CODE, "code", |d| d.u16())?,
                message: map.required(MESSAGE, "message", |d| text(d, MAX_SENTENCE))?,
            }),
            _ => return Err(DecodeError::Invalid { field: "status" }),
        };
        Ok(Self { server_time, outcome })
    }
}

impl<'a> Issued<'a> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.byte_strings(CHAIN, &self.chain)?;
        w.uint(RENEW_FROM, self.renew_from.as_secs())?.uint(RENEW_BY, self.renew_by.as_secs())?;
        w.bytes(TRUST_BUNDLE, self.trust_bundle)?;
        w.put(|e| e.i64(BROKER)?.ok())?;
        self.broker.encode(w)
    }

    fn decode(map: &mut MapReader<'a>) -> Result<Self, DecodeError> {
        let chain = map.required(CHAIN, "chain", certificates)?;
        let renew_from = UnixTime::from_secs(map.required(RENEW_FROM, "renew from", |d| d.u64())?);
        let renew_by = UnixTime::from_secs(map.required(RENEW_BY, "renew by", |d| d.u64())?);
        let trust_bundle = map.required(TRUST_BUNDLE, "trust bundle", |d| d.bytes())?;
        if trust_bundle.len() > MAX_TRUST_BUNDLE {
            return Err(DecodeError::Invalid { field: "trust bundle" });
        }
        if renew_by < renew_from {
            return Err(DecodeError::Invalid { field: "renew by" });
        }
        let broker = map.raw(BROKER, "broker")?.ok_or(DecodeError::Missing { field: "broker" })?;
        Ok(Self { chain, renew_from, renew_by, trust_bundle, broker: BrokerSettings::decode(broker)? })
    }
}

const HOST: i64 = 1;
const PORT: i64 = 2;
const TELEMETRY_TOPIC: i64 = 3;
const STATUS_TOPIC: i64 = 4;
const COMMAND_TOPIC: i64 = 5;
const KEEP_ALIVE: i64 = 6;

impl<'a> BrokerSettings<'a> {
    /// Writes the settings as a map of their own into `out`, for a device that stores them; returns the length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode_to(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        self.encode(&mut w)?;
        Ok(w.finish())
    }

    fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.map(6)?.text(HOST, self.host)?.uint(PORT, self.port.into())?;
        w.text(TELEMETRY_TOPIC, self.telemetry_topic)?.text(STATUS_TOPIC, self.status_topic)?;
        w.text(COMMAND_TOPIC, self.command_topic)?.uint(KEEP_ALIVE, self.keep_alive.into())?;
        Ok(())
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = MapReader::open(bytes, MAX_ANSWER_LARGE, "broker")?;
        let mut topic = |key, field| map_topic(&mut map, key, field);
        let host = topic(HOST, "host")?;
        let port = map.required(PORT, "port", |d| d.u16())?;
        let mut topic = |key, field| map_topic(&mut map, key, field);
        let telemetry_topic = topic(TELEMETRY_TOPIC, "telemetry topic")?;
        let status_topic = topic(STATUS_TOPIC, "status topic")?;
        let command_topic = topic(COMMAND_TOPIC, "command topic")?;
        let keep_alive = map.required(KEEP_ALIVE, "keep alive", |d| d.u16())?;
        Ok(Self { host, port, telemetry_topic, status_topic, command_topic, keep_alive })
    }
}

fn map_topic<'b>(map: &mut MapReader<'b>, key: i64, field: &'static str) -> Result<&'b str, DecodeError> {
    let limit = if key == HOST { MAX_HOST } else { MAX_TOPIC };
    let found = map.required(key, field, |d| text(d, limit))?;
    // A wildcard or a control character in a topic would reach beyond the device's own (MQTT 5, section 4.7).
    if found.is_empty() || found.contains(['+', '#']) || found.contains(char::is_control) {
        return Err(DecodeError::Invalid { field });
    }
    Ok(found)
}

fn retry_after(map: &mut MapReader<'_>) -> Result<Option<Duration>, DecodeError> {
    Ok(map.optional(RETRY_AFTER, "retry after", |d| d.u32())?.map(|secs| Duration::from_secs(secs.into())))
}
