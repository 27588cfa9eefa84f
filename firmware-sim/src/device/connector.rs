//! TCP for the microcontroller's stack, over tokio.

use std::io;

use agent_mcu::net::{ConnectError, Connector};
use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Opens TCP connections of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioConnector;

impl Connector for TokioConnector {
    type Stream<'c> = TokioStream;

    async fn connect(&mut self, host: &str, port: u16) -> Result<TokioStream, ConnectError> {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| ConnectError::NoAddress)?;
        let mut error = ConnectError::NoAddress;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Handshakes of small records gain nothing from Nagle's algorithm.
                    stream.set_nodelay(true).map_err(|_| ConnectError::Unreachable)?;
                    return Ok(TokioStream(stream));
                }
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    error = ConnectError::Refused;
                }
                Err(_) => error = ConnectError::Unreachable,
            }
        }
        Err(error)
    }
}

/// A TCP connection with the traits that small devices use.
#[derive(Debug)]
pub struct TokioStream(TcpStream);

impl ErrorType for TokioStream {
    type Error = io::Error;
}

impl Read for TokioStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, io::Error> {
        self.0.read(buffer).await
    }
}

impl Write for TokioStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, io::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), io::Error> {
        self.0.flush().await
    }
}
