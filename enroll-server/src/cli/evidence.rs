//! Stored evidence in a form for people: CBOR of any shape becomes JSON, with names for the claims that have
//! one.
//!
//! Shows what came, claims that the appraisal skipped included; judges nothing. The evidence was bounded in size
//! and depth when it came in.

use serde_cbor::Value as Cbor;
use serde_json::{Map, Value as Json, json};
use shared::cose::{Content, Mac0, Sign1};
use shared::evidence::TpmEvidence;
use shared::limits::MAX_EVIDENCE;
use shared::message::latest::EvidenceKind;

use crate::store::StoredEvidence;

pub(super) fn readable(evidence: &StoredEvidence) -> Json {
    let kind = evidence.kind.name();
    match evidence.kind {
        EvidenceKind::IdevidEat | EvidenceKind::ClaimCertificate => {
            let sign1 = Sign1::decode(&evidence.body, Content::Eat, MAX_EVIDENCE).ok();
            claims(kind, &evidence.body, sign1.map(|sign1| sign1.unverified_payload()))
        }
        EvidenceKind::SymmetricKey => {
            let mac0 = Mac0::decode(&evidence.body, MAX_EVIDENCE).ok();
            claims(kind, &evidence.body, mac0.map(|mac0| mac0.unverified_payload()))
        }
        EvidenceKind::Dice => {
            let binding = Sign1::decode(&evidence.body, Content::DiceBinding, MAX_EVIDENCE)
                .ok()
                .and_then(|sign1| serde_cbor::from_slice::<Cbor>(sign1.unverified_payload()).ok());
            match binding {
                Some(Cbor::Map(claims)) => json!({ "kind": kind, "claims": named(claims) }),
                _ => json!({ "kind": kind, "unreadable": hex::encode(&evidence.body) }),
            }
        }
        EvidenceKind::PsaToken => match psa_claims(&evidence.body) {
            Some(claims) => json!({ "kind": kind, "claims": named(claims) }),
            None => json!({ "kind": kind, "unreadable": hex::encode(&evidence.body) }),
        },
        EvidenceKind::IdevidTls => json!({ "kind": kind, "client_certificate": hex::encode(&evidence.body) }),
        EvidenceKind::Tpm2 => tpm(kind, &evidence.body),
        _ => json!({ "kind": kind }),
    }
}

/// What a TPM quoted, and how long the event log is that comes with it.
fn tpm(kind: &str, body: &[u8]) -> Json {
    let Ok(evidence) = TpmEvidence::decode(body) else {
        return json!({ "kind": kind, "unreadable": hex::encode(body) });
    };
    let registers: Map<String, Json> = evidence
        .pcrs
        .iter()
        .map(|(register, value)| (format!("pcr-{register}"), hex::encode(value).into()))
        .collect();
    json!({ "kind": kind, "registers": registers, "event_log_bytes": evidence.event_log.map(<[u8]>::len) })
}

/// The claims in a COSE_Sign1 of any headers.
fn psa_claims(body: &[u8]) -> Option<std::collections::BTreeMap<Cbor, Cbor>> {
    // The reader leaves the tag of a whole item out.
    let Ok(Cbor::Array(parts)) = serde_cbor::from_slice::<Cbor>(body) else { return None };
    let [_, _, Cbor::Bytes(payload), _] = parts.as_slice() else { return None };
    match serde_cbor::from_slice::<Cbor>(payload) {
        Ok(Cbor::Map(claims)) => Some(claims),
        _ => None,
    }
}

/// The claims of an EAT, or the whole of what cannot be read.
fn claims(kind: &str, body: &[u8], payload: Option<&[u8]>) -> Json {
    match payload.and_then(|payload| serde_cbor::from_slice::<Cbor>(payload).ok()) {
        Some(Cbor::Map(claims)) => json!({ "kind": kind, "claims": named(claims) }),
        _ => json!({ "kind": kind, "unreadable": hex::encode(body) }),
    }
}

