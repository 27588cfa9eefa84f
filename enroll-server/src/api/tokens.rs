//! One-time tokens over the admin API.

use core::time::Duration;
use std::sync::Arc;

use appraisal::GroupName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{DeviceId, UnixTime};

use super::Api;
use super::call::{Bounded, Maybe, PageSize, Query, Refusal, Sent};
use super::selected::page;
use crate::admin::AdminError;
use crate::credential::TokenRequest;
use crate::store::{ListPlace, TokenPage};
use crate::written::Text;

/// Which part of the list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Part {
    /// Begin behind this place: the `next` of the page before.
    after: Maybe<Text<ListPlace>>,
    /// Most tokens of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
}

/// One page of the tokens.
pub(super) async fn list(api: Arc<Api>, Query(part): Query<Part>) -> Result<TokenPage, Refusal> {
    Ok(api.admin.tokens(page(part.after, part.limit)).await?)
}

/// A one-time token that is wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WantedToken {
    /// The one device that it is for; any, where none is named.
    device: Maybe<Text<DeviceId>>,
    /// The group that it is limited to, and which its devices are put into.
    group: Maybe<Text<GroupName>>,
    /// How long it is good for, in hours; 24 where nothing is said.
    hours: Maybe<Bounded<1, 8_760>>,
}

/// A new one-time token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadeToken {
    /// Its public name, for lists and revocation.
    id: String,
    /// Its text: a secret, which is told this once.
    token: String,
    /// Until when it can be used.
    #[serde(with = "Text::<UnixTime>")]
    expires: UnixTime,
}

pub(super) async fn create(api: Arc<Api>, Sent(body): Sent<WantedToken>) -> Result<MadeToken, Refusal> {
    let hours = body.hours.0.map_or(24, Bounded::get);
    let request = TokenRequest {
        device: body.device.value(),
        group: body.group.value(),
        lifetime: Duration::from_secs(hours * 3_600),
        short: false,
    };
    let made = api.admin.create_tokens(&request, 1).await?.pop().ok_or(AdminError::Random)?;
    Ok(MadeToken { id: made.token.id, token: made.text.as_str().to_owned(), expires: made.token.expires })
}
