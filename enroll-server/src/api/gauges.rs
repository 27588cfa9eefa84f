//! What the metrics say of now.

use std::sync::Arc;

use super::{Api, Health};
use crate::telemetry::{Gauges, Process};
use crate::webhook::Standing;

impl Api {
    /// How it is, by a look that began after this was asked.
    pub(super) async fn gauges(&self) -> Arc<Gauges> {
        self.gauges.get(self.look_at_gauges()).await
    }

    /// Looks everything up. What the store does not tell is left out.
    async fn look_at_gauges(&self) -> Gauges {
        let (store, now) = (self.issuance.store(), self.issuance.now());
        let on_disk = self.on_disk.clone();
        let (health, latest, counts, endings, renewals, spread, rollovers, log_head, webhooks, on_disk) = tokio::join!(
            self.health(),
            store.latest(),
            store.counts(),
            store.endings(now),
            store.count_wanted_renewals(),
            store.spread(now),
            store.rollovers(),
            store.log_head(),
            self.standings(),
            tokio::task::spawn_blocking(move || (on_disk.look(), Process::look())),
        );
        let Health { signing, checks } = &*health;
        let good = checks.iter().map(|(name, check)| (*name, check.is_ok()));
        let spread = spread.ok().zip(rollovers.ok()).map(|(spread, mut rollovers)| {
            (spread, rollovers.pop().map(|last| last.step).filter(|step| step.is_under_way()))
        });
        let (on_disk, process) = on_disk.unwrap_or_default();
        Gauges {
            now,
            checks: core::iter::once(("signing", signing.is_ok())).chain(good).collect(),
            latest: latest.ok().flatten(),
            counts: counts.ok(),
            endings: endings.ok(),
            renewals: renewals.ok(),
            spread,
            webhooks,
            revocations: Arc::clone(&self.revocations.borrow()),
            log: self.log_status.borrow().clone(),
            log_head: log_head.ok(),
            store: store.load(),
            load: self.issuance.gate().load(),
            ca_not_after: self.issuance.authorities().issuer().certificate().validity().not_after,
            root_not_after: self.lineup.now().first_root().map(|root| root.validity().not_after),
            on_disk,
            process,
            spans: self.spans.clone(),
        }
    }

    async fn standings(&self) -> Vec<Standing> {
        let mut standings = Vec::new();
        for webhook in &self.webhooks {
            // One that cannot be read is left out, as the counts are.
            if let Ok(Some(standing)) = Standing::read(self.issuance.store().as_ref(), webhook).await {
                standings.push(standing);
            }
        }
        standings
    }
}
