//! One device and one hostile server, brought together for one connection.

use std::io;

use tokio::join;

use super::device::{Address, Device, Visit};
use super::hostile::{Hostile, Wrote};
use super::network::listen;
use super::pki::{Authority, Identity};
use super::settled;

/// The two sides.
pub(crate) struct Stage {
    pub(crate) root: Authority,
    /// What the server could show: good for [`Self::HOST`].
    pub(crate) identity: Identity,
    pub(crate) device: Device,
}

impl Stage {
    /// Whom the device calls.
    pub(crate) const HOST: &'static str = "enroll.example";

    /// A device that trusts the CA of the server's certificate.
    pub(crate) fn new() -> Self {
        let root = Authority::root("root");
        let identity = root.server(Self::HOST);
        Self { root, identity, device: Device::default() }
    }

    /// Lets the device call while the server plays `script`, and says what became of it and what the device wrote.
    pub(crate) async fn play(
        &self,
        script: impl AsyncFnOnce(&mut Hostile<'_>) -> io::Result<()>,
    ) -> (Visit, Vec<Wrote>) {
        let (listener, port) = listen().await;
        self.device.network.written.borrow_mut().clear();
        let to = Address { host: Self::HOST, port, anchor: &self.root.der };
        let server = async {
            let mut peer = Hostile::accept(&listener, &self.identity).await.unwrap();
            // The device may be gone before the end of the script.
            let _broken_off = script(&mut peer).await;
            peer.outlast().await
        };
        let (visit, mut keys) = settled(async { join!(self.device.visit(to), server) }).await;
        let wrote = keys.read(&self.device.network.written.borrow());
        (visit, wrote)
    }
}
