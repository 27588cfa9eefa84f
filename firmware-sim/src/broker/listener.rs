//! Takes connections, as many as the cap allows.

use core::net::SocketAddr;
use std::collections::HashSet;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use super::admin::{Admin, AdminError};
use super::config::{BrokerConfig, BrokerError};
use super::registry::Registry;
use super::revocation::{Follower, serial};
use super::session::{self, Context, Ended, Event};
use super::upstream::Upstream;

/// A broker that runs; dropping it ends all its connections.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    context: Context,
    tasks: [JoinHandle<()>; 2],
}

/// A way around the guard, for the operator of the demonstration: plain MQTT 5 on the loopback interface.
#[derive(Debug)]
pub struct OperatorDoor {
    /// Where.
    pub address: SocketAddr,
    /// User name.
    pub user: &'static str,
    /// Password.
    pub password: Zeroizing<String>,
}

impl Broker {
    /// Starts a broker on the current tokio runtime. It serves when this returns.
    ///
    /// # Errors
    /// Says what is missing or wrong; nothing runs then.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let unbound = |source| BrokerError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(unbound)?;
        Self::start_on(listener, config).await
    }

    /// As [`start`](Self::start), on a socket that listens already: for those who must know the port before the
    /// files are there. `config.listen` is not looked at.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on(listener: TcpListener, config: BrokerConfig) -> Result<Self, BrokerError> {
        let unbound = |source| BrokerError::Listen { address: config.listen, source };
        let address = listener.local_addr().map_err(unbound)?;
        let (follower, gate) = Follower::start(config.clone())?;
        let upstream = Arc::new(Upstream::start(config.limits.connections).await?);
        let (events, _) = broadcast::channel(EVENTS);
        let BrokerConfig { limits, time, .. } = config;
        let context = Context { gate, upstream, registry: Registry::default(), limits, time, events };
        let tasks =
            [tokio::spawn(follower.follow(limits.crl_poll)), tokio::spawn(accept(listener, context.clone()))];
        Ok(Self { address, context, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on. A receiver that is too slow misses events.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.context.events.subscribe()
    }

    /// Number of devices that are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.context.registry.count()
    }

    /// Whether the list in force revokes this serial number, big-endian, with or without leading zeros.
    #[must_use]
    pub fn refuses(&self, raw: &[u8]) -> bool {
        self.context.gate.borrow().revoked.contains(serial(raw))
    }

    /// Names of the CAs whose certificates are taken, in DER.
    #[must_use]
    pub fn issuers(&self) -> Arc<HashSet<Vec<u8>>> {
        Arc::clone(&self.context.gate.borrow().issuers)
    }

    /// Ends all connections and closes the port; what dropping does, waited for.
    pub async fn stop(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // Aborted, or ended by itself: it is gone either way.
            let _gone = task.await;
        }
    }

    /// An observer of all topics, inside this process.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub async fn admin(&self) -> Result<Admin, AdminError> {
        Admin::connect(&self.context.upstream).await
    }

    /// The way around the guard. Its password is a secret of this run.
    #[must_use]
    pub fn operator_door(&self) -> OperatorDoor {
        self.context.upstream.door()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Events that are kept for a receiver that is slow.
const EVENTS: usize = 4096;

async fn accept(listener: TcpListener, context: Context) {
    let places = Arc::new(Semaphore::new(context.limits.connections));
    // Dropped with this task, and all sessions with it.
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let context = context.clone();
                        sessions.spawn(async move {
                            session::serve(stream, context).await;
                            drop(place);
                        });
                    }
                    Err(_) => {
                        // Closed at once: a place in a queue would cost what the cap is there to save.
                        let _listeners = context.events.send(Event::Ended { device: None, why: Ended::Full });
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors, most likely; some end soon.
                    tokio::time::sleep(core::time::Duration::from_millis(50)).await;
                }
            },
            Some(_ended) = sessions.join_next() => {}
        }
    }
}
