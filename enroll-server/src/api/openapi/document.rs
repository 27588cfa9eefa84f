//! The document: every route of every table, in the frame that OpenAPI asks for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use shared::{Reject, endpoint};

use super::super::call::{Code, JSON, Told};
use super::super::routes::{Access, EST, HTTP, HTTPS, Route};
use super::Schemas;

const ABOUT: &str = "The interface of the enrollment server: for operators in JSON, for brokers and terminators in their \
own formats, for devices in CBOR (docs/protocol.md has the messages) and by EST (docs/est.md), and what is public. \
docs/admin-api.md says how an operator calls it. The dashboard's pages are no part of it.";

/// The listeners: name, tag where all of it has one, address, what it is.
const LISTENERS: [(&[Route], &str, &str); 3] = [
    (HTTPS, "https://localhost:8443", "`listen.https`: the protocol, operators and brokers, over TLS 1.3."),
    (HTTP, "http://localhost:8080", "`listen.http`: what is public, without TLS."),
    (EST, "https://localhost:8444", "`est.listen`: Enrollment over Secure Transport, over TLS 1.2 and 1.3."),
];

/// The description as JSON, with a line's end behind it.
#[must_use]
pub fn text() -> String {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    TEXT.clone()
}

/// The description.
#[must_use]
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (place, (table, address, about)) in LISTENERS.into_iter().enumerate() {
        let server = json!({ "url": address, "description": about });
        for route in table {
            // OpenAPI has no star for what may have slashes.
            let path = route.path.replace("{*", "{");
            let method = route.method.to_lowercase();
            let methods = paths.entry(path.clone()).or_default();
            if let Some(Value::Object(known)) = methods.get_mut(&method) {
                // The same at another listener.
                if let Some(Value::Array(servers)) = known.get_mut("servers") {
                    servers.push(server.clone());
                }
                continue;
            }
            let mut operation = operation(route, place == 2, &mut schemas, &path);
            operation.insert("servers".to_owned(), json!([server]));
            methods.insert(method, operation.into());
        }
    }
    let told = schemas.of_answer::<Told>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Enrollment server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": LISTENERS.map(|(_, address, about)| json!({ "url": address, "description": about })),
        "tags": TAGS.map(|(name, about)| json!({ "name": name, "description": about })),
        "paths": paths,
        "components": {
            "responses": responses(&told),
            "schemas": schemas.into_definitions(),
            "securitySchemes": {
                "adminToken": {
                    "type": "http", "scheme": "bearer",
                    "description": "The operator's token: `admin.token`, which `enroll-server init` writes.",
                },
                "brokerToken": {
                    "type": "http", "scheme": "bearer",
                    "description": "The token of brokers and terminators: `enroll-server broker token`.",
                },
                "deviceCertificate": {
                    "type": "mutualTLS",
                    "description": "The device's certificate: its LDevID, or for a first enrollment by EST its IDevID.",
                },
                "estToken": { "type": "http", "scheme": "basic", "description": "A one-time token (docs/est.md)." },
            },
        },
    });
    // Whatever else is in the build decides whether a map keeps its order; the document is the same in every build.
    document.sort_all_objects();
    document
}

const TAGS: [(&str, &str); 5] = [
    ("admin", "For operators, in JSON, with the operator's token."),
    ("broker", "For brokers and terminators, with their token (docs/brokers.md)."),
    ("device", "The native protocol of devices, in CBOR (docs/protocol.md)."),
    ("est", "Enrollment over Secure Transport (RFC 7030; docs/est.md)."),
    ("public", "For everyone: revocation lists, OCSP, the log, health."),
];

fn operation(route: &Route, est: bool, schemas: &mut Schemas, path: &str) -> Map<String, Value> {
    let mut about = (route.endpoint().about)(schemas);
    let (tag, security) = match route.access {
        _ if est && route.access == Access::Anyone => ("est", json!([])),
        Access::Anyone if path.starts_with("/v1/") => ("device", json!([])),
        Access::Anyone => ("public", json!([])),
        Access::Evidence => ("device", json!([])),
        Access::ClientCertificate if est => ("est", json!([{ "deviceCertificate": [] }])),
        Access::ClientCertificate => ("device", json!([{ "deviceCertificate": [] }])),
        Access::EstClient => ("est", json!([{ "deviceCertificate": [] }, { "estToken": [] }])),
        Access::Operator => ("admin", json!([{ "adminToken": [] }])),
        Access::Broker => ("broker", json!([{ "brokerToken": [] }])),
    };
    if matches!(route.access, Access::Operator | Access::Broker) {
        about.refuses(&[
            Code::Unauthorized,
            Code::TooSlow,
            Code::TooManyRequests,
            Code::Internal,
            Code::Unavailable,
        ]);
    }
    about.refuses(route.may);
    let codes: Vec<_> = about.codes().iter().map(|code| code.name()).collect();
    let mut operation = about.into_value(path);
    operation.insert("operationId".to_owned(), route.id.into());
    operation.insert("summary".to_owned(), route.says.into());
    operation.insert("tags".to_owned(), json!([tag]));
    operation.insert("security".to_owned(), security);
    if !codes.is_empty() {
        let codes: std::collections::BTreeSet<_> = codes.into_iter().collect();
        operation.insert("x-codes".to_owned(), json!(codes));
    }
    operation
}