/// Claims by their names in the registry (RFC 8747, RFC 9711, section 10.3); others by their numbers.
fn named(claims: std::collections::BTreeMap<Cbor, Cbor>) -> Json {
    let mut object = Map::new();
    for (key, value) in claims {
        let name = match key {
            Cbor::Integer(8) => "cnf".to_owned(),
            Cbor::Integer(10) => "eat_nonce".to_owned(),
            Cbor::Integer(256) => "ueid".to_owned(),
            Cbor::Integer(258) => "oemid".to_owned(),
            Cbor::Integer(259) => "hwmodel".to_owned(),
            Cbor::Integer(260) => "hwversion".to_owned(),
            Cbor::Integer(263) => "dbgstat".to_owned(),
            Cbor::Integer(265) => "eat_profile".to_owned(),
            Cbor::Integer(268) => "bootseed".to_owned(),
            Cbor::Integer(270) => "swname".to_owned(),
            Cbor::Integer(271) => "swversion".to_owned(),
            Cbor::Integer(273) => "measurements".to_owned(),
            // RFC 9783, section 11.1.
            Cbor::Integer(2394) => "psa-client-id".to_owned(),
            Cbor::Integer(2395) => "psa-security-lifecycle".to_owned(),
            Cbor::Integer(2396) => "psa-implementation-id".to_owned(),
            Cbor::Integer(2398) => "psa-certification-reference".to_owned(),
            Cbor::Integer(2399) => "psa-software-components".to_owned(),
            Cbor::Integer(2400) => "psa-verification-service-indicator".to_owned(),
            other => text(&other),
        };
        let value = match (name.as_str(), value) {
            // The model is a byte string that holds text here.
            ("hwmodel", Cbor::Bytes(bytes)) => match String::from_utf8(bytes) {
                Ok(model) => json!(model),
                Err(bytes) => json!(hex::encode(bytes.as_bytes())),
            },
            ("measurements", Cbor::Array(list)) => list.into_iter().map(measurement).collect(),
            (_, value) => plain(value),
        };
        object.insert(name, value);
    }
    Json::Object(object)
}

/// A measurement: a content format, and CBOR in a byte string.
fn measurement(value: Cbor) -> Json {
    if let Cbor::Array(pair) = &value
        && let [_, Cbor::Bytes(body)] = pair.as_slice()
        && let Ok(body) = serde_cbor::from_slice::<Cbor>(body)
    {
        return plain(body);
    }
    plain(value)
}

fn plain(value: Cbor) -> Json {
    match value {
        Cbor::Bool(flag) => json!(flag),
        Cbor::Integer(number) => {
            i64::try_from(number).map_or_else(|_| json!(number.to_string()), |n| json!(n))
        }
        Cbor::Float(number) => json!(number),
        Cbor::Bytes(bytes) => json!(hex::encode(bytes)),
        Cbor::Text(text) => json!(text),
        Cbor::Array(list) => list.into_iter().map(plain).collect(),
        Cbor::Map(map) => {
            Json::Object(map.into_iter().map(|(key, value)| (text(&key), plain(value))).collect())
        }
        Cbor::Tag(tag, value) => json!({ "tag": tag, "value": plain(*value) }),
        _ => Json::Null,
    }
}

fn text(key: &Cbor) -> String {
    match key {
        Cbor::Text(text) => text.clone(),
        Cbor::Integer(number) => number.to_string(),
        other => plain(other.clone()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::readable;
    use crate::store::StoredEvidence;
    use shared::cose::{Content, encode, encode_mac0};
    use shared::evidence::{Claims, DebugStatus, Measurement};
    use shared::message::latest::EvidenceKind;

    #[test]
    fn claims_have_names_and_measurements_are_opened() {
        let claims = Claims {
            confirmation: [1; 32],
            nonce: [2; 32],
            ueid: [1; 33],
            oemid: 32473,
            hwmodel: "sensor-a",
            hwversion: "1",
            dbgstat: DebugStatus::DisabledPermanently,
            swname: "app",
            swversion: "1.2.0",
            measurements: [Measurement { component: "application", version: "1.2.0", digest: [7; 32] }]
                .into_iter()
                .collect(),
        };
        let mut payload = [0; 1024];
        let payload_length = claims.encode(&mut payload).unwrap();
        let mut body = [0; 2048];
        let length = encode(Content::Eat, &payload[..payload_length], &[0; 64], &mut body).unwrap();
        let evidence = StoredEvidence { kind: EvidenceKind::IdevidEat, body: body[..length].to_vec() };
        let shown = readable(&evidence);
        assert_eq!(shown["kind"], "idevid-eat");
        assert_eq!(shown["claims"]["hwmodel"], "sensor-a");
        assert_eq!(shown["claims"]["oemid"], 32473);
        assert_eq!(shown["claims"]["swversion"][0], "1.2.0");
        assert_eq!(shown["claims"]["measurements"][0]["1"][0], "application");
        assert_eq!(shown["claims"]["measurements"][0]["2"][1], "07".repeat(32));
        let mut mac0 = [0; 2048];
        let length = encode_mac0(&[1; 8], &payload[..payload_length], &[0; 32], &mut mac0).unwrap();
        let evidence = StoredEvidence { kind: EvidenceKind::SymmetricKey, body: mac0[..length].to_vec() };
        assert_eq!(readable(&evidence)["claims"], shown["claims"]);
        // RFC 9783: tag 18, headers, and claims of which one is the lifecycle.
        let psa = hex::decode("d28443a10126a047a119095b19300040").unwrap();
        let shown = readable(&StoredEvidence { kind: EvidenceKind::PsaToken, body: psa });
        assert_eq!(shown["claims"]["psa-security-lifecycle"], 0x3000);
        let broken = StoredEvidence { kind: EvidenceKind::IdevidEat, body: vec![0xff] };
        assert_eq!(readable(&broken)["unreadable"], "ff");
    }
}
