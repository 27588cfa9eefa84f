//! Devices over the admin API: looking for them, the approval queue, and what an operator does to them.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::Response;
use ca::crl::Reason;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::DeviceId;

use super::Shared;
use super::admin::{bad, fields, named, reply};
use crate::store::{Action, DeviceFilter, DeviceState, Label, Page, Selection, Tag};

/// Most devices of one page.
const MAX_PAGE: u32 = 1_000;
/// Devices of a page where nothing is said.
const PAGE: u32 = 100;

pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

/// What can be looked for. A field that is not one of these is a mistake and not ignored: a filter that is
/// misspelt would find everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<String>,
    group: Option<String>,
    model: Option<String>,
    /// Tags with commas between: all of them.
    tag: Option<String>,
    prefix: Option<String>,
    find: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// One page of the devices that are looked for: `{"devices": [...], "next": ID or null}`.
pub(super) async fn list(State(api): Shared, asked: Asked<Wanted>) -> Response<Body> {
    match asked.map_err(|error| error.to_string()).and_then(|Query(wanted)| wanted.read()) {
        Ok((filter, page)) => reply(api.admin.devices(filter, page).await),
        Err(problem) => bad(&problem),
    }
}

impl Wanted {
    fn read(&self) -> Result<(DeviceFilter, Page), String> {
        let state = self.state.as_deref().map(|name| {
            let names = || DeviceState::ALL.map(DeviceState::name).join(", ");
            DeviceState::from_name(name).ok_or_else(|| format!("state is one of {}", names()))
        });
        let filter = DeviceFilter {
            state: state.transpose()?,
            group: parsed("group", self.group.as_deref())?,
            model: self.model.clone(),
            tags: tags(self.tag.as_deref().unwrap_or_default())?,
            prefix: self.prefix.clone(),
            find: parsed("find", self.find.as_deref())?,
        };
        Ok((filter, page(self.after.as_deref(), self.limit)?))
    }
}

/// Which part of the approval queue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    group: Option<String>,
    tag: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// One page of the requests that wait: `{"requests": [...], "next": ID or null}`.
pub(super) async fn approvals(State(api): Shared, asked: Asked<Queue>) -> Response<Body> {
    let read = |Query(queue): Query<Queue>| {
        let selection = match (&queue.group, &queue.tag) {
            (None, None) => None,
            (group, tag) => Some(selection(group.as_deref(), tag.as_deref())?),
        };
        Ok((selection, page(queue.after.as_deref(), queue.limit)?))
    };
    match asked.map_err(|error| error.to_string()).and_then(read) {
        Ok((selection, page)) => reply(api.admin.held(selection, page).await),
        Err(problem) => bad(&problem),
    }
}

