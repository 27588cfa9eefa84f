//! How a webhook stands: its cursor, and what waits behind it.

use super::Webhook;
use crate::store::{Lag, Store, StoreError, WebhookState};

/// How a webhook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its cursor and what was counted.
    pub state: WebhookState,
    /// What waits.
    pub lag: Lag,
}

impl Standing {
    /// Reads it; `None` where no server has run with this webhook yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn read(store: &dyn Store, webhook: &Webhook) -> Result<Option<Self>, StoreError> {
        let Some(state) = store.webhook(webhook.name.clone()).await? else { return Ok(None) };
        let lag = store.lag(webhook.filter.after(state.cursor, 0)).await?;
        Ok(Some(Self { state, lag }))
    }
}
