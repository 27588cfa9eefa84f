//! Whether this server could issue now, and what is in the way.

use core::time::Duration;
use std::sync::Arc;

use ca::{Issuer, KeyError};

use super::Api;
use crate::issuance::chain;

/// How long whoever asks waits for a key that is tried: load balancers do not wait long.
const TRIAL: Duration = Duration::from_secs(1);

/// What was looked at.
#[derive(Debug)]
pub struct Health {
    /// Whether anything may be signed at all; it may not while an older database waits for an operator's word.
    pub(crate) signing: Result<(), String>,
    /// Each thing by its name.
    pub(crate) checks: [(&'static str, Result<(), String>); 6],
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
        let key = signs(Arc::clone(authorities.issuer())).await;
        let crl = Arc::clone(&self.revocations.borrow()).check(now);
        let rollover = self.rollover.borrow().clone().map_or(Ok(()), Err);
        let log = self.log_status.borrow().check();
        let signing = self.issuance.may_sign().await.map_err(|denied| chain(&denied));
        Health {
            signing,
            checks: [
                ("store", store),
                ("issuing CA", ca),
                ("issuing key", key),
                ("revocation list", crl),
                ("rollover", rollover),
                ("log", log),
            ],
        }
    }
}

/// Whether the key of the CA signs. It is asked for a signature only where it did not give the last one: so a key that is back is
/// noticed though no device is sent here any more.
async fn signs(issuer: Arc<Issuer>) -> Result<(), String> {
    if !issuer.has_failed() {
        return Ok(());
    }
    let trial = tokio::task::spawn_blocking(move || issuer.try_key());
    let tried = match tokio::time::timeout(TRIAL, trial).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(_)) | Err(_) => Err(KeyError::OnTrial),
    };
    tried.map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::{TRIAL, signs};
    use ca::hierarchy::{ROOT_LIFETIME, root_ca};
    use ca::{FileKey, Issuer, IssuerKey, KeyError};
    use core::sync::atomic::{AtomicUsize, Ordering};
    use shared::UnixTime;
    use std::sync::{Arc, Barrier};

    const GOOD: usize = 0;
    const AWAY: usize = 1;
    const HANGING: usize = 2;

    /// A key that can be away, or hang until somebody comes to the barrier.
    #[derive(Debug)]
    struct Remote(FileKey, Arc<AtomicUsize>, Arc<Barrier>);

    impl IssuerKey for Remote {
        fn public_point(&self) -> &[u8; 65] {
            self.0.public_point()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
            match self.1.load(Ordering::SeqCst) {
                AWAY => return Err(KeyError::Unavailable("it was pulled".into())),
                HANGING => _ = self.2.wait(),
                _ => {}
            }
            self.0.sign(message)
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_key_that_is_away_is_told_until_a_trial_finds_it_back() {
        let now = UnixTime::from_secs(1_800_000_000);
        let (certificate, key) = root_ca("Acme", ROOT_LIFETIME, now).unwrap();
        let (state, gate) = (Arc::new(AtomicUsize::new(AWAY)), Arc::new(Barrier::new(2)));
        let key = Remote(key, Arc::clone(&state), Arc::clone(&gate));
        let issuer = Arc::new(Issuer::new(certificate, Box::new(key)).unwrap());
        let look = || signs(Arc::clone(&issuer));
        assert_eq!(look().await, Ok(()), "it is not asked before a signature failed");
        issuer.try_key().unwrap_err();
        let told = look().await.unwrap_err();
        assert_eq!(told, "the key cannot be reached: it was pulled");
        // A key that hangs holds nobody up, and is asked once.
        state.store(HANGING, Ordering::SeqCst);
        let began = tokio::time::Instant::now();
        for _ in 0..2 {
            let told = look().await.unwrap_err();
            assert!(told.contains("does not answer"), "{told}");
        }
        assert!(began.elapsed() < TRIAL * 2);
        state.store(GOOD, Ordering::SeqCst);
        let _answers = gate.wait();
        while look().await.is_err() {}
        assert!(!issuer.has_failed());
    }
}
