//! A local MQTT port without TLS that is carried to the broker over the device's identity, so that software that knows
//! no client certificates gets mutual TLS without change.
//!
//! A byte tunnel: client identifier, topics, keep-alive and last will are the program's, and what it may do is the
//! broker's to say, by the identity it sees. Each connection of a program is one connection to the broker, opened by
//! `crate::tls` as the agent's own: same trust, same checks. Does not enroll and does not renew.

pub mod address;
mod gate;
mod listener;
mod source;
mod tunnel;

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::flow::Control;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::owner::{Owner, OwnerError};
use crate::provision::{Provision, ProvisionError};
use crate::state_dir::{StateDir, StateDirError};
use crate::systemd::Notifier;
use address::Listen;
use gate::Gate;
use listener::{Client, Listener};
use source::{Fingerprint, Source};
use tunnel::{Moved, Terms};

/// How often it is looked whether another identity is in use.
const LOOK: Duration = Duration::from_secs(2);
/// How often a stop is looked for.
const POLL: Duration = Duration::from_millis(200);
/// The longest wait until a port that could not be opened is tried again.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// How the proxy is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where programs connect.
    pub listen: Listen,
    /// Permission bits of a Unix socket.
    pub socket_mode: u32,
    /// Owner of a Unix socket; the agent's own user where nobody is named.
    pub socket_owner: Option<Owner>,
    /// Most connections at once; one more is closed at once.
    pub connections: usize,
    /// After how long without a byte a connection is closed.
    pub idle: Duration,
    /// How long a connection may go on after a renewal; `None` until its own end, or that of its certificate.
    pub drain: Option<Duration>,
}

impl ProxySettings {
    /// The defaults, at this place.
    #[must_use]
    pub const fn at(listen: Listen) -> Self {
        Self {
            listen,
            socket_mode: 0o600,
            socket_owner: None,
            connections: 32,
            idle: Duration::from_secs(3_600),
            drain: None,
        }
    }
}

