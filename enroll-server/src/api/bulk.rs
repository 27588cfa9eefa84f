//! One action for many devices over the admin API, one page a call.

use std::sync::Arc;

use appraisal::GroupName;
use ca::crl::Reason;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::DeviceId;

use super::Api;
use super::call::{Maybe, PageSize, Plain, Refusal, Sent};
use super::devices::denial;
use super::selected::{group_or_tag, page, selection};
use crate::store::{Action, Carried, Page, Selection, Tag};
use crate::written::Text;

macro_rules! bulk {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[$about:meta])+ $field:ident: $type:ty)? } => $action:expr;)+) => {
        /// An action for the devices of a group or with a tag.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
        #[schemars(transform = group_or_tag)]
        pub(super) enum Bulk {
            $(
                $(#[doc = $doc])+
                $name {
                    /// The devices of this group.
                    #[serde(default)]
                    group: Maybe<Text<GroupName>>,
                    /// The devices with this tag.
                    #[serde(default)]
                    tag: Maybe<Text<Tag>>,
                    /// Begin behind this identifier: the `next` of the page before.
                    #[serde(default)]
                    after: Maybe<Text<DeviceId>>,
                    /// Most devices of the page; 100 where nothing is said.
                    #[serde(default)]
                    limit: Maybe<PageSize>,
                    $($(#[$about])+ $field: $type,)?
                },
            )+
        }

        impl Bulk {
            fn read(self) -> Result<(Selection, Action, Page), Refusal> {
                Ok(match self {
                    $(Self::$name { group, tag, after, limit, $($field)? } => {
                        let selection = selection(group.value(), tag.value())?;
                        (selection, $action, page(after, limit))
                    })+
                })
            }
        }
    };
}

bulk! {
    /// Approves held requests.
    Approve {} => Action::Approve;
    /// Denies held requests.
    Deny {
        /// Why, for the trail.
        reason: Plain
    } => denial(&reason)?;
    /// Takes devices out of service for a time.
    Suspend {} => Action::Suspend;
    /// Ends suspensions.
    Resume {} => Action::Resume;
    /// Revokes devices for good.
    Revoke {
        /// Why; `unspecified` where nothing is said.
        #[serde(default)]
        reason: Maybe<Text<Reason>>
    } => Action::Revoke(reason.value().unwrap_or(Reason::Unspecified));
    /// Ends the life of devices.
    Retire {} => Action::Retire;
    /// Sends devices back to their maker.
    Return {} => Action::Return;
    /// Gives devices to another owner.
    Transfer {
        /// The group of the other owner.
        to: Text<GroupName>
    } => Action::Transfer(to.0);
}

/// Carries out the action for one page; the answer has `next` for the page after it.
pub(super) async fn bulk(api: Arc<Api>, Sent(body): Sent<Bulk>) -> Result<Carried, Refusal> {
    let (selection, action, page) = body.read()?;
    Ok(api.admin.act(selection, action, page).await?)
}
