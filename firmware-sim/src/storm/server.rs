//! The server: the admission of the real one, and two queues behind it, for handshakes and for what is asked.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use std::collections::BTreeMap;

use enroll_server::admission::{Admission, AdmissionLimits, Asking, Kind, Later, Place, Rank, Source};
use enroll_server::store::Rate;
use shared::DeviceId;

use super::device::Call;

/// Handshakes cost a part of what a certificate costs: so many times the capacity, and 2,000 a second at least.
const HANDSHAKES: u32 = 8;

/// What a connection brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Its place.
    pub(super) place: Place,
    /// What the device's certificate has left of its life.
    pub(super) left: Duration,
    /// It brings a nonce that it was just given.
    pub(super) prepaid: bool,
}

#[derive(Debug)]
pub(super) struct Server {
    limits: AdmissionLimits,
    admission: Admission,
    /// Those whose request is under way, and what is proved of them.
    asking: BTreeMap<u32, Rank>,
    /// Time of one handshake, and of one certificate, at full load.
    handshake: Duration,
    certificate: Duration,
    /// Until when the handshakes, and the certificates, that came are at work.
    handshakes: Duration,
    certificates: Duration,
    /// Rises with each start of the server.
    pub(super) life: u8,
    away: bool,
}

impl Server {
    pub(super) fn new(capacity: Rate, admits_all: bool) -> Self {
        let certificate = capacity.period() / capacity.count().get();
        let limits =
            AdmissionLimits { rate: (!admits_all).then_some(capacity), ..AdmissionLimits::default() };
        let handshake = (certificate / HANDSHAKES).min(Duration::from_secs(1) / 2_000);
        Self {
            admission: Admission::new(limits.clone()),
            limits,
            asking: BTreeMap::new(),
            handshake,
            certificate,
            handshakes: Duration::ZERO,
            certificates: Duration::ZERO,
            life: 0,
            away: false,
        }
    }

    /// It goes: what was under way is lost, and everything that it remembered.
    pub(super) fn goes(&mut self) {
        self.away = true;
        self.life = self.life.wrapping_add(1);
        self.admission = Admission::new(self.limits.clone());
        self.asking.clear();
        (self.handshakes, self.certificates) = (Duration::ZERO, Duration::ZERO);
    }

    pub(super) const fn returns(&mut self) {
        self.away = false;
    }

    pub(super) const fn is_away(&self) -> bool {
        self.away
    }

    /// A connection comes: when its handshake will be done; `None` where it is closed at once.
    pub(super) fn arrives(&mut self, device: u32, now: Duration) -> Option<(Place, Duration)> {
        let place = self.admission.connect(source(device), now).ok()?;
        self.handshakes = self.handshakes.max(now).saturating_add(self.handshake);
        Some((place, self.handshakes))
    }

    /// Its handshake is done, and it asks: when the answer will be there.
    ///
    /// # Errors
    /// When it is to come again.
    pub(super) fn asks(
        &mut self,
        device: u32,
        call: Call,
        Ticket { place, left, prepaid }: Ticket,
        now: Duration,
    ) -> Result<Duration, Later> {
        self.admission.handshaken();
        let name = DeviceId::new(&format!("SN-{device}")).ok();
        // A device shows its certificate in all calls but those of devices that only want to know the time.
        let identity = name.as_ref().filter(|_| !matches!(call, Call::Time | Call::Enrollment));
        let kind = if prepaid { Kind::Sequel } else { Kind::Beginning };
        let left = identity.map(|_| left);
        let asking = Asking { kind, place, identity, left, by_token: false };
        if let Err(later) = self.admission.request(&asking, now) {
            self.admission.disconnected(source(device));
            return Err(later);
        }
        self.asking.insert(device, asking.rank());
        // Questions cost little beside their handshakes.
        if matches!(call, Call::Renewal | Call::Enrollment) {
            self.certificates = self.certificates.max(now).saturating_add(self.certificate);
            return Ok(self.certificates);
        }
        Ok(now)
    }

    /// The answer is out.
    pub(super) fn answered(&mut self, device: u32) {
        self.admission.answered(self.asking.remove(&device).unwrap_or_default());
        self.admission.disconnected(source(device));
    }
}

/// Each device in a network of its own.
fn source(device: u32) -> Source {
    Source::from(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(device) << 64))))
}