/// Why the proxy cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The port or socket cannot be opened.
    #[error("the proxy cannot listen on {listen}")]
    Listen {
        /// Where.
        listen: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others can write to the socket's directory.
    #[error(
        "others can write to {} (mode {mode:04o}) and could put their own socket there; \
         use a directory such as /run/agent, or run: chmod go-w {}", directory.display(), directory.display()
    )]
    OpenDirectory {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The socket's owner is not known.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A provisioned file cannot be used.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// A proxy, ready to listen.
#[derive(Debug)]
pub struct Proxy {
    settings: ProxySettings,
    source: Source,
}

impl Proxy {
    /// A proxy of the device whose records lie in `dir`.
    #[must_use]
    pub fn new(config: &Config, settings: ProxySettings, dir: StateDir, provision: &Provision) -> Self {
        Self { settings, source: Source::new(config, dir, provision, crate::clock::now) }
    }

    /// Listens and carries connections until the future is dropped, which ends them. `ready` hears the address.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn serve(&self, ready: impl FnOnce(&str)) -> Result<(), ProxyError> {
        let listener = Listener::bind(&self.settings).await?;
        let address = listener.address();
        let connections = self.settings.connections;
        tracing::info!(event = "proxy-listening", address, connections, "programs reach the broker here");
        ready(&address);
        let in_use = watch::Sender::new(self.source.in_use().await.unwrap_or(None));
        let terms = Terms { idle: self.settings.idle, drain: self.settings.drain, in_use };
        tokio::select! {
            () = accept(&listener, &self.source, &terms, connections) => {}
            () = keep_looking(&self.source, &terms.in_use) => {}
        }
        Ok(())
    }

    /// As [`serve`](Self::serve), and tries again for ever where it cannot listen.
    pub async fn keep_serving(&self) {
        let mut pause = Duration::from_secs(1);
        loop {
            if let Err(error) = self.serve(|_| ()).await {
                let (cause, seconds) = (crate::cli::causes(&error), pause.as_secs());
                tracing::error!(
                    event = "proxy-failed",
                    cause,
                    seconds,
                    "the proxy cannot listen; trying again"
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }
}

/// Runs a proxy by itself until `control` asks it to stop: what `agent proxy` does.
///
/// # Errors
/// Where it cannot listen.
pub async fn run(
    config: &Config,
    settings: &ProxySettings,
    control: &Control,
    notifier: Notifier,
    watchdog: Option<Duration>,
) -> Result<(), ProxyError> {
    let dir = StateDir::open(&config.state_dir)?;
    let provision = Provision::load(config)?;
    let proxy = Proxy::new(config, settings.clone(), dir, &provision);
    let heartbeat =
        watchdog.map_or_else(Heartbeat::silent, |period| Heartbeat::new(notifier.clone(), period));
    let ready = |address: &str| {
        notifier.status(&format!("programs reach the broker at {address}"));
        notifier.notify("READY=1");
    };
    let outcome = tokio::select! {
        outcome = proxy.serve(ready) => outcome,
        () = until_stopped(control, &heartbeat) => Ok(()),
    };
    notifier.notify("STOPPING=1");
    outcome
}

async fn until_stopped(control: &Control, heartbeat: &Heartbeat) {
    let mut ticks = interval(POLL);
    while !control.is_stopped() {
        heartbeat.beat();
        ticks.tick().await;
    }
}

/// Takes programs in, each with a task of its own.
async fn accept(listener: &Listener, source: &Source, terms: &Terms, connections: usize) {
    let places = Arc::new(Semaphore::new(connections));
    let gate = Arc::new(Gate::default());
    let mut tunnels = JoinSet::new();
    let mut number: u64 = 0;
    let mut told = None;
    loop {
        match listener.accept().await {
            Ok(client) => {
                number += 1;
                // One that waited for a place would hang without knowing why.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    if told.is_none_or(|told: Instant| told.elapsed() >= gate::MOMENT) {
                        told = Some(Instant::now());
                        let (event, client) = ("proxy-full", client.name);
                        tracing::warn!(event, client, connections, "too many connections; closed at once");
                    }
                    continue;
                };
                let (source, terms, gate) = (source.clone(), terms.clone(), Arc::clone(&gate));
                tunnels.spawn(async move {
                    Box::pin(serve(client, number, &source, &terms, &gate)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(event = "proxy-failed", %error, "the proxy does not accept");
                sleep(Duration::from_secs(1)).await;
            }
        }
        while tunnels.try_join_next().is_some() {}
    }
}

/// One program, from its first byte to the end.
async fn serve(client: Client, connection: u64, source: &Source, terms: &Terms, gate: &Gate) {
    let Client { mut stream, name } = client;
    let (begin, moved) = (Instant::now(), Moved::default());
    let mut upstream = match tunnel::open(&mut stream, source, gate, &moved).await {
        Ok(upstream) => upstream,
        Err(refusal) => {
            let (event, reason) = ("proxy-refused", refusal.to_string());
            match refusal {
                // Said a moment ago, or nothing to be said at all: a check whether the port is open.
                tunnel::Refusal::Moment(_) | tunnel::Refusal::Left => {
                    tracing::debug!(event, connection, client = name, reason, "a connection was not carried");
                }
                _ => tracing::warn!(event, connection, client = name, reason, "a connection was not carried"),
            }
            return;
        }
    };
    let (broker, serial) = (&upstream.broker, &upstream.serial);
    tracing::info!(
        event = "proxy-opened",
        connection,
        client = name,
        broker,
        serial,
        "a connection is carried"
    );
    // What is known may be older than the certificate this one was opened with, which would then count as replaced.
    look(source, &terms.in_use).await;
    let of = (upstream.fingerprint, upstream.ends);
    let end = tunnel::carry(stream, &mut upstream.stream, of, terms, source.clock(), &moved).await;
    let (sent, received) = (moved.sent.load(Ordering::Relaxed), moved.received.load(Ordering::Relaxed));
    let (seconds, reason) = (begin.elapsed().as_secs(), end.to_string());
    let (event, client) = ("proxy-closed", name);
    tracing::info!(event, connection, client, sent, received, seconds, reason, "a connection ended");
}

/// Keeps known which certificate is in use.
async fn keep_looking(source: &Source, in_use: &watch::Sender<Option<Fingerprint>>) {
    let mut ticks = interval(LOOK);
    loop {
        ticks.tick().await;
        look(source, in_use).await;
    }
}

/// Looks which certificate is in use, and makes it known.
async fn look(source: &Source, in_use: &watch::Sender<Option<Fingerprint>>) {
    match source.in_use().await {
        Ok(found) => {
            in_use.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
        // In the middle of a change, or a disk that fails: what was known still counts.
        Err(error) => tracing::debug!(%error, "the identity in use could not be looked at"),
    }
}
