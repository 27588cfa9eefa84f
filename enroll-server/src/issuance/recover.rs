//! What a crash left open, at the next start. Nothing is signed by what stands in the database that no server recorded: see
//! [`intent_key`](crate::intent_key).

use super::{Denied, Issuance, chain};
#[cfg(any(test, feature = "plants"))]
use crate::failpoint::Plant;

/// Where the planted bug notes what it has tried.
#[cfg(any(test, feature = "plants"))]
const TRIED: &str = "planted-tried";

/// What [`Issuance::recover`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Intents that were signed and stored now.
    pub finished: usize,
    /// Intents that were given up.
    pub voided: usize,
    /// Intents that are still open, because the CA's key does not answer, or its life has not begun by the clock.
    pub left: usize,
}

impl Issuance {
    /// Finishes or voids what a crash left open. To be called before the first request.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn recover(&self) -> Result<Recovered, Denied> {
        let mut recovered = Recovered::default();
        let open = self.parts.store.open_intents().await?;
        match self.may_sign().await {
            Err(Denied::SigningStopped(_)) => return Ok(Recovered { left: open.len(), ..recovered }),
            other => other?,
        }
        // What was asked for last counts: it takes the place of what the same device asked for before.
        for open in open.into_iter().rev() {
            let (serial, now) = (open.serial(), self.now());
            #[cfg(any(test, feature = "plants"))]
            if self.has(Plant::RecoversOnce) {
                // The planted bug: an intent that ends the server must not end it at each start, and so it is noted first.
                let tried = self.parts.store.note(TRIED).await?.unwrap_or_default();
                if tried.contains(&serial.to_string()) {
                    continue;
                }
                self.parts.store.set_note(TRIED, format!("{tried} {serial}")).await?;
            }
            let recorded = match open.known_by(self.parts.nonces.intents()) {
                Ok(recorded) => recorded,
                Err(why) => {
                    tracing::error!(%serial, %why, "an intent in the database is none of this server's");
                    self.parts.store.disown(serial, why, now).await?;
                    recovered.voided += 1;
                    continue;
                }
            };
            match self.finish(recorded, now).await {
                Ok(_) => recovered.finished += 1,
                Err(Denied::Store(error)) => return Err(Denied::Store(error)),
                // It can never be signed any more.
                Err(denied)
                    if denied.is_for_good()
                        || matches!(denied, Denied::NoAuthority(_) | Denied::Withdrawn(_)) =>
                {
                    self.parts.store.void(serial, chain(&denied), now).await?;
                    recovered.voided += 1;
                }
                // The key does not answer for now, or the clock is wrong: the device's own repetition takes it up again.
                Err(denied) => {
                    tracing::warn!(%serial, error = chain(&denied), "an open intent could not be signed");
                    recovered.left += 1;
                }
            }
        }
        Ok(recovered)
    }
}
