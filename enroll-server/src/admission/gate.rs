//! The decision in a running server: one for all listeners, with permits that are given back when they are dropped.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use appraisal::GroupName;
use shared::DeviceId;
use shared::message::latest::Nonce;
use tokio::time::Instant;

use super::{Admission, AdmissionLimits, Asking, Full, Later, Place, Rank, Source};

/// How much there is of what is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Handshakes under way.
    pub handshakes: usize,
    /// Requests under way.
    pub requests: usize,
    /// Bytes of bodies.
    pub bodies: usize,
}

/// The one that all ask.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    admission: Mutex<Admission>,
    begun: Instant,
    /// The bug that the test with hostile clients has to find.
    #[cfg(test)]
    keeps_permits: bool,
}

impl Gate {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self(Arc::new(Shared {
            admission: Mutex::new(Admission::new(limits)),
            begun: Instant::now(),
            #[cfg(test)]
            keeps_permits: false,
        }))
    }

    /// Plants the bug: places and turns are not given back where a client goes before its time.
    #[cfg(test)]
    pub(crate) fn that_keeps_permits(limits: AdmissionLimits) -> Self {
        let admission = Mutex::new(Admission::new(limits));
        Self(Arc::new(Shared { admission, begun: Instant::now(), keeps_permits: true }))
    }

    /// See [`Admission::load`].
    #[must_use]
    pub fn load(&self) -> Load {
        self.0.lock().load()
    }

    pub(crate) fn connect(&self, from: Source) -> Result<Connected, Full> {
        let place = self.0.lock().connect(from, self.0.now())?;
        Ok(Connected { gate: self.clone(), from, place, handshaking: true })
    }

    pub(crate) fn request(&self, asking: &Asking<'_>) -> Result<Turn, Later> {
        self.0.lock().request(asking, self.0.now())?;
        Ok(Turn { gate: self.clone(), rank: asking.rank() })
    }

    pub(crate) fn begin(&self, proven: bool, left: Option<Duration>) -> Result<(), Later> {
        self.0.lock().begin(proven, left, self.0.now())
    }

    pub(crate) fn identity(&self, device: &DeviceId) -> Result<(), Later> {
        self.0.lock().identity(device, self.0.now())
    }

    pub(crate) fn group(&self, group: &GroupName, left: Option<Duration>) -> Result<(), Later> {
        self.0.lock().group(group, left, self.0.now())
    }

    pub(crate) fn sequel(&self, nonce: &Nonce) -> bool {
        self.0.lock().sequel(nonce, self.0.now())
    }

    pub(crate) fn body(&self, bytes: usize, rank: Rank) -> Result<BodyPermit, Later> {
        self.0.lock().body(bytes, rank)?;
        Ok(BodyPermit { gate: self.clone(), bytes, rank })
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(AdmissionLimits::default())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Admission> {
        // Its counts are whole at every moment, whatever panicked.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// A connection that was taken.
#[derive(Debug)]
pub(crate) struct Connected {
    gate: Gate,
    from: Source,
    place: Place,
    handshaking: bool,
}

impl Connected {
    /// The handshake is done.
    pub(crate) fn handshaken(&mut self) {
        if core::mem::take(&mut self.handshaking) {
            self.gate.0.lock().handshaken();
        }
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        #[cfg(test)]
        if self.gate.0.keeps_permits && self.handshaking {
            return;
        }
        self.handshaken();
        self.gate.0.lock().disconnected(self.from);
    }
}

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Turn {
    gate: Gate,
    rank: Rank,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.gate.0.lock().answered(self.rank);
    }
}

/// Bytes of a body.
#[derive(Debug)]
pub(crate) struct BodyPermit {
    gate: Gate,
    bytes: usize,
    rank: Rank,
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        self.gate.0.lock().body_gone(self.bytes, self.rank);
    }
}