/// All refusals, by their words and statuses.
fn responses(told: &Value) -> Map<String, Value> {
    let mut responses = Map::new();
    for (status, codes) in by_status(Code::ALL.iter().map(|code| (code.status().as_u16(), *code))) {
        let lines: Vec<String> = codes
            .iter()
            .map(|code| format!("- `{}`: {} {}", code.name(), code.meaning(), code.client_action()))
            .collect();
        let refusal = refusal(&lines, JSON, told);
        responses.insert(format!("Refused{status}"), refusal);
    }
    let rejects = by_status(Reject::ALL.iter().map(|reject| (reject.http_status(), *reject)));
    for (status, rejects) in &rejects {
        let line = |reject: &Reject| {
            format!("- {} `{}`: {}", reject.code(), reject.name(), reject.operator_action())
        };
        let lines: Vec<String> = rejects.iter().map(line).collect();
        let refusal = refusal(&lines, endpoint::MEDIA_TYPE, &super::binary());
        responses.insert(format!("Rejected{status}"), refusal);
    }
    let unsupported = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16();
    for status in rejects.into_keys().chain([unsupported]) {
        let lines =
            ["The name of the refusal (as in the native protocol), a colon, and a sentence.".to_owned()];
        let refusal = refusal(&lines, "text/plain; charset=utf-8", &json!({ "type": "string" }));
        responses.insert(format!("EstRefused{status}"), refusal);
    }
    responses
}

fn refusal(lines: &[String], media_type: &str, schema: &Value) -> Value {
    json!({ "description": lines.join("\n"), "content": { media_type: { "schema": schema } } })
}

fn by_status<T>(all: impl Iterator<Item = (u16, T)>) -> BTreeMap<u16, Vec<T>> {
    let mut statuses: BTreeMap<u16, Vec<T>> = BTreeMap::new();
    for (status, one) in all {
        statuses.entry(status).or_default().push(one);
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::{Code, EST, HTTP, HTTPS, Schemas, document, text};
    use crate::api::routes::Access;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn docs(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn the_copy_in_the_documentation_is_what_the_code_says() {
        let how = "renew it: cargo run -p enroll-server -- openapi > docs/openapi.json";
        assert!(docs("openapi.json") == text(), "docs/openapi.json is another one; {how}");
    }

    #[test]
    fn the_page_for_operators_has_every_call_and_every_code() {
        let calls: String = HTTPS
            .iter()
            .filter(|route| route.access == Access::Operator)
            .map(|route| format!("| `{} {}` | `{}` | {} |\n", route.method, route.path, route.id, route.says))
            .collect();
        let codes: String = Code::ALL
            .iter()
            .map(|code| {
                let (name, status) = (code.name(), code.status().as_u16());
                format!("| `{name}` | {status} | {} | {} |\n", code.meaning(), code.client_action())
            })
            .collect();
        let page = docs("admin-api.md");
        for table in [calls, codes] {
            assert!(page.contains(&table), "docs/admin-api.md should have this table:\n{table}");
        }
    }

    /// A name that stood for two types would describe one of them wrongly.
    #[test]
    fn a_name_stands_for_one_type() {
        let mut schemas = Schemas::new();
        for route in HTTPS.iter().chain(HTTP).chain(EST) {
            let _described = (route.endpoint().about)(&mut schemas);
        }
        for (name, of_requests) in schemas.requests.definitions() {
            if let Some(of_answers) = schemas.answers.definitions().get(name) {
                assert_eq!(of_requests, of_answers, "{name}");
            }
        }
    }

    /// Every part of a path is described, every reference leads somewhere, and everything that is there is used.
    #[test]
    fn the_document_is_whole() {
        let document = document();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let described: BTreeSet<&str> = parameters
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                let parts = path.split('{').skip(1).map(|part| part.split_once('}').unwrap().0);
                assert_eq!(described, parts.collect(), "{path}");
            }
        }
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        for reference in &references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for part in ["schemas", "responses"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                let reference = format!("#/components/{part}/{name}");
                // Answers methods that a path does not have, and so stands at none.
                if name == "Refused405" {
                    continue;
                }
                assert!(references.contains(&reference), "nothing refers to {reference}");
            }
        }
    }

    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    references.insert(reference.clone());
                }
                fields.values().for_each(|value| collect(value, references));
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
}
