//! TCP through embassy-net, over IPv4 only. One connection exists at a time, so that one pair of socket buffers serves all.

use core::net::SocketAddr;

use agent_mcu::net::{ConnectError, Connector, ipv4_literal};
use embassy_net::Stack;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::client::{TcpClient, TcpClientState, TcpConnection};
use embedded_nal_async::TcpConnect as _;

const SEND: usize = 1024;
const RECEIVE: usize = 2048;

/// The buffers of the one socket.
pub type Sockets = TcpClientState<1, SEND, RECEIVE>;

/// Connects over a network stack.
pub struct StackConnector<'n> {
    stack: Stack<'n>,
    client: TcpClient<'n, 1, SEND, RECEIVE>,
}

impl<'n> StackConnector<'n> {
    /// A connector with the buffers of `sockets`, which others may share.
    pub fn new(stack: Stack<'n>, sockets: &'n Sockets) -> Self {
        Self { stack, client: TcpClient::new(stack, sockets) }
    }
}

impl Connector for StackConnector<'_> {
    type Stream<'c>
        = TcpConnection<'c, 1, SEND, RECEIVE>
    where
        Self: 'c;

    async fn connect<'c>(&'c mut self, host: &str, port: u16) -> Result<Self::Stream<'c>, ConnectError> {
        self.stack.wait_config_up().await;
        let address = match ipv4_literal(host)? {
            Some(address) => address.into(),
            None => {
                let found = self.stack.dns_query(host, DnsQueryType::A).await;
                let first = found.ok().and_then(|list| list.first().copied());
                first.ok_or(ConnectError::NoAddress)?.into()
            }
        };
        self.client.connect(SocketAddr::new(address, port)).await.map_err(|_| ConnectError::Unreachable)
    }
}
