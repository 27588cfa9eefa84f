//! What a description says of one method of one path.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use shared::Reject;

use super::Field;
use crate::api::call::Code;

/// One method of one path.
#[derive(Debug, Default)]
pub(in crate::api) struct Operation {
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
    codes: Vec<Code>,
}

/// The schema of a body that is no JSON.
pub(in crate::api) fn binary() -> Value {
    json!({ "type": "string", "format": "binary" })
}

impl Operation {
    /// It may answer so.
    pub(in crate::api) fn answers(
        mut self,
        status: StatusCode,
        description: &str,
        media_type: &str,
        schema: Value,
    ) -> Self {
        let answer = json!({ "description": description, "content": { media_type: { "schema": schema } } });
        self.responses.insert(status.as_str().to_owned(), answer);
        self
    }

    /// It may answer so, without a body.
    pub(in crate::api) fn answers_empty(mut self, status: StatusCode, description: &str) -> Self {
        self.responses.insert(status.as_str().to_owned(), json!({ "description": description }));
        self
    }

    /// The answer of this status has this header too.
    pub(in crate::api) fn with_header(mut self, status: StatusCode, name: &str, description: &str) -> Self {
        if let Some(Value::Object(answer)) = self.responses.get_mut(status.as_str()) {
            let header =
                json!({ "description": description, "required": true, "schema": { "type": "string" } });
            let headers = answer.entry("headers").or_insert_with(|| json!({}));
            if let Value::Object(headers) = headers {
                headers.insert(name.to_owned(), header);
            }
        }
        self
    }

    /// It refuses with one of these codes.
    pub(in crate::api) fn refuses(&mut self, codes: &[Code]) {
        self.codes.extend(codes);
    }

    /// As [`refuses`](Self::refuses).
    pub(in crate::api) fn refusing(mut self, codes: &[Code]) -> Self {
        self.refuses(codes);
        self
    }

    /// It refuses with the native protocol's words.
    pub(in crate::api) fn rejecting(self) -> Self {
        let statuses: BTreeSet<u16> = Reject::ALL.iter().map(|reject| reject.http_status()).collect();
        self.referring("Rejected", statuses)
    }

    /// It refuses with these of the native protocol's words.
    pub(in crate::api) fn rejecting_as(self, rejects: &[Reject]) -> Self {
        self.referring("Rejected", rejects.iter().map(|reject| reject.http_status()).collect())
    }

    /// It refuses with EST's words.
    pub(in crate::api) fn rejecting_over_est(self) -> Self {
        let statuses = Reject::ALL.iter().map(|reject| reject.http_status());
        self.referring("EstRefused", statuses.chain([StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16()]).collect())
    }

    fn referring(mut self, name: &str, statuses: BTreeSet<u16>) -> Self {
        for status in statuses {
            let refusal = json!({ "$ref": format!("#/components/responses/{name}{status}") });
            self.responses.insert(status.to_string(), refusal);
        }
        self
    }

    /// A part of its path.
    pub(in crate::api) fn path_parameter(&mut self, name: &str, description: &str, schema: Value) {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
    }

    /// As [`path_parameter`](Self::path_parameter).
    pub(in crate::api) fn with_path(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.path_parameter(name, description, schema);
        self
    }

    /// A header that is looked at.
    pub(in crate::api) fn with_request_header(
        mut self,
        name: &str,
        description: &str,
        schema: Value,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": true, "description": description, "schema": schema,
        }));
        self
    }

    /// What its query may have.
    pub(in crate::api) fn query_parameters(&mut self, fields: Vec<Field>) {
        for Field { name, wanted, mut schema } in fields {
            let mut parameter = json!({ "name": name, "in": "query", "required": wanted });
            if let (Value::Object(parameter), Value::Object(schema)) = (&mut parameter, &mut schema) {
                if let Some(description) = schema.remove("description") {
                    parameter.insert("description".to_owned(), description);
                }
                // With commas between.
                if schema.get("type") == Some(&json!("array")) {
                    parameter.insert("style".to_owned(), json!("form"));
                    parameter.insert("explode".to_owned(), json!(false));
                }
                parameter.insert("schema".to_owned(), Value::Object(schema.clone()));
            }
            self.parameters.push(parameter);
        }
    }

    /// The body that it takes.
    pub(in crate::api) fn takes(&mut self, media_type: &str, schema: Value, required: bool) {
        self.body = Some(json!({ "required": required, "content": { media_type: { "schema": schema } } }));
    }

    /// As [`takes`](Self::takes).
    pub(in crate::api) fn taking(mut self, media_type: &str, schema: Value) -> Self {
        self.takes(media_type, schema, true);
        self
    }

    /// The codes of its refusals.
    pub(super) fn codes(&self) -> &[Code] {
        &self.codes
    }

    /// As it stands in the document; of its parameters those that `path` has.
    pub(super) fn into_value(mut self, path: &str) -> Map<String, Value> {
        self.parameters.retain(|parameter| {
            let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
            parameter.get("in") != Some(&json!("path")) || path.contains(&format!("{{{name}}}"))
        });
        for code in &self.codes {
            let status = code.status().as_u16();
            let refusal = json!({ "$ref": format!("#/components/responses/Refused{status}") });
            self.responses.insert(status.to_string(), refusal);
        }
        let mut operation = Map::new();
        if !self.parameters.is_empty() {
            operation.insert("parameters".to_owned(), self.parameters.into());
        }
        if let Some(body) = self.body {
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), self.responses.into());
        operation
    }
}
