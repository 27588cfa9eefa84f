//! Makes and publishes revocation lists.

use core::time::Duration;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use ca::Issuer;
use ca::crl::{CrlError, Issue, Revoked};
use tokio::process::Command;
use tokio::sync::watch;

use super::Revocations;
use crate::authorities::{Authorities, Authority, InOffice};
use crate::clock::Clock;
use crate::config::Crl;
use crate::files;
use crate::issuance::chain;
use crate::serve::stopped;
use crate::store::{IssuerNumber, RevokedList, Store, StoreError};

/// How often the store is asked whether something was revoked: by this process or by another one.
const POLL: Duration = Duration::from_millis(100);
/// Pause after a publication that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long a hook may run.
const HOOK_LIMIT: Duration = Duration::from_secs(10);
/// How long a certificate stays on the list after its end, for clocks that are behind.
const LINGER: Duration = Duration::from_secs(86_400);

/// Makes revocation lists.
#[derive(Debug)]
pub struct Publisher {
    store: Arc<dyn Store>,
    authorities: Arc<InOffice>,
    clock: Arc<dyn Clock>,
    settings: Crl,
    out: watch::Sender<Arc<Revocations>>,
    /// Generation of what is revoked in the lists that are out, and whose lists they are; the first one issues.
    published: Option<(u64, Vec<IssuerNumber>)>,
}

/// Why no list was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The CA did not sign the list.
    #[error("the revocation list was not signed")]
    Crl(#[from] CrlError),
    /// The signing task was lost.
    #[error("the signing task ended without a result")]
    SignerGone,
    /// The file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Publisher {
    /// Publishes into the files of `settings`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        authorities: Arc<InOffice>,
        clock: Arc<dyn Clock>,
        settings: Crl,
    ) -> Self {
        let (out, _) = watch::channel(Arc::default());
        Self { store, authorities, clock, settings, out, published: None }
    }

    /// The list that is out, and every one after it.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Revocations>> {
        self.out.subscribe()
    }

    /// Publishes whenever it is due, until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pause = POLL;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.publish_if_due().await {
                Ok(_) => POLL,
                Err(error) => {
                    tracing::error!(error = chain(&error), "the revocation list was not published");
                    RETRY
                }
            };
        }
    }

    /// Publishes if something was revoked since, half of the lists' time has passed, or other CAs are in force. Tells
    /// whether it did.
    ///
    /// # Errors
    /// Says what failed; the list before stays out.
    pub async fn publish_if_due(&mut self) -> Result<bool, PublishError> {
        let generation = self.store.generations().await?.revocations;
        let (now, current) = (self.clock.now(), Arc::clone(&self.out.borrow()));
        let renewal = current.this_update.after(self.settings.valid / 2);
        let authorities = self.authorities.now();
        let whose = whose(&authorities);
        let changed = self.published.as_ref() != Some(&(generation, whose.clone()));
        let due = changed || now >= renewal || now < current.this_update;
        if due {
            self.publish(&authorities, whose).await?;
        }
        Ok(due)
    }

    async fn publish(
        &mut self,
        authorities: &Authorities,
        whose: Vec<IssuerNumber>,
    ) -> Result<(), PublishError> {
        let now = self.clock.now();
        let number = self.store.next_crl_number().await?;
        let next_update = now.after(self.settings.valid);
        let issue = Issue { number, this_update: now, next_update };
        let (mut generation, mut serials, mut pem, mut lists) =
            (u64::MAX, Vec::new(), String::new(), Vec::new());
        for issuer in &whose {
            let signer = authorities.get(*issuer).and_then(Authority::signer);
            let list = self.store.revoked(*issuer, now.before(LINGER)).await?;
            // What is revoked between two of these reads is published at the next look.
            generation = generation.min(list.generation);
            serials.extend(list.entries.iter().map(|entry| entry.serial.as_bytes().to_vec()));
            if let Some(signer) = signer {
                let der = make(Arc::clone(signer), issue, list).await?;
                pem.push_str(&ca::pem::crl(&der));
                lists.push(der);
            }
        }
        serials.sort();
        let der = lists.into_iter().next().unwrap_or_default();
        self.write(&der, &pem).await?;
        tracing::info!(number, revoked = serials.len(), %next_update, "revocation lists published");
        self.published = Some((generation, whose));
        let published = Revocations { number, this_update: now, next_update, der, pem, serials };
        self.out.send_replace(Arc::new(published));
        self.run_hook().await;
        Ok(())
    }

    async fn write(&self, der: &[u8], pem: &str) -> Result<(), PublishError> {
        let files = [(self.settings.der.clone(), der.to_vec()), (self.settings.pem.clone(), pem.into())];
        let written = tokio::task::spawn_blocking(move || {
            for (path, content) in files {
                // Brokers that run as another user read it.
                files::replace(&path, &content, 0o644)
                    .map_err(|source| PublishError::Unwritable { path, source })?;
            }
            Ok(())
        });
        written.await.map_err(|_| PublishError::SignerGone)?
    }

    /// Runs the operator's command. That it fails is logged; the list is out all the same.
    async fn run_hook(&self) {
        let Some((program, arguments)) = self.settings.hook.split_first() else { return };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("CRL_DER", &self.settings.der).env("CRL_PEM", &self.settings.pem).kill_on_drop(true);
        match tokio::time::timeout(HOOK_LIMIT, command.status()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => tracing::warn!(program, %status, "crl.hook failed"),
            Ok(Err(error)) => tracing::warn!(program, %error, "crl.hook cannot be run"),
            Err(_) => tracing::warn!(program, limit = ?HOOK_LIMIT, "crl.hook took too long and was killed"),
        }
    }
}

/// Whose lists are published: the CA that issues comes first.
fn whose(authorities: &Authorities) -> Vec<IssuerNumber> {
    let active = authorities.active();
    let others = authorities.signers().map(|(number, _)| number).filter(|number| *number != active);
    core::iter::once(active).chain(others).collect()
}

async fn make(issuer: Arc<Issuer>, issue: Issue, list: RevokedList) -> Result<Vec<u8>, PublishError> {
    let made = tokio::task::spawn_blocking(move || {
        let revoked = list.entries.iter().map(|entry| Revoked {
            serial: entry.serial,
            at: entry.revocation.at,
            reason: entry.revocation.reason,
        });
        ca::crl::make(&issuer, issue, revoked)
    });
    Ok(made.await.map_err(|_| PublishError::SignerGone)??)
}
