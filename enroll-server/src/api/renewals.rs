//! Renewals that an operator wants, over the admin API.

use std::sync::Arc;

use appraisal::GroupName;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::DeviceId;

use super::Api;
use super::call::{Bounded, Code, MAX_EXACT, Maybe, Named, PageSize, Query, Refusal, Sent};
use super::devices::Queue;
use super::selected::{group_tag_or_all, page, selection};
use crate::store::{Page, Rate, Selection, Tag, Turns, Wanted, WantedPage};
use crate::written::Text;

/// A renewal of one device.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RenewDevice")]
pub(super) struct One {
    /// Whether it is wanted no more.
    cancel: Maybe<bool>,
}

/// Wants a renewal of one device, or wants it no more.
pub(super) async fn one(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<One>),
) -> Result<Wanted, Refusal> {
    Ok(if body.cancel.0.unwrap_or(false) {
        api.admin.unwant_renewals(Selection::One(device), Page::first(1)).await?
    } else {
        api.admin.want_renewal(&device).await?
    })
}

/// Renewals of the devices of a group, with a tag, or of all; one page a call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = group_tag_or_all)]
#[schemars(rename = "RenewDevices")]
pub(super) struct Many {
    /// Of the devices of this group.
    group: Maybe<Text<GroupName>>,
    /// Of the devices with this tag.
    tag: Maybe<Text<Tag>>,
    /// Of all devices.
    all: Maybe<bool>,
    /// How many devices get their turn in which time; all at once where nothing is said.
    rate: Maybe<Text<Rate>>,
    /// How many devices earlier pages took, so that the rate holds over all of them.
    before: Maybe<Bounded<0, MAX_EXACT>>,
    /// Begin behind this identifier: the `next` of the page before.
    after: Maybe<Text<DeviceId>>,
    /// Most devices of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
    /// Whether they are wanted no more.
    cancel: Maybe<bool>,
}

/// Wants renewals of many devices, one page a call; the answer has `next` for the page after it.
pub(super) async fn many(api: Arc<Api>, Sent(body): Sent<Many>) -> Result<Wanted, Refusal> {
    let selection = match (body.all.0.unwrap_or(false), body.group.value(), body.tag.value()) {
        (true, None, None) => Selection::All,
        (true, ..) => return Err(Refusal::new(Code::BadRequest, "all, a group or a tag: one of them")),
        (false, group, tag) => selection(group, tag)?,
    };
    let page = page(body.after, body.limit);
    if body.cancel.0.unwrap_or(false) {
        return Ok(api.admin.unwant_renewals(selection, page).await?);
    }
    let before = body.before.0.map_or(0, Bounded::get);
    let turns = Turns { begin: api.admin.now(), before, rate: body.rate.value() };
    Ok(api.admin.want_renewals(selection, turns, page).await?)
}

/// One page of the renewals that are wanted.
pub(super) async fn list(api: Arc<Api>, Query(queue): Query<Queue>) -> Result<WantedPage, Refusal> {
    let (selection, page) = queue.read()?;
    Ok(api.admin.wanted_renewals(selection, page).await?)
}
