//! The running server follows the store: which CAs are in force, which trust bundle is out, which certificate is shown.
//!
//! Whoever changes it, in this process or another one, every server takes it over within a second, and writes the files
//! that brokers and the factory read. The certificates of servers are looked after here too.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::trust_chain::TrustChain;
use ca::{CaCertificate, FileKey, Issuer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use shared::UnixTime;
use tokio::sync::watch;

use super::lineup::Lineup;
use super::owed::Owed;
use super::publish::{authorities_pem, put};
use super::trust::{self, TrustFileError};
use crate::audit::EventKind;
use crate::authorities::{Authorities, InOffice};
use crate::clock::Clock;
use crate::config::Config;
use crate::in_force::InForce;
use crate::issuance::chain;
use crate::serve::stopped;
use crate::startup::{LoadError, certificates};
use crate::store::{NewEvent, Store, StoreError};
use crate::tls::server_config;
use crate::tls_files::{Files, Tended, TlsFileError, put_in_trail, recover, tend};

/// How often the store and the files are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Pause after something failed.
const RETRY: Duration = Duration::from_secs(5);
/// So many attempts at taking a step over, or at showing what is in the server's own file, may fail before it is told: a file
/// may be on its way.
const PATIENCE: u32 = 1;

/// Follows the store.
#[derive(Debug)]
pub(crate) struct Follower {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    in_office: Arc<InOffice>,
    trust: Arc<InForce<TrustChain>>,
    tls: Arc<InForce<ServerConfig>>,
    lineup: Arc<InForce<Lineup>>,
    /// The generation that was taken over last.
    generation: u64,
    /// The chain that is shown, as it stood in its file.
    shown: watch::Sender<Vec<u8>>,
    /// How often what is in the file could not be shown.
    unshown: u32,
    /// Whose renewal failed last, so that one failure is one event.
    failing: Vec<String>,
    /// Whether the CAs for brokers were not written last, or not to their end.
    unwritten: bool,
    /// Whether the trail may not have a certificate that is in a file.
    untold: bool,
    pub(super) owed: Arc<Owed>,
    /// How often what the store says now was not taken over.
    attempts: u32,
    standing: watch::Sender<Option<String>>,
}

/// Why what the store says was not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{}: cannot be written", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    TlsFile(#[from] TlsFileError),
    #[error("a task ended without a result")]
    Gone,
}

