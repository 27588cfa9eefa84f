//! Who is let in: the one place that decides which connections and requests are served now, and when the others come
//! again.
//!
//! [`Admission`] is a pure decision: it is told what comes and when, and says yes or no. [`Gate`] is the same for a
//! running server, with permits that come back by themselves. Memory is bounded whatever comes: tables have a fixed size,
//! and what does not fit is forgotten, those first that are worth nothing.
//!
//! Three times it is asked about each request:
//!
//! 1. before the handshake, where nothing is known but the address: caps on connections and handshakes, in all and of one
//!    address. Whoever comes too many is closed upon; nothing could be said to it;
//! 2. before the request is looked at, where TLS has told who asks: the rate that was set, in two lanes, so that those
//!    who proved nothing never take the place of those who did. The newest are turned away, with a time to come again
//!    that is each one's own, so that the server is then just busy; a renewal whose certificate would run out until then
//!    is served whatever the rate says;
//! 3. where the device's group is known, before anything is verified or signed for it.
//!
//! It does not judge requests: what is let in is appraised like any other.

mod bucket;
mod gate;
mod limits;
mod shares;
mod sign_ins;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod turns;

use core::time::Duration;

use appraisal::GroupName;
use shared::DeviceId;
use shared::limits::MAX_REQUEST_LARGE;
use shared::message::latest::Nonce;

use crate::store::Rate;

pub use bucket::window;
pub(crate) use gate::Connected;
pub use gate::{Gate, Load};
pub use limits::AdmissionLimits;
pub use shares::Rank;
pub use sign_ins::SignIns;
pub use source::Source;

use bucket::{Bucket, Fill};
use shares::Shares;
use table::{Table, Worth};
use turns::{Lane, Turns};

/// The decision. `now` is the time since any fixed moment; it never goes backwards.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    connections: usize,
    handshakes: usize,
    requests: Shares,
    bodies: Shares,
    sources: Table<Source, Neighbour>,
    identities: Table<DeviceId, Bucket>,
    groups: Table<GroupName, Bucket>,
    nonces: Table<Nonce, Bucket>,
    turns: Turns,
}

/// What is kept of an address.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbour {
    open: usize,
    arrivals: Bucket,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Full {
    /// All places are taken, the reserve too.
    #[error("as many connections are open as may be")]
    Connections,
    /// Too many handshakes are under way.
    #[error("as many TLS handshakes are under way as may be")]
    Handshakes,
    /// The address has as many connections as one may have.
    #[error("the address has as many connections as one may have")]
    Address,
    /// The address connects too often.
    #[error("the address connects more often than one may")]
    AddressRate,
}

/// What a connection that was taken may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Ask.
    Ordinary,
    /// Show who it is: only a renewal that is about to run out is served.
    Reserve,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where its connection has its place.
    pub place: Place,
    /// The device, where TLS has proved it: never what a body claims, in whose name anybody could ask.
    pub identity: Option<&'a DeviceId>,
    /// What the certificate that proves it has left of its life; zero where it has ended.
    pub left: Option<Duration>,
    /// Nothing is done or read of it without a token: an operator's or a broker's.
    pub by_token: bool,
}

impl Asking<'_> {
    /// What is proved of who asks.
    #[must_use]
    pub fn rank(&self) -> Rank {
        match self.left {
            Some(left) => Rank::of_ldevid(left),
            None if self.by_token || self.identity.is_some() => Rank::Proven,
            None => Rank::Unproven,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something begins: counts for the rate.
    Beginning,
    /// It belongs to what began: it brings a nonce that was just given. Or it is public, or an operator's; or it is told
    /// by [`Admission::begin`] that it begins something.
    Sequel,
}

/// Come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; told to come again in {} s", after.as_secs())]
pub struct Later {
    /// Why.
    pub reason: Busy,
    /// When, from now.
    pub after: Duration,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Busy {
    /// More requests begin than the rate allows.
    #[error("more requests begin than limits.rate allows")]
    Rate,
    /// Too many requests are under way, or the connection has only a place in the reserve.
    #[error("as many requests or connections are under way as may be")]
    Requests,
    /// This device asks too often.
    #[error("the device asks more often than limits.identity_rate allows")]
    Identity,
    /// Too many of its group ask.
    #[error("devices of the group ask more often than its rate allows")]
    Group,
    /// Bodies fill the memory that is for them.
    #[error("request bodies fill what limits.bodies_mib allows")]
    Bodies,
}

impl Full {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Handshakes, Self::Address, Self::AddressRate];

    /// The stable name, as in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Address => "address",
            Self::AddressRate => "address-rate",
        }
    }
}

