//! What every reader has to refuse, and the reason this one gives.

use shared::codec::DecodeError;
use shared::cose::{Content, Sign1};
use shared::limits::MAX_EVIDENCE;

use super::files::{MESSAGES, bytes, vectors};
use super::messages::read;

#[test]
fn each_is_refused_for_its_reason() {
    for (name, vector) in vectors("malformed") {
        let whole = bytes(&vector["hex"]);
        let verdict = match vector["message"].as_str().unwrap() {
            "eat" => Sign1::decode(&whole, Content::Eat, MAX_EVIDENCE).map(|_| ()),
            kind => read(kind, &whole).map(|_| ()),
        };
        let error = verdict.expect_err(&name);
        assert_eq!(error_name(error), vector["error"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn no_beginning_of_a_message_is_a_message() {
    for kind in MESSAGES {
        for (name, vector) in vectors(kind) {
            let whole = bytes(&vector["hex"]);
            for length in 0..whole.len() {
                let error = read(kind, &whole[..length]).err();
                assert!(matches!(error, Some(DecodeError::Truncated { .. })), "{name}, {length} bytes");
            }
        }
    }
}

fn error_name(error: DecodeError) -> String {
    match error {
        DecodeError::TooLong { .. } => "too-long".into(),
        DecodeError::Truncated { .. } => "truncated".into(),
        DecodeError::TooDeep { .. } => "too-deep".into(),
        DecodeError::NotDeterministic { .. } => "not-deterministic".into(),
        DecodeError::TrailingBytes { .. } => "trailing-bytes".into(),
        DecodeError::UnsupportedVersion { .. } => "unsupported-version".into(),
        DecodeError::Missing { field } => format!("missing: {field}"),
        DecodeError::Invalid { field } => format!("invalid: {field}"),
    }
}