impl Follower {
    /// Begins with what was loaded. `generation` was read before it.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the server, named by its type")]
    pub(crate) fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        in_office: Arc<InOffice>,
        trust: Arc<InForce<TrustChain>>,
        tls: Arc<InForce<ServerConfig>>,
        lineup: Arc<InForce<Lineup>>,
        generation: u64,
    ) -> Self {
        let shown = watch::Sender::new(own_chain(&config));
        let owed = Arc::new(Owed::at_start(Arc::clone(&config)));
        let (failing, unwritten) = (Vec::new(), false);
        Self {
            config,
            store,
            clock,
            in_office,
            trust,
            tls,
            lineup,
            generation,
            shown,
            unshown: 0,
            failing,
            unwritten,
            untold: false,
            owed,
            attempts: 0,
            standing: watch::Sender::new(None),
        }
    }

    /// Why this server does not go by what the store says, and what to do; `None` where it does.
    pub(crate) fn standing(&self) -> watch::Receiver<Option<String>> {
        self.standing.subscribe()
    }

    /// The chain that is shown: the file may hold one that cannot be.
    pub(crate) fn shown(&self) -> watch::Receiver<Vec<u8>> {
        self.shown.subscribe()
    }

    /// Follows until `stop`.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) {
        let owed = Arc::clone(&self.owed);
        tokio::join!(self.follow(stop.clone()), owed.run(stop));
    }

    async fn follow(mut self, mut stop: watch::Receiver<bool>) {
        // What a crash, or an older version, left unwritten.
        if let Err(error) = self.publish().await {
            tracing::warn!(error = chain(&error), "files for brokers and the factory were not written");
        }
        loop {
            let pause = match self.look().await {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "a rollover's step, or a certificate, was not taken over"
                    );
                    RETRY
                }
            };
            // After a look, whatever became of it: a hook finds all that the look has written.
            self.owed.settle();
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    pub(super) async fn look(&mut self) -> Result<(), FollowError> {
        let generation = self.store.rollover_generation().await?;
        if generation != self.generation {
            let taken = self.take_over().await;
            self.note(taken.as_ref().err());
            taken?;
            self.generation = generation;
        }
        self.tend_files().await
    }

    /// Has whoever asks for the health know whether a step was taken over.
    fn note(&mut self, failure: Option<&FollowError>) {
        self.attempts = if failure.is_some() { self.attempts.saturating_add(1) } else { 0 };
        let standing = match failure {
            Some(failure) if self.attempts > PATIENCE => Some(format!(
                "the CAs that are in force by the database were not taken over here: {}; with several servers, the folder that \
                 `ca rollover start` made has to be under the same path on this one: copy it there",
                chain(failure)
            )),
            _ => None,
        };
        self.standing.send_replace(standing);
    }

    /// Takes over what the store says now.
    async fn take_over(&mut self) -> Result<(), FollowError> {
        let rollovers = self.store.rollovers().await?;
        let trust = trust::from_store(self.store.as_ref()).await?;
        let trust = trust.ok_or(TrustFileError::None).map_err(LoadError::from)?;
        let lineup = Lineup::of(&self.config, &rollovers)?;
        let known = self.in_office.now();
        let authorities = lineup.authorities(self.store.as_ref(), Some(&known), self.clock.now()).await?;
        self.lineup.replace(lineup);
        self.trust.replace(trust);
        // Brokers know a CA before anything is signed by it.
        self.publish().await?;
        self.in_office.replace(authorities);
        self.show()?;
        tracing::info!(
            issuing_ca = self.lineup.now().active.certificate.subject(),
            trust_bundle = self.trust.now().newest().number(),
            "the CAs in force changed"
        );
        Ok(())
    }

    /// Writes the files that follow from what is in force. Where the CAs for brokers are others now, hooks are owed, whatever
    /// fails after that: the next time they are found unchanged.
    pub(super) async fn publish(&mut self) -> Result<(), FollowError> {
        let files = &self.config.files;
        let written = [
            (files.authorities.clone(), authorities_pem(&self.lineup.now()).into_bytes()),
            (files.trust_bundle.clone(), self.trust.now().newest().signed().to_vec()),
        ];
        let task = tokio::task::spawn_blocking(move || {
            written.map(|(path, content)| {
                put(&path, &content).map_err(|source| FollowError::Unwritable { path, source })
            })
        });
        let [authorities, bundle] = task.await.map_err(|_| FollowError::Gone)?;
        let before = core::mem::replace(&mut self.unwritten, authorities.is_err());
        // One that failed may have come as far as the new file.
        if matches!(authorities, Ok(changed) if changed || before) {
            self.owed.owe_all();
        }
        bundle.and(authorities).map(|_| ())
    }

    /// Shows the certificate in the file from now on, and takes the clients of the CAs in force.
    fn show(&self) -> Result<(), FollowError> {
        let config = tls_settings(&self.config, &self.in_office.now(), &self.clock)?;
        self.shown.send_replace(own_chain(&self.config));
        self.tls.replace(config);
        Ok(())
    }

    /// Renews what is due, and shows the server's certificate anew where its file changed.
    async fn tend_files(&mut self) -> Result<(), FollowError> {
        let (config, lineup) = (Arc::clone(&self.config), self.lineup.now());
        let authorities = self.in_office.now();
        let now = self.clock.now();
        let settings = Arc::clone(&config);
        let renew = move || {
            let (issuer, above) = lineup.for_servers();
            // Without its key nothing is renewed now; the CA of a later look may have one.
            let Some(issuer) = authorities.signer_of(issuer.der()) else { return Vec::new() };
            let ours: Vec<CaCertificate> =
                authorities.all().iter().map(|authority| authority.certificate().clone()).collect();
            let tend = |files: &Files, hosts: Option<&[String]>, lifetime| {
                tend(files, hosts, (issuer.as_ref(), above), &ours, lifetime, now)
            };
            let own = tend(&own_files(&config), None, config.server_lifetime);
            let mut done = vec![(OWN.to_owned(), own)];
            for file in &config.tls_files {
                done.push((file.name.clone(), tend(&file.files, Some(&file.hosts), file.lifetime)));
            }
            done
        };
        let work = move || (renew(), own_chain(&settings));
        let (done, found) = tokio::task::spawn_blocking(work).await.map_err(|_| FollowError::Gone)?;
        let mut failed = Ok(());
        for (name, tended) in done {
            match tended {
                Ok(Tended::Current | Tended::Foreign) => {
                    if self.mended(&name) {
                        // What failed may have come as far as the new file.
                        self.owed.owe(&name);
                    }
                }
                Ok(Tended::Finished) => {
                    self.mended(&name);
                    self.owed.owe(&name);
                    // Whoever made it ended before it wrote that down.
                    self.untold = true;
                }
                Ok(Tended::Renewed(why, made)) => {
                    self.mended(&name);
                    self.owed.owe(&name);
                    tracing::info!(name, ?why, %made, "a server's certificate was renewed");
                    let detail = format!("{name}: {made}");
                    let event = NewEvent::new(now, EventKind::TlsCertificateRenewed, detail);
                    if let Err(error) = self.store.add_peer_event(made.serial, event).await {
                        tracing::warn!(%error, "an event could not be written to the audit trail");
                        self.untold = true;
                    }
                }
                Err(error) => {
                    if !self.failing.contains(&name) {
                        self.failing.push(name.clone());
                        self.event(EventKind::TlsCertificateFailed, format!("{name}: {}", chain(&error)))
                            .await;
                    }
                    failed = Err(error);
                }
            }
        }
        if self.untold {
            put_certificates_in_trail(&self.config, self.store.as_ref(), &self.in_office.now(), now).await?;
            self.untold = false;
        }
        let as_shown = *self.shown.borrow() == found;
        let showing = if as_shown { Ok(()) } else { self.show() };
        self.unshown = if showing.is_err() { self.unshown.saturating_add(1) } else { 0 };
        if let Err(error) = &showing
            && self.unshown == PATIENCE + 1
        {
            let detail = format!("{OWN}: is not shown, the one before is: {}", chain(error));
            self.event(EventKind::TlsCertificateFailed, detail).await;
        }
        showing?;
        Ok(failed?)
    }

    async fn event(&self, kind: EventKind, detail: String) {
        let event = NewEvent::new(self.clock.now(), kind, detail);
        if let Err(error) = self.store.add_event(event, Duration::ZERO).await {
            tracing::warn!(%error, "an event could not be written to the audit trail");
        }
    }

    /// Whether a renewal failed the last time, and does no more.
    fn mended(&mut self, name: &str) -> bool {
        let before = self.failing.len();
        self.failing.retain(|failing| failing != name);
        self.failing.len() < before
    }
}

