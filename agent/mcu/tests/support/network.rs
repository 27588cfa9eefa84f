//! TCP on the loopback interface, with a record of what the device wrote and, if wanted, in small steps.

use core::cell::RefCell;
use std::io;
use std::rc::Rc;

use agent_mcu::net::{ConnectError, Connector};
use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Connects to the loopback interface, whatever the host is called.
#[derive(Clone, Debug)]
pub(crate) struct Loopback {
    /// Most bytes that one read or write moves.
    pub(crate) step: usize,
    /// Everything the device wrote, over all its connections.
    pub(crate) written: Rc<RefCell<Vec<u8>>>,
}

impl Default for Loopback {
    fn default() -> Self {
        Self { step: usize::MAX, written: Rc::default() }
    }
}

impl Loopback {
    /// One connection.
    pub(crate) async fn stream(&self, port: u16) -> io::Result<Stream> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        Ok(Stream { tcp, settings: self.clone() })
    }
}

impl Connector for Loopback {
    type Stream<'c> = Stream;

    async fn connect(&mut self, _host: &str, port: u16) -> Result<Stream, ConnectError> {
        self.stream(port).await.map_err(|_| ConnectError::Refused)
    }
}

/// A TCP connection with the traits that small devices use.
#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    settings: Loopback,
}

impl ErrorType for Stream {
    type Error = io::Error;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, io::Error> {
        let most = buffer.len().min(self.settings.step);
        self.tcp.read(&mut buffer[..most]).await
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, io::Error> {
        let most = bytes.len().min(self.settings.step);
        let count = self.tcp.write(&bytes[..most]).await?;
        self.settings.written.borrow_mut().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), io::Error> {
        self.tcp.flush().await
    }
}

/// A listener on a free port, and the port.
pub(crate) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
