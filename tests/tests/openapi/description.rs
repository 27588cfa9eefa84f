//! The description, as the program prints it, and as the tests read it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use tests::harness::{binary, run};

/// What the program prints.
pub(crate) fn generated() -> Value {
    let printed = run(Command::new(binary("enroll-server")).arg("openapi")).success();
    serde_json::from_str(&printed).unwrap()
}

/// The description without room for more: an answer may have no field that it does not name. Clients have to bear
/// fields that are new to them, so the description itself does not say so.
pub(crate) fn strict(mut document: Value) -> Value {
    let asked = requested(&document["paths"]);
    for (name, schema) in document.pointer_mut("/components/schemas").unwrap().as_object_mut().unwrap() {
        if !asked.contains(&format!("#/components/schemas/{name}")) {
            close(schema);
        }
    }
    for responses in ["/components/responses", "/paths"] {
        close_answers(document.pointer_mut(responses).unwrap());
    }
    document
}

/// What the bodies of requests refer to: these say themselves what they take besides.
fn requested(paths: &Value) -> BTreeSet<String> {
    let operations =
        paths.as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let bodies = operations.filter_map(|operation| operation["requestBody"]["content"].as_object());
    let schemas = bodies.flat_map(|content| content.values());
    schemas.filter_map(|body| body["schema"]["$ref"].as_str().map(str::to_owned)).collect()
}

/// Closes the schemas of all answers below, not those of requests.
fn close_answers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match &**name {
                    "requestBody" | "parameters" => {}
                    "schema" => close(value),
                    _ => close_answers(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(close_answers),
        _ => {}
    }
}

fn close(schema: &mut Value) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
}

/// All operations: their identifiers and tags.
pub(crate) fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    operations.map(|operation| (text(&operation["operationId"]), text(&operation["tags"][0]))).collect()
}