impl Busy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rate, Self::Requests, Self::Identity, Self::Group, Self::Bodies];

    /// The stable name, as in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Requests => "requests",
            Self::Identity => "identity",
            Self::Group => "group",
            Self::Bodies => "bodies",
        }
    }
}

/// Most addresses without a connection that are remembered.
const SOURCES: usize = 16_384;
/// Most devices that are remembered.
const IDENTITIES: usize = 65_536;
/// Most groups that are remembered.
const GROUPS: usize = 4_096;
/// Most nonces that are remembered.
const NONCES: usize = 65_536;
/// How often a nonce can be brought in a minute.
const SEQUELS: core::num::NonZeroU32 = core::num::NonZeroU32::MIN.saturating_add(5);
/// When whoever finds no room for its body, or shows a token, comes again; its jitter comes on top.
const A_WHILE: Duration = Duration::from_secs(5);
/// A renewal with less than this left is served where others find all requests or connections taken.
const URGENT: Duration = Duration::from_secs(3_600);

impl Admission {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        let turns = Turns::new(limits.rate, limits.longest_wait);
        Self {
            connections: 0,
            handshakes: 0,
            requests: Shares::default(),
            bodies: Shares::default(),
            sources: Table::new(limits.connections.saturating_add(limits.reserve).saturating_add(SOURCES)),
            identities: Table::new(IDENTITIES),
            groups: Table::new(GROUPS),
            nonces: Table::new(NONCES),
            turns,
            limits,
        }
    }

    /// A connection comes, with a handshake to be done. What is taken is to be given back with
    /// [`handshaken`](Self::handshaken) and [`disconnected`](Self::disconnected).
    ///
    /// # Errors
    /// Why it is to be closed.
    pub fn connect(&mut self, from: Source, now: Duration) -> Result<Place, Full> {
        let limits = &self.limits;
        if self.connections >= limits.connections.saturating_add(limits.reserve) {
            return Err(Full::Connections);
        }
        if self.handshakes >= limits.handshakes {
            return Err(Full::Handshakes);
        }
        let fill = limits.address_rate.map(Fill::all_at_once);
        let worth = |neighbour: &Neighbour| match neighbour.arrivals.full_for(now) {
            _ if neighbour.open > 0 => Worth::Held,
            Some(_) => Worth::Nothing,
            None => Worth::Some,
        };
        let neighbour = self.sources.entry(from, worth).ok_or(Full::Connections)?;
        if neighbour.open >= limits.per_address {
            return Err(Full::Address);
        }
        if let Some(fill) = fill {
            neighbour.arrivals.take(fill, 0, now).map_err(|_| Full::AddressRate)?;
        }
        neighbour.open += 1;
        self.handshakes += 1;
        self.connections += 1;
        Ok(if self.connections > limits.connections { Place::Reserve } else { Place::Ordinary })
    }

    /// A handshake has come to its end, good or bad.
    pub const fn handshaken(&mut self) {
        self.handshakes = self.handshakes.saturating_sub(1);
    }

    /// A connection has ended.
    pub fn disconnected(&mut self, from: Source) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(neighbour) = self.sources.get_mut(&from) {
            neighbour.open = neighbour.open.saturating_sub(1);
        }
    }

    /// A request comes. Where it is let in, [`answered`](Self::answered) is to follow, with its rank.
    ///
    /// # Errors
    /// When it is to come again.
    pub fn request(&mut self, asking: &Asking<'_>, now: Duration) -> Result<(), Later> {
        let rank = asking.rank();
        let limits = &self.limits;
        if (asking.place == Place::Reserve && rank != Rank::Urgent)
            || !self.requests.take(rank, 1, limits.requests, limits.reserve)
        {
            return Err(Later { reason: Busy::Requests, after: self.no_place(asking, now) });
        }
        let may = self.may_ask(asking, now);
        if may.is_err() {
            self.requests.give_back(rank, 1);
        }
        may
    }

    /// When whoever finds no place comes again. A path that wants a token proves nothing: whoever asks there without one would
    /// move the times of those who did prove who they are, and is told a while that is nobody's turn.
    fn no_place(&mut self, asking: &Asking<'_>, now: Duration) -> Duration {
        if asking.by_token {
            return A_WHILE;
        }
        let lane = Lane::of(asking.identity.is_some() || asking.left.is_some());
        self.turns.later(lane, asking.left, now)
    }

    fn may_ask(&mut self, asking: &Asking<'_>, now: Duration) -> Result<(), Later> {
        if let Some(device) = asking.identity {
            self.identity(device, now)?;
        }
        match asking.kind {
            Kind::Beginning => self.begin(asking.identity.is_some(), asking.left, now),
            Kind::Sequel => Ok(()),
        }
    }

    /// A request of `device`, which has shown its LDevID. [`request`](Self::request) asks this where it knows the device; to be
    /// asked where that turns out later.
    ///
    /// # Errors
    /// When it is to come again.
    pub fn identity(&mut self, device: &DeviceId, now: Duration) -> Result<(), Later> {
        let Some(rate) = self.limits.identity_rate else { return Ok(()) };
        let take = spend(&mut self.identities, device.clone(), rate, now);
        take.map_err(|after| Later { reason: Busy::Identity, after })
    }

    /// A request that was let in turns out to begin something: it counts for the rate. `proven` says whether TLS has
    /// proved whose it is, `left` is as in [`Asking`].
    ///
    /// # Errors
    /// When it is to come again.
    pub fn begin(&mut self, proven: bool, left: Option<Duration>, now: Duration) -> Result<(), Later> {
        if self.limits.rate.is_none() {
            return Ok(());
        }
        self.turns.ask(Lane::of(proven), left, now).map_err(|after| Later { reason: Busy::Rate, after })
    }

    /// A request that was let in has its answer, or was given up.
    pub const fn answered(&mut self, rank: Rank) {
        self.requests.give_back(rank, 1);
    }

    /// Whether a request still belongs to the challenge whose nonce it brings. A nonce is good for as many as a device sends whose
    /// answers are lost; whoever sends more begins something with each.
    pub fn sequel(&mut self, nonce: &Nonce, now: Duration) -> bool {
        // Without a rate nothing counts that begins.
        self.limits.rate.is_none() || spend(&mut self.nonces, *nonce, Rate::per_minute(SEQUELS), now).is_ok()
    }

    /// A certificate is asked for, for a device of `group`; `left` as in [`Asking`].
    ///
    /// # Errors
    /// When it is to come again.
    pub fn group(&mut self, group: &GroupName, left: Option<Duration>, now: Duration) -> Result<(), Later> {
        let Some(rate) = self.limits.groups.get(group).copied().or(self.limits.group_rate) else {
            return Ok(());
        };
        match spend(&mut self.groups, group.clone(), rate, now) {
            Err(after) if !runs_out(left, URGENT) => Err(Later { reason: Busy::Group, after }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A body of so many bytes comes; [`body_gone`](Self::body_gone) is to follow, with the same.
    ///
    /// # Errors
    /// When it is to come again.
    pub const fn body(&mut self, bytes: usize, rank: Rank) -> Result<(), Later> {
        let reserve = self.limits.reserve.saturating_mul(MAX_REQUEST_LARGE);
        if self.bodies.take(rank, bytes, self.limits.bodies, reserve) {
            Ok(())
        } else {
            Err(Later { reason: Busy::Bodies, after: A_WHILE })
        }
    }

    /// A body is not in memory any more.
    pub const fn body_gone(&mut self, bytes: usize, rank: Rank) {
        self.bodies.give_back(rank, bytes);
    }

    /// How many connections, handshakes and requests there are, and how many bytes of bodies.
    #[must_use]
    pub const fn load(&self) -> Load {
        let Self { connections, handshakes, requests, bodies, .. } = self;
        let (requests, bodies) = (requests.taken(), bodies.taken());
        Load { connections: *connections, handshakes: *handshakes, requests, bodies }
    }
}

/// Whether a certificate that has not ended has less than this left. `left` as in [`Asking`].
fn runs_out(left: Option<Duration>, within: Duration) -> bool {
    left.is_some_and(|left| !left.is_zero() && left < within)
}

/// Takes one from the bucket of `key`, which is full where it is not known.
fn spend<K: core::hash::Hash + Eq>(
    table: &mut Table<K, Bucket>,
    key: K,
    rate: Rate,
    now: Duration,
) -> Result<(), Duration> {
    let worth = |bucket: &Bucket| if bucket.full_for(now).is_some() { Worth::Nothing } else { Worth::Some };
    // Nothing is counted on here, so that there is always room.
    table.entry(key, worth).map_or(Ok(()), |bucket| bucket.take(Fill::all_at_once(rate), 0, now))
}
