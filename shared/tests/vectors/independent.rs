//! The notation of `fields`, turned into CBOR by serde_cbor: knows nothing of this crate.

use serde_cbor::Value as Cbor;
use serde_json::{Map, Value as Json};

/// The encoding of a vector's fields.
pub(crate) fn encode(keys: &Map<String, Json>, vector: &Json) -> Vec<u8> {
    let mut map = pairs(keys, "", vector["fields"].as_object().unwrap());
    if let Some(unknown) = vector["unknown"].as_object() {
        map.extend(pairs(keys, "", unknown));
    }
    serde_cbor::to_vec(&Cbor::Map(map.into_iter().collect())).unwrap()
}

fn pairs(keys: &Map<String, Json>, path: &str, fields: &Map<String, Json>) -> Vec<(Cbor, Cbor)> {
    let one = |(name, value): (&String, &Json)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        // A name without an entry in `keys` is a key itself: fields that readers do not know.
        let key = keys.get(&path).map_or_else(|| name.parse().unwrap(), |key| key.as_i64().unwrap());
        (Cbor::Integer(key.into()), value_of(keys, &path, value))
    };
    fields.iter().map(one).collect()
}

fn value_of(keys: &Map<String, Json>, path: &str, value: &Json) -> Cbor {
    match value {
        Json::Null => Cbor::Null,
        Json::Bool(value) => Cbor::Bool(*value),
        Json::Number(number) => Cbor::Integer(integer(number)),
        Json::String(text) => text
            .strip_prefix("h'")
            .and_then(|rest| rest.strip_suffix('\''))
            .map_or_else(|| Cbor::Text(text.clone()), |digits| Cbor::Bytes(hex::decode(digits).unwrap())),
        Json::Array(items) => Cbor::Array(items.iter().map(|item| value_of(keys, path, item)).collect()),
        Json::Object(fields) => match fields.get("<<>>") {
            Some(item) => Cbor::Bytes(serde_cbor::to_vec(&value_of(keys, path, item)).unwrap()),
            None => Cbor::Map(pairs(keys, path, fields).into_iter().collect()),
        },
    }
}

fn integer(number: &serde_json::Number) -> i128 {
    number.as_u64().map_or_else(|| number.as_i64().unwrap().into(), i128::from)
}
