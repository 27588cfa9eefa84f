//! What the next connection goes out with: read from the records each time, so that a renewal, a new trust bundle or
//! another broker counts from the next connection on, whoever made the change.

use std::sync::Arc;

use agent_core::platform::{ClientIdentity, Server, TransportError};
use agent_core::slots::IdentityError;
use agent_core::x509::Validity;
use sha2::{Digest as _, Sha256};
use shared::UnixTime;

use crate::config::{Config, Timeouts};
use crate::in_use::{self, InUseError, Issued};
use crate::keystore::{DeviceKey, DeviceKeyStore};
use crate::provision::Provision;
use crate::startup::BUILT;
use crate::state_dir::StateDir;
use crate::storage::FileStorage;
use crate::tls::{self, TlsStream};

/// How often the records are read until key and certificate belong together: a renewal changes both.
const ATTEMPTS: usize = 3;

/// Says what time it is; the process's own clock but for tests.
pub(super) type Clock = fn() -> UnixTime;

/// Names one certificate: the SHA-256 of its DER form.
pub(super) type Fingerprint = [u8; 32];

/// Reads the records of one device.
#[derive(Clone, Debug)]
pub(super) struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: StateDir,
    keys: DeviceKeyStore,
    trust: Vec<u8>,
    timeouts: Timeouts,
    clock: Clock,
}

/// A connection to the broker, and how long it may last.
pub(super) struct Upstream {
    pub(super) stream: TlsStream,
    /// The certificate it was opened with.
    pub(super) fingerprint: Fingerprint,
    /// Its serial number, in hexadecimal as `agent status` has it.
    pub(super) serial: String,
    /// The end of that certificate.
    pub(super) ends: UnixTime,
    /// Where it leads.
    pub(super) broker: String,
}

/// Why there is no connection to the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoUpstream {
    #[error(transparent)]
    Identity(#[from] InUseError),
    #[error("the certificate ended at {0}; see: agent status")]
    Ended(UnixTime),
    #[error("broker {broker}: {error}")]
    Broker { broker: String, error: TransportError },
}

impl Source {
    pub(super) fn new(config: &Config, dir: StateDir, provision: &Provision, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            dir,
            keys: provision.key_store(),
            trust: provision.trust_bundle().to_vec(),
            timeouts: config.network,
            clock,
        }))
    }

    pub(super) fn clock(&self) -> Clock {
        self.0.clock
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// Which certificate is in use; `None` where there is none.
    pub(super) async fn in_use(&self) -> Result<Option<Fingerprint>, InUseError> {
        match in_use::certificate(&mut self.storage()).await {
            Ok(issued) => Ok(Some(fingerprint(&issued))),
            Err(InUseError::NotEnrolled) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Connects to the broker with the identity in use.
    pub(super) async fn connect(&self) -> Result<Upstream, NoUpstream> {
        let (issued, key, anchors) = self.read().await?;
        let leaf = issued.leaf();
        let ends = leaf.as_ref().map(|leaf| leaf.not_after()).unwrap_or_default();
        let serial = leaf.map(|leaf| crate::cli::serial(leaf.serial())).unwrap_or_default();
        let now = (self.0.clock)();
        let floor = issued.floor.max(BUILT);
        if ends < now.max(floor) {
            return Err(NoUpstream::Ended(ends));
        }
        let chain: Vec<&[u8]> = issued.chain.iter().map(Vec::as_slice).collect();
        let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
        let server = Server {
            host: &issued.broker.host,
            port: issued.broker.port,
            anchors: &anchors,
            // A clock behind what was known before is wrong.
            validity: if now >= floor { Validity::At(now) } else { Validity::NotEndedBy(floor) },
        };
        let broker = format!("{}:{}", server.host, server.port);
        let identity = ClientIdentity { key: &key, chain: &chain };
        match Box::pin(tls::connect(server, Some(identity), &self.0.timeouts)).await {
            Ok(stream) => Ok(Upstream { stream, fingerprint: fingerprint(&issued), serial, ends, broker }),
            Err(error) => Err(NoUpstream::Broker { broker, error }),
        }
    }

    async fn read(&self) -> Result<(Issued, DeviceKey, Vec<Vec<u8>>), InUseError> {
        let mut storage = self.storage();
        let mut keys = self.0.keys.clone();
        let anchors = in_use::anchors(&mut storage, &self.0.trust).await?;
        let mut attempt = 1;
        loop {
            let issued = in_use::certificate(&mut storage).await;
            let read = match issued {
                Ok(issued) => in_use::key(&mut storage, &mut keys, &issued).await.map(|key| (issued, key)),
                Err(error) => Err(error),
            };
            match read {
                Ok((issued, key)) => return Ok((issued, key, anchors)),
                Err(
                    InUseError::NoKey
                    | InUseError::Certificate(IdentityError::OtherKey | IdentityError::Damaged),
                ) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn storage(&self) -> FileStorage {
        FileStorage::new(self.0.dir.clone())
    }
}

fn fingerprint(issued: &Issued) -> Fingerprint {
    Sha256::digest(issued.chain.first().map(Vec::as_slice).unwrap_or_default()).into()
}