/// Puts the certificates that are kept renewed into the audit trail, where they are not there: `init` has no server that writes
/// it, and whoever renews one may end before that is written.
pub(crate) async fn put_certificates_in_trail(
    config: &Config,
    store: &dyn Store,
    authorities: &Authorities,
    now: UnixTime,
) -> Result<(), StoreError> {
    let ours: Vec<CaCertificate> =
        authorities.all().iter().map(|authority| authority.certificate().clone()).collect();
    put_in_trail(store, (OWN, &own_files(config)), &ours, now).await?;
    for file in &config.tls_files {
        put_in_trail(store, (&file.name, &file.files), &ours, now).await?;
    }
    Ok(())
}

/// What this server's own certificate is called in events.
const OWN: &str = "enroll-server";

/// This server's chain as it stands in its file.
fn own_chain(config: &Config) -> Vec<u8> {
    std::fs::read(&config.files.server_certificate).unwrap_or_default()
}

fn own_files(config: &Config) -> Files {
    let (certificate, key) = (config.files.server_certificate.clone(), config.files.server_key.clone());
    Files { certificate, key, key_mode: 0o600, owner: None }
}

/// The settings of the HTTPS listener: the certificate in its file, and the clients of the CAs that have a key.
pub(crate) fn tls_settings(
    config: &Config,
    authorities: &Authorities,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, LoadError> {
    recover(&own_files(config))?;
    let path: &Path = &config.files.server_certificate;
    let shown = certificates(path)?.into_iter().map(CertificateDer::from).collect();
    let key = FileKey::load(&config.files.server_key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
    let signing: Vec<&Arc<Issuer>> = authorities.signers().map(|(_, signer)| signer).collect();
    let issuing: Vec<CertificateDer<'_>> =
        signing.iter().map(|signer| CertificateDer::from(signer.certificate().der())).collect();
    Ok(server_config(shown, key, &issuing, Arc::clone(clock))?)
}