/// One device: what the last part of the path says.
async fn act(State(api): Shared, name: &str, action: &str, request: Request) -> Response<Body> {
    let (name, body) = match (named(name), fields(&api, request).await) {
        (Ok(name), Ok(body)) => (name, body),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    match read_action(action, &body) {
        Ok(action) => reply(api.admin.act_on(&name, action).await.map(|carried| {
            json!({ "device": name.as_str(), "state": carried.state, "certificates": carried.certificates })
        })),
        Err(problem) => bad(&problem),
    }
}

macro_rules! actions {
    ($($name:ident)+) => {
        $(
            pub(super) async fn $name(
                state: Shared,
                Path(name): Path<String>,
                request: Request,
            ) -> Response<Body> {
                act(state, &name, stringify!($name), request).await
            }
        )+
    };
}

actions! { deny suspend resume retire transfer }

pub(super) async fn return_to_factory(
    state: Shared,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    act(state, &name, "return", request).await
}

/// Body: `{"group": NAME}`.
pub(super) async fn group(State(api): Shared, Path(name): Path<String>, request: Request) -> Response<Body> {
    let (name, body) = match (named(&name), fields(&api, request).await) {
        (Ok(name), Ok(body)) => (name, body),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    match wanted(&body, "group").and_then(|group| parsed("group", Some(group))) {
        Ok(Some(group)) => {
            reply(api.admin.label(Selection::One(name), Label::Group(group), Page::first(1)).await)
        }
        Ok(None) => bad("group is missing"),
        Err(problem) => bad(&problem),
    }
}

/// Body: `{"add": [TAG...], "remove": [TAG...]}`; either may be left out.
pub(super) async fn tag(State(api): Shared, Path(name): Path<String>, request: Request) -> Response<Body> {
    let (name, body) = match (named(&name), fields(&api, request).await) {
        (Ok(name), Ok(body)) => (name, body),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    let (add, remove) = match (listed(&body, "add"), listed(&body, "remove")) {
        (Ok(add), Ok(remove)) => (add, remove),
        (Err(problem), _) | (_, Err(problem)) => return bad(&problem),
    };
    let one = || (Selection::One(name.clone()), Page::first(1));
    let (selection, page) = one();
    if let Err(error) = api.admin.label(selection, Label::Remove(remove), page).await {
        return reply(Err::<(), _>(error));
    }
    let (selection, page) = one();
    if let Err(error) = api.admin.label(selection, Label::Add(add), page).await {
        return reply(Err::<(), _>(error));
    }
    reply(api.admin.device(&name).await)
}

/// Many devices, one page a call. Body: `{"action": NAME, "group": NAME or "tag": TAG, "after": ID, "limit": N}`
/// and what the action wants. Answer: what became of this page, and `next` for the one after it.
pub(super) async fn bulk(State(api): Shared, request: Request) -> Response<Body> {
    let body = match fields(&api, request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let limit =
        match body.get("limit").map(|limit| limit.as_u64().and_then(|limit| u32::try_from(limit).ok())) {
            None => Ok(None),
            Some(Some(limit)) => Ok(Some(limit)),
            Some(None) => Err(format!("limit is a whole number from 1 to {MAX_PAGE}")),
        };
    let read = limit.and_then(|limit| {
        let action = read_action(wanted(&body, "action")?, &body)?;
        Ok((selection(text("group"), text("tag"))?, action, page(text("after"), limit)?))
    });
    match read {
        Ok((selection, action, page)) => reply(api.admin.act(selection, action, page).await),
        Err(problem) => bad(&problem),
    }
}

fn read_action(name: &str, body: &Value) -> Result<Action, String> {
    Ok(match name {
        "approve" => Action::Approve,
        "deny" => Action::deny(wanted(body, "reason")?).map_err(|error| error.to_string())?,
        "suspend" => Action::Suspend,
        "resume" => Action::Resume,
        "revoke" => match body.get("reason").map(|reason| reason.as_str().and_then(Reason::from_name)) {
            None => Action::Revoke(Reason::Unspecified),
            Some(Some(reason)) => Action::Revoke(reason),
            Some(None) => return Err("reason is none of those that a revocation list knows".to_owned()),
        },
        "retire" => Action::Retire,
        "return" => Action::Return,
        "transfer" => match parsed("to", Some(wanted(body, "to")?))? {
            Some(group) => Action::Transfer(group),
            None => return Err("to is missing".to_owned()),
        },
        other => {
            return Err(format!(
                "there is no action {other:?}; there are approve, deny, suspend, resume, revoke, retire, return \
                 and transfer"
            ));
        }
    })
}

fn wanted<'b>(body: &'b Value, name: &str) -> Result<&'b str, String> {
    body.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing, or no text"))
}

pub(super) fn selection(group: Option<&str>, tag: Option<&str>) -> Result<Selection, String> {
    match (parsed("group", group)?, parsed("tag", tag)?) {
        (Some(group), None) => Ok(Selection::Group(group)),
        (None, Some(tag)) => Ok(Selection::Tag(tag)),
        _ => Err("either a group or a tag says which devices".to_owned()),
    }
}

pub(super) fn page(after: Option<&str>, limit: Option<u32>) -> Result<Page, String> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(format!("limit is a whole number from 1 to {MAX_PAGE}"));
    }
    let after = after.map(DeviceId::new).transpose().map_err(|error| format!("after: {error}"))?;
    Ok(Page { after, limit })
}

pub(super) fn parsed<T: core::str::FromStr<Err: core::fmt::Display>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, String> {
    text.map(str::parse).transpose().map_err(|error: T::Err| format!("{name}: {error}"))
}

fn tags(text: &str) -> Result<Vec<Tag>, String> {
    let list = text.split(',').filter(|tag| !tag.is_empty());
    list.map(|tag| tag.parse().map_err(|error| format!("tag: {error}"))).collect()
}

fn listed(body: &Value, name: &str) -> Result<Vec<Tag>, String> {
    let Some(list) = body.get(name) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(|| format!("{name} is a list of tags"))?;
    let tag =
        |tag: &Value| tag.as_str().unwrap_or_default().parse().map_err(|error| format!("{name}: {error}"));
    list.iter().map(tag).collect()
}
