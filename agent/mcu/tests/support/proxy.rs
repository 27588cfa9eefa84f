//! A TCP proxy that cuts a connection after a number of bytes.

use core::cell::Cell;
use core::pin::pin;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::network::listen;

/// Passes connections on to a port, one at a time.
pub(crate) struct Proxy {
    listener: TcpListener,
    target: u16,
    /// Its own port.
    pub(crate) port: u16,
    cut: Notify,
    /// Bytes that went to the device over the last connection, and from it.
    pub(crate) passed: (Cell<usize>, Cell<usize>),
}

/// After how many bytes a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes to the device.
    pub(crate) to_device: usize,
    /// Bytes from it.
    pub(crate) from_device: usize,
}

impl Limits {
    /// No cut.
    pub(crate) const NONE: Self = Self { to_device: usize::MAX, from_device: usize::MAX };
}

impl Proxy {
    /// In front of `target`.
    pub(crate) async fn new(target: u16) -> Self {
        let (listener, port) = listen().await;
        Self { listener, target, port, cut: Notify::new(), passed: Default::default() }
    }

    /// Passes one connection on, until one side closes it, a limit is reached or [`cut`](Self::cut) is called.
    pub(crate) async fn pass(&self, limits: Limits) {
        let (device, _) = self.listener.accept().await.unwrap();
        let peer = TcpStream::connect(("127.0.0.1", self.target)).await.unwrap();
        device.set_nodelay(true).unwrap();
        peer.set_nodelay(true).unwrap();
        let (mut from_device, mut to_device) = device.into_split();
        let (mut from_peer, mut to_peer) = peer.into_split();
        let ended = {
            let down = pin!(copy(&mut from_peer, &mut to_device, limits.to_device, &self.passed.0));
            let up = pin!(copy(&mut from_device, &mut to_peer, limits.from_device, &self.passed.1));
            tokio::select! {
                () = down => true,
                () = up => true,
                () = self.cut.notified() => false,
            }
        };
        if ended && to_device.shutdown().await.is_ok() {
            // A reset in place of an orderly end could overtake bytes that the device has not read yet.
            drop((from_peer, to_peer));
            let mut rest = Vec::new();
            let _reset = from_device.read_to_end(&mut rest).await;
        }
    }

    /// Cuts the connection that passes now.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

async fn copy(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    limit: usize,
    passed: &Cell<usize>,
) {
    passed.set(0);
    let mut buffer = [0; 2048];
    while passed.get() < limit {
        let most = buffer.len().min(limit - passed.get());
        let count = match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        passed.set(passed.get() + count);
    }
}
