//! The table of refusals, for readers in other languages.

use std::fs;

use serde_json::json;
use shared::Reject;
use shared::reject::DeviceAction;

use super::files::{path, text, updating};

#[test]
fn the_table_in_the_file_is_the_table_of_the_code() {
    let rows: Vec<_> = Reject::ALL
        .iter()
        .map(|reject| {
            // Written by hand: the order of keys in serde_json depends on the features of the whole build.
            format!(
                "    {{\"code\": {}, \"name\": {}, \"http_status\": {}, \"device\": {}, \"operator\": {}}}",
                reject.code(),
                json!(reject.name()),
                reject.http_status(),
                json!(action(reject.device_action())),
                json!(reject.operator_action()),
            )
        })
        .collect();
    let expected = format!(
        "{{\n  \"about\": \"Every refusal: wire code, name, HTTP status, what the device and the operator do; docs/protocol.md\",\n  \"refusals\": [\n{}\n  ]\n}}\n",
        rows.join(",\n")
    );
    if updating() {
        fs::write(path("refusals"), &expected).unwrap();
    }
    assert_eq!(text("refusals"), expected);
}

/// The name of an action in the file and in the protocol reference.
const fn action(action: DeviceAction) -> &'static str {
    match action {
        DeviceAction::RetrySame => "retry-same",
        DeviceAction::RetryFresh => "retry-fresh",
        DeviceAction::EnrollAgain => "enroll-again",
        DeviceAction::Stop => "stop",
    }
}
