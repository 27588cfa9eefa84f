//! Renewals that an operator wants, over the admin API.

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::admin::{bad, fields, named, reply};
use super::devices::{Asked, page, parsed, selection};
use crate::store::{Page, Rate, Selection, Turns};

/// Wants a renewal of one device. Body: nothing, or `{"cancel": true}` to want it no more.
pub(super) async fn one(State(api): Shared, Path(name): Path<String>, request: Request) -> Response<Body> {
    let (name, body) = match (named(&name), fields(&api, request).await) {
        (Ok(name), Ok(body)) => (name, body),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    match flag(&body, "cancel") {
        Ok(false) => reply(api.admin.want_renewal(&name).await),
        Ok(true) => reply(api.admin.unwant_renewals(Selection::One(name), Page::first(1)).await),
        Err(problem) => bad(&problem),
    }
}

/// Wants renewals of many devices, one page a call. Body: `{"group": NAME, "tag": TAG or "all": true, "rate": "5/s",
/// "before": N, "after": ID, "limit": N, "cancel": true}`; `before` says how many devices earlier pages took, so that
/// the rate holds over all of them. The answer has `next` for the page after this one.
pub(super) async fn many(State(api): Shared, request: Request) -> Response<Body> {
    let body = match fields(&api, request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match read(&body) {
        Ok(Order { selection, page, cancel: true, .. }) => {
            reply(api.admin.unwant_renewals(selection, page).await)
        }
        Ok(Order { selection, page, rate, before, .. }) => {
            let turns = Turns { begin: api.admin.now(), before, rate };
            reply(api.admin.want_renewals(selection, turns, page).await)
        }
        Err(problem) => bad(&problem),
    }
}

/// Which of the renewals that are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    group: Option<String>,
    tag: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// One page of the renewals that are wanted: `{"renewals": [...], "next": ID or null}`.
pub(super) async fn list(State(api): Shared, asked: Asked<Listed>) -> Response<Body> {
    let read = |Query(listed): Query<Listed>| {
        let selection = match (&listed.group, &listed.tag) {
            (None, None) => None,
            (group, tag) => Some(selection(group.as_deref(), tag.as_deref())?),
        };
        Ok((selection, page(listed.after.as_deref(), listed.limit)?))
    };
    match asked.map_err(|error| error.to_string()).and_then(read) {
        Ok((selection, page)) => reply(api.admin.wanted_renewals(selection, page).await),
        Err(problem) => bad(&problem),
    }
}

/// What is to be done to many devices.
#[derive(Debug)]
struct Order {
    selection: Selection,
    page: Page,
    rate: Option<Rate>,
    before: u64,
    cancel: bool,
}

fn read(body: &Value) -> Result<Order, String> {
    const KNOWN: [&str; 8] = ["group", "tag", "all", "rate", "before", "after", "limit", "cancel"];
    // A misspelt rate would be none, and a misspelt group all.
    let unknown = body.as_object().and_then(|body| body.keys().find(|name| !KNOWN.contains(&name.as_str())));
    if let Some(name) = unknown {
        return Err(format!("there is no field {name:?}; there are {}", KNOWN.join(", ")));
    }
    let text = |name: &str| match body.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("{name} is a text")),
    };
    let number = |name: &str| match body.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{name} is a whole number")),
    };
    let (group, tag) = (text("group")?, text("tag")?);
    let selection = match (flag(body, "all")?, group, tag) {
        (true, None, None) => Selection::All,
        (true, ..) => return Err("all, a group or a tag: one of them".to_owned()),
        (false, group, tag) => selection(group, tag)?,
    };
    let limit = number("limit")?.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    Ok(Order {
        selection,
        page: page(text("after")?, limit)?,
        rate: parsed("rate", text("rate")?)?,
        before: number("before")?.unwrap_or(0),
        cancel: flag(body, "cancel")?,
    })
}

fn flag(body: &Value, name: &str) -> Result<bool, String> {
    body.get(name).unwrap_or(&json!(false)).as_bool().ok_or_else(|| format!("{name} is true or false"))
}
