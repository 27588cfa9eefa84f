//! The router behind the guard: `rumqttd` on a loopback port, on a thread of its own.
//!
//! The port wants a password that only this process knows, so that no other program of the machine gets past
//! the guard. The router's own thread has no way to be stopped; it idles until the process ends.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::io;

use rand_core::RngCore as _;
use rumqttc::mqttbytes::v5::ConnectAuth;
use rumqttd::protocol::v5::V5;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::config::BrokerError;
use super::listener::OperatorDoor;
use super::packets::MAX_PACKET;

/// A router that runs; dropping it closes its port.
#[derive(Debug)]
pub(super) struct Upstream {
    address: SocketAddr,
    secret: Zeroizing<String>,
    _stop: oneshot::Sender<()>,
}

impl Upstream {
    /// Starts a router for so many connections.
    pub(super) async fn start(connections: usize) -> Result<Self, BrokerError> {
        let mut secret = [0; 32];
        rand_core::OsRng.try_fill_bytes(&mut secret).map_err(|_| BrokerError::Random)?;
        let secret = Zeroizing::new(hex::encode(secret));
        let mut last = io::Error::other("no port was free");
        for _ in 0..ATTEMPTS {
            match attempt(connections, &secret).await {
                Ok((address, stop)) => return Ok(Self { address, secret, _stop: stop }),
                Err(error) => last = error,
            }
        }
        Err(BrokerError::Router(last))
    }

    /// The loopback port.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a CONNECT packet needs to be let in.
    pub(super) fn login(&self) -> ConnectAuth {
        ConnectAuth::UsernamePassword {
            username: USER.to_owned(),
            password: self.secret.as_bytes().to_vec().into(),
        }
    }

    /// The same for a person.
    pub(super) fn door(&self) -> OperatorDoor {
        OperatorDoor { address: self.address, user: USER, password: self.secret.clone() }
    }

    /// Opens a connection to the router.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

const USER: &str = "guard";
/// How often another port is tried when the one that was free is taken in between.
const ATTEMPTS: u32 = 5;

async fn attempt(connections: usize, secret: &str) -> io::Result<(SocketAddr, oneshot::Sender<()>)> {
    // `rumqttd` does not tell which port it got, so a free one is looked for first.
    let address = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let (failed_sender, mut failed) = oneshot::channel();
    let settings = server_settings(address, secret);
    let router = RouterConfig {
        // The guard's own observer besides the devices, and sessions that are about to be taken over.
        max_connections: connections.saturating_mul(2).saturating_add(8),
        max_outgoing_packet_count: 200,
        max_segment_size: 1024 * 1024,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    std::thread::Builder::new().name("rumqttd".to_owned()).spawn(move || {
        let outcome = serve(settings, router, stopped);
        if let Err(error) = outcome {
            // Nobody listens any more once the router was seen to answer.
            let _late = failed_sender.send(error);
        }
    })?;
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        match failed.try_recv() {
            Ok(error) => return Err(error),
            Err(oneshot::error::TryRecvError::Closed) => return Err(io::Error::other("the router ended")),
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        match TcpStream::connect(address).await {
            Ok(_answers) => return Ok((address, stop)),
            Err(error) if tokio::time::Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Runs until `stopped`, on this thread: `rumqttd` waits for its router without yielding.
fn serve(settings: ServerSettings, router: RouterConfig, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sender = Router::new(0, router).spawn();
    runtime.block_on(async {
        let mut server = Server::new(settings, sender, V5);
        tokio::select! {
            outcome = server.start(LinkType::Remote) => {
                outcome.map_err(|error| io::Error::other(error.to_string()))
            }
            _ = stopped => Ok(()),
        }
    })
}

fn server_settings(listen: SocketAddr, secret: &str) -> ServerSettings {
    ServerSettings {
        name: "behind-the-guard".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: MAX_PACKET as usize,
            max_inflight_count: 200,
            auth: Some(HashMap::from([(USER.to_owned(), secret.to_owned())])),
            external_auth: None,
            dynamic_filters: true,
        },
    }
}
