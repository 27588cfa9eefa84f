//! Every message: this crate reads what the file says, writes the file's bytes, and serde_cbor agrees.

use serde_json::{Value as Json, json};
use shared::codec::DecodeError;
use shared::evidence::Claims;
use shared::message::latest::{
    Answer, Challenge, ChallengeRequest, EnrollRequest, FreshEvidence, Outcome, RenewRequest, TrustBundle,
    TrustReport, VERSION,
};

use super::files::{MESSAGES, bytes, load, replace_texts, updating, vectors};
use super::independent;

#[test]
fn an_independent_encoder_writes_the_same_bytes() {
    for kind in MESSAGES {
        let file = load(kind);
        let keys = file["keys"].as_object().unwrap();
        let encoded: Vec<_> =
            vectors(kind).iter().map(|(_, v)| hex::encode(independent::encode(keys, v))).collect();
        if updating() {
            replace_texts(kind, "hex", &encoded);
        }
        for ((name, vector), expected) in vectors(kind).iter().zip(encoded) {
            assert_eq!(vector["hex"].as_str().unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn each_message_is_read_as_the_file_says() {
    for kind in MESSAGES {
        for (name, vector) in vectors(kind) {
            let read = read(kind, &bytes(&vector["hex"])).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.fields, vector["fields"], "{name}");
        }
    }
}

#[test]
fn each_message_is_written_as_the_file_says() {
    for kind in MESSAGES {
        let mut known_only = 0;
        for (name, vector) in vectors(kind) {
            if vector.get("unknown").is_none() {
                let read = read(kind, &bytes(&vector["hex"])).unwrap();
                assert_eq!(hex::encode(read.encoded), vector["hex"].as_str().unwrap(), "{name}");
                known_only += 1;
            }
        }
        assert!(known_only > 0, "{kind}");
    }
}

/// A message as this crate understood it.
pub(crate) struct Read {
    /// Its fields in the notation of the files.
    pub(crate) fields: Json,
    /// Encoded again.
    pub(crate) encoded: Vec<u8>,
}

/// Reads `bytes` as a message of `kind`.
pub(crate) fn read(kind: &str, bytes: &[u8]) -> Result<Read, DecodeError> {
    let mut out = vec![0; 8 * 1024];
    let (fields, length) = match kind {
        "challenge-request" => {
            let m = ChallengeRequest::decode(bytes)?;
            let kinds: Vec<_> = m.kinds.iter().map(|kind| kind.code()).collect();
            (json!({"version": VERSION, "device": m.device.as_str(), "kinds": kinds}), m.encode(&mut out))
        }
        "challenge" => {
            let m = Challenge::decode(bytes)?;
            let mut fields = json!({
                "version": VERSION, "server_time": m.server_time.as_secs(), "nonce": h(&m.nonce),
                "valid_until": m.valid_until.as_secs(), "kind": m.kind.code(),
            });
            if m.renewal_wanted {
                fields["renewal_wanted"] = json!(true);
            }
            (fields, m.encode(&mut out))
        }
        "enroll-request" => {
            let m = EnrollRequest::decode(bytes)?;
            (request(m.device.as_str(), m.csr, Some(&m.evidence), m.trust), m.encode(&mut out))
        }
        "renew-request" => {
            let m = RenewRequest::decode(bytes)?;
            (request(m.device.as_str(), m.csr, m.evidence.as_ref(), m.trust), m.encode(&mut out))
        }
        "answer" => {
            let m = Answer::decode(bytes)?;
            (answer(&m), m.encode(&mut out))
        }
        "trust-bundle" => {
            let m = TrustBundle::decode(bytes)?;
            let fields = json!({
                "version": VERSION, "number": m.number, "made": m.made.as_secs(), "anchors": list(&m.anchors),
                "signer": h(m.signer),
            });
            (fields, m.encode(&mut out))
        }
        "trust-report" => {
            let m = TrustReport::decode(bytes)?;
            (json!({"version": VERSION, "held": m.held}), m.encode(&mut out))
        }
        "claims" => {
            let m = Claims::decode(bytes)?;
            (claims(&m), m.encode(&mut out))
        }
        other => panic!("no message is called {other}"),
    };
    out.truncate(length.unwrap());
    Ok(Read { fields, encoded: out })
}

fn request(device: &str, csr: &[u8], evidence: Option<&FreshEvidence<'_>>, trust: Option<u64>) -> Json {
    let mut fields = json!({"version": VERSION, "device": device, "csr": h(csr)});
    if let Some(evidence) = evidence {
        fields["nonce"] = h(&evidence.nonce);
        fields["kind"] = evidence.kind.code().into();
        fields["evidence"] = h(evidence.body);
        if !evidence.endorsements.is_empty() {
            fields["endorsements"] = list(&evidence.endorsements);
        }
    }
    if let Some(held) = trust {
        fields["trust"] = held.into();
    }
    fields
}

fn answer(m: &Answer<'_>) -> Json {
    let mut fields = json!({"version": VERSION, "server_time": m.server_time.as_secs()});
    match &m.outcome {
        Outcome::Issued(issued) => {
            fields["status"] = 0.into();
            fields["chain"] = list(&issued.chain);
            fields["renew_from"] = issued.renew_from.as_secs().into();
            fields["renew_by"] = issued.renew_by.as_secs().into();
            fields["trust_bundle"] = h(issued.trust_bundle);
            fields["broker"] = json!({
                "host": issued.broker.host, "port": issued.broker.port,
                "telemetry_topic": issued.broker.telemetry_topic, "status_topic": issued.broker.status_topic,
                "command_topic": issued.broker.command_topic, "keep_alive": issued.broker.keep_alive,
            });
        }
        Outcome::Pending { retry_after } => {
            fields["status"] = 1.into();
            fields["retry_after"] = retry_after.as_secs().into();
        }
        Outcome::Rejected(rejected) => {
            fields["status"] = 2.into();
            fields["code"] = rejected.code.into();
            fields["message"] = rejected.message.into();
            if let Some(retry_after) = rejected.retry_after {
                fields["retry_after"] = retry_after.as_secs().into();
            }
        }
    }
    fields
}

fn claims(m: &Claims<'_>) -> Json {
    let measurement = |m: &shared::evidence::Measurement<'_>| json!([60, {"<<>>": {"component": [m.component, m.version], "digest": [-16, h(&m.digest)]}}]);
    json!({
        "cnf": {"ckt": h(&m.confirmation)}, "eat_nonce": h(&m.nonce), "ueid": h(&m.ueid), "oemid": m.oemid,
        "hwmodel": h(m.hwmodel.as_bytes()), "hwversion": [m.hwversion], "dbgstat": m.dbgstat.code(),
        "swname": m.swname, "swversion": [m.swversion],
        "measurements": m.measurements.iter().map(measurement).collect::<Vec<_>>(),
    })
}

/// A byte string in the notation of the files.
fn h(bytes: &[u8]) -> Json {
    format!("h'{}'", hex::encode(bytes)).into()
}

fn list(items: &[&[u8]]) -> Json {
    items.iter().map(|item| h(item)).collect::<Vec<_>>().into()
}
