//! The CAs and their rollover over the admin API.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use shared::DeviceId;

use super::Api;
use super::call::{Code, Maybe, PageSize, Query, Refusal};
use super::selected::page;
use crate::issuance::chain;
use crate::rollover::{self, Status};
use crate::written::Text;

/// The page of devices that have not moved.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// Begin behind this identifier: the `next` of the page before.
    after: Maybe<Text<DeviceId>>,
    /// Most devices of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
}

/// What `ca status --json` prints.
pub(super) async fn status(api: Arc<Api>, Query(wanted): Query<Wanted>) -> Result<Status, Refusal> {
    let page = page(wanted.after, wanted.limit);
    let status = rollover::status(api.issuance.store().as_ref(), page, api.issuance.now()).await;
    status.map_err(|error| {
        tracing::error!(error = chain(&error), "the CAs cannot be told");
        Refusal::new(Code::Unavailable, chain(&error))
    })
}
