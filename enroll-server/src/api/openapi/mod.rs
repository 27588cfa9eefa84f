//! The description of the API (OpenAPI 3.1), made of the table of routes and of the types that the handlers take and give.
//!
//! Says nothing that a handler or a table does not say: what is written by hand here is the frame.

mod document;
mod operation;

use axum::response::IntoResponse as _;
use axum::response::Response;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use super::public::typed;

pub use document::{document, text};
pub(super) use operation::{Operation, binary};

/// Where the description is served.
pub(super) const PATH: &str = "/admin/v1/openapi.json";

/// Serves the description.
pub(super) async fn serve() -> Response {
    typed(axum::http::StatusCode::OK, super::call::JSON, text()).into_response()
}

pub(super) fn about(_: &mut Schemas) -> Operation {
    let schema = serde_json::json!({ "type": "object" });
    Operation::default().answers(axum::http::StatusCode::OK, "This description.", super::call::JSON, schema)
}

/// Collects the types that the description names.
pub(super) struct Schemas {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        // OpenAPI 3.1 takes JSON Schema 2020-12 as it is.
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            answers: settings().for_serialize().into_generator(),
            requests: settings().for_deserialize().into_generator(),
        }
    }

    /// What an answer is.
    pub(super) fn of_answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// What a request has.
    pub(super) fn of_request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    /// The fields of a type by name, each with its description, and whether it is wanted.
    pub(super) fn fields_of<T: JsonSchema>(&mut self) -> Vec<Field> {
        let schema = T::json_schema(&mut self.requests).to_value();
        let wanted = wanted(&schema);
        let Some(Value::Object(properties)) = schema.get("properties") else { return Vec::new() };
        let field = |(name, schema): (&String, &Value)| Field {
            wanted: wanted.iter().any(|wanted| wanted == name),
            name: name.clone(),
            schema: schema.clone(),
        };
        let mut fields: Vec<Field> = properties.iter().map(field).collect();
        // In which order an object gives its fields depends on what else is built (serde_json's `preserve_order`).
        fields.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        fields
    }

    /// Whether a type has fields at all.
    pub(super) fn has_fields<T: JsonSchema>(&mut self) -> bool {
        !self.fields_of::<T>().is_empty() || T::json_schema(&mut self.requests).get("oneOf").is_some()
    }

    /// Whether an empty object is no value of a type.
    pub(super) fn wants_fields<T: JsonSchema>(&mut self) -> bool {
        let schema = T::json_schema(&mut self.requests).to_value();
        !wanted(&schema).is_empty() || schema.get("oneOf").is_some()
    }

    /// All types that were named.
    fn into_definitions(mut self) -> Map<String, Value> {
        let mut definitions = self.requests.take_definitions(true);
        definitions.extend(self.answers.take_definitions(true));
        definitions
    }
}

/// A field of a query.
pub(super) struct Field {
    name: String,
    wanted: bool,
    schema: Value,
}

fn wanted(schema: &Value) -> Vec<String> {
    let required = schema.get("required").and_then(Value::as_array);
    required.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
