//! Devices over the admin API: looking for them, the approval queue, and what an operator does to them.

use std::sync::Arc;

use appraisal::GroupName;
use ca::Serial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{DeviceId, UnixTime};

use super::Api;
use super::admin::Nothing;
use super::call::{Bounded, Code, Commas, MAX_EXACT, Maybe, Named, PageSize, Plain, Query, Refusal, Sent};
use super::selected::{page, selection};
use crate::store::{
    Action, Carried, Device, DeviceFilter, DevicePage, DeviceState, Find, HeldPage, Label, Labelled, Page,
    Selection, Tag,
};
use crate::written::Text;

/// What can be looked for; the conditions add up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// In this state.
    state: Maybe<Text<DeviceState>>,
    /// In this group.
    group: Maybe<Text<GroupName>>,
    /// Of this model.
    model: Maybe<Plain>,
    /// With all of these tags.
    tag: Commas<Tag>,
    /// With an identifier that begins so.
    prefix: Maybe<Plain>,
    /// With this text in one of its identities.
    find: Maybe<Text<Find>>,
    /// With certificates that all end before this time, in seconds since 1970.
    expires_before: Maybe<Bounded<0, MAX_EXACT>>,
    /// Begin behind this identifier: the `next` of the page before.
    after: Maybe<Text<DeviceId>>,
    /// Most devices of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
}

/// One page of the devices that are looked for.
pub(super) async fn list(api: Arc<Api>, Query(wanted): Query<Wanted>) -> Result<DevicePage, Refusal> {
    let page = page(wanted.after, wanted.limit);
    let filter = DeviceFilter {
        state: wanted.state.value(),
        group: wanted.group.value(),
        model: wanted.model.0.map(|Plain(model)| model),
        tags: wanted.tag.0,
        prefix: wanted.prefix.0.map(|Plain(prefix)| prefix),
        find: wanted.find.value(),
        expires_before: wanted.expires_before.0.map(|end| UnixTime::from_secs(end.get())),
    };
    Ok(api.admin.devices(filter, page).await?)
}

/// Which part of a queue: of a group, of a tag, or all of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Queue {
    /// Of the devices of this group; not together with a tag.
    group: Maybe<Text<GroupName>>,
    /// Of the devices with this tag.
    tag: Maybe<Text<Tag>>,
    /// Begin behind this identifier: the `next` of the page before.
    after: Maybe<Text<DeviceId>>,
    /// Most rows of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
}

impl Queue {
    pub(super) fn read(self) -> Result<(Option<Selection>, Page), Refusal> {
        let selection = match (self.group.value(), self.tag.value()) {
            (None, None) => None,
            (group, tag) => Some(selection(group, tag)?),
        };
        Ok((selection, page(self.after, self.limit)))
    }
}

/// One page of the requests that wait.
pub(super) async fn approvals(api: Arc<Api>, Query(queue): Query<Queue>) -> Result<HeldPage, Refusal> {
    let (selection, page) = queue.read()?;
    Ok(api.admin.held(selection, page).await?)
}

/// What became of an action for one device.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Acted {
    /// Which device.
    #[serde(with = "Text::<DeviceId>")]
    device: DeviceId,
    /// Its state, after it.
    state: Option<DeviceState>,
    /// How many certificates were revoked by it.
    certificates: u64,
}

async fn act(api: &Api, device: DeviceId, seen: Option<Serial>, action: Action) -> Result<Acted, Refusal> {
    let Carried { state, certificates, .. } = api.admin.decide(&device, seen, action).await?;
    Ok(Acted { device, state, certificates })
}

macro_rules! actions {
    ($($name:ident $action:ident)+) => {
        $(
            pub(super) async fn $name(
                api: Arc<Api>,
                (Named(device), Sent(Nothing {})): (Named, Sent<Nothing>),
            ) -> Result<Acted, Refusal> {
                act(&api, device, None, Action::$action).await
            }
        )+
    };
}

actions! { suspend Suspend resume Resume retire Retire return_to_factory Return }

/// A denial.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deny {
    /// Why, for the trail.
    reason: Plain,
    /// The request that was seen in the queue, and no other that came in its place; whatever is held where none is named.
    #[serde(default)]
    serial: Maybe<Text<Serial>>,
}

pub(super) async fn deny(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Deny>),
) -> Result<Acted, Refusal> {
    let action = denial(&body.reason)?;
    act(&api, device, body.serial.value(), action).await
}

pub(super) fn denial(Plain(reason): &Plain) -> Result<Action, Refusal> {
    Action::deny(reason).map_err(|error| Refusal::new(Code::BadRequest, error.to_string()))
}

/// A transfer to another owner.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// The group of the other owner.
    to: Text<GroupName>,
}

pub(super) async fn transfer(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Transfer>),
) -> Result<Acted, Refusal> {
    act(&api, device, None, Action::Transfer(body.to.0)).await
}

/// A group to put a device into.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PutIntoGroup")]
pub(super) struct Group {
    /// Which.
    group: Text<GroupName>,
}

pub(super) async fn group(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Group>),
) -> Result<Labelled, Refusal> {
    Ok(api.admin.label(Selection::One(device), Label::Group(body.group.0), Page::first(1)).await?)
}

/// A change of a device's tags.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ChangeTags")]
pub(super) struct Tags {
    /// Tags to put on it; one that is also to be taken away stays.
    add: Vec<Text<Tag>>,
    /// Tags to take away.
    remove: Vec<Text<Tag>>,
}

pub(super) async fn tag(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Tags>),
) -> Result<Device, Refusal> {
    let tags = |list: Vec<Text<Tag>>| list.into_iter().map(|Text(tag)| tag).collect();
    let label = Label::Tags { remove: tags(body.remove), add: tags(body.add) };
    api.admin.label(Selection::One(device.clone()), label, Page::first(1)).await?;
    Ok(api.admin.device(&device).await?)
}
