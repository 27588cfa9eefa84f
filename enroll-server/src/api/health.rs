//! Whether this server could issue now, and what is in the way.

use std::sync::Arc;

use super::Api;
use crate::issuance::chain;

/// What was looked at.
#[derive(Debug)]
pub struct Health {
    /// Whether anything may be signed at all; it may not while an older database waits for an operator's word.
    pub(crate) signing: Result<(), String>,
    /// Each thing by its name.
    pub(crate) checks: [(&'static str, Result<(), String>); 5],
}

impl Api {
    /// How it is, by a look that began after this was asked.
    pub(crate) async fn health(&self) -> Arc<Health> {
        self.health.get(self.look_at_health()).await
    }

    /// Looks. Writes to the store and takes it back.
    async fn look_at_health(&self) -> Health {
        let now = self.issuance.now();
        let store = self.issuance.store().probe().await.map_err(|error| chain(&error));
        let authorities = self.issuance.authorities();
        let ca = authorities.issuer().certificate().check_valid_at(now).map_err(|error| chain(&error));
        let crl = Arc::clone(&self.revocations.borrow()).check(now);
        let rollover = self.rollover.borrow().clone().map_or(Ok(()), Err);
        let log = self.log_status.borrow().check();
        let signing = self.issuance.may_sign().await.map_err(|denied| chain(&denied));
        Health {
            signing,
            checks: [
                ("store", store),
                ("issuing CA", ca),
                ("revocation list", crl),
                ("rollover", rollover),
                ("log", log),
            ],
        }
    }
}
