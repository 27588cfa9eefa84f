//! What else has to hold of bytes that a decoder took: second decoders, of other authors, read them the same.

use ciborium::Value;
use ciborium::de::Error;
use der::{Decode as _, Encode as _, ErrorKind, Tag};
use shared::limits::MAX_DEPTH;

/// CBOR in core deterministic encoding (RFC 8949, section 4.2.1).
///
/// # Panics
/// Where another decoder does not take it whole, or would write it in other bytes, or finds keys out of order.
pub(super) fn deterministic(bytes: &[u8]) {
    let mut rest = bytes;
    let value: Value = match ciborium::from_reader(&mut rest) {
        Ok(value) => value,
        // The numbers that tags 2 and 3 make of byte strings: it has none of more than 16 bytes.
        Err(Error::Semantic(_, reason)) if reason == "integer too large" => return,
        Err(error) => panic!("another decoder refuses it: {error}"),
    };
    assert!(rest.is_empty(), "another decoder finds {} bytes after the item", rest.len());
    ascending(&value);
    assert!(depth(&value) <= MAX_DEPTH, "{} levels", depth(&value));
    // That decoder has no tags 2 and 3: it makes them numbers.
    if !bytes.iter().any(|byte| matches!(byte, 0xc2 | 0xc3)) {
        assert_eq!(written(&value), bytes, "another encoder writes it in other bytes");
    }
}

/// The payload of a COSE message is no deeper than [`MAX_DEPTH`], in any serialization.
///
/// # Panics
/// Where it is.
pub(super) fn bounded_payload(message: &[u8]) {
    let Ok(message) = ciborium::from_reader::<Value, _>(message) else { return };
    let inner = if let Value::Tag(_, inner) = message { *inner } else { message };
    let payload = inner.as_array().and_then(|parts| parts.get(2)).and_then(Value::as_bytes);
    let Some(payload) = payload else { return };
    match ciborium::from_reader::<Value, _>(payload.as_slice()) {
        Ok(payload) => assert!(depth(&payload) <= MAX_DEPTH, "{} levels", depth(&payload)),
        Err(Error::RecursionLimitExceeded) => panic!("hundreds of levels"),
        // It does not know all simple values.
        Err(_) => {}
    }
}

/// A certificate has one spelling.
///
/// # Panics
/// Where another decoder does not take it, or would write it in other bytes.
pub(super) fn certificate(der: &[u8]) {
    match x509_cert::Certificate::from_der(der) {
        Ok(read) => assert_eq!(
            read.to_der().expect("what was read is written"),
            der,
            "another encoder writes it in other bytes"
        ),
        // Ours passes over values of names and algorithms, whatever their type; the other one has no object identifiers
        // of two arcs, nor of many.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::TagUnknown { .. }
                    | ErrorKind::TagNumberInvalid
                    | ErrorKind::OidMalformed
                    | ErrorKind::Length { tag: Tag::ObjectIdentifier }
            ) => {}
        Err(error) => panic!("another decoder refuses it: {error}"),
    }
}

fn ascending(value: &Value) {
    match value {
        Value::Map(pairs) => {
            assert!(
                pairs.windows(2).all(|pair| written(&pair[0].0) < written(&pair[1].0)),
                "a key twice, or keys out of order"
            );
            pairs.iter().for_each(|(_, value)| ascending(value));
        }
        Value::Array(items) => items.iter().for_each(ascending),
        Value::Tag(_, item) => ascending(item),
        _ => {}
    }
}

fn depth(value: &Value) -> usize {
    let inside = match value {
        Value::Map(pairs) => pairs.iter().map(|(_, value)| depth(value)).max(),
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Tag(_, item) => Some(depth(item)),
        _ => return 0,
    };
    1 + inside.unwrap_or(0)
}

fn written(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("a vector takes all");
    out
}
