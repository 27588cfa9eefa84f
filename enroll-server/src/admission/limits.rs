//! What an operator allows.

use core::time::Duration;
use std::collections::BTreeMap;

use appraisal::GroupName;

use crate::store::Rate;

/// Caps and rates of admission. A rate that is `None` is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Connections that are served at once, over all listeners that speak TLS.
    pub connections: usize,
    /// More connections that are taken only to look who comes: a renewal that is about to run out is served, others are
    /// told to come again.
    pub reserve: usize,
    /// TLS handshakes under way at once.
    pub handshakes: usize,
    /// Connections of one address at once: an IPv4 address, or the /64 of an IPv6 address.
    pub per_address: usize,
    /// New connections of one address.
    pub address_rate: Option<Rate>,
    /// Requests under way at once.
    pub requests: usize,
    /// Bytes of bodies that may be on their way at once, as announced.
    pub bodies: usize,
    /// Requests of all devices that begin something: questions, renewals, enrollments over EST. What a device asks with
    /// a nonce that it was just given belongs to the question.
    pub rate: Option<Rate>,
    /// Requests of one device that has proved who it is.
    pub identity_rate: Option<Rate>,
    /// Certificates for one group of devices, where `groups` says nothing else.
    pub group_rate: Option<Rate>,
    /// Certificates for single groups.
    pub groups: BTreeMap<GroupName, Rate>,
    /// The longest that a device is told to wait.
    pub longest_wait: Duration,
}

impl AdmissionLimits {
    /// For the listener without TLS: its connections are counted apart, so that whoever looks how the server is, or
    /// whether a certificate is revoked, is answered when devices come too many. Nobody has a place in a reserve there.
    #[must_use]
    pub fn without_tls(&self) -> Self {
        Self { reserve: 0, handshakes: self.connections, ..self.clone() }
    }
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            reserve: 200,
            handshakes: 1_500,
            per_address: 500,
            // "60000/m": a site behind one address may come back all at once, and then a thousand a second.
            address_rate: Some(Rate::per_minute(ADDRESS)),
            requests: 1_000,
            bodies: 32 << 20,
            rate: None,
            identity_rate: Some(Rate::per_minute(IDENTITY)),
            group_rate: None,
            groups: BTreeMap::new(),
            longest_wait: Duration::from_secs(24 * 3_600),
        }
    }
}

const ADDRESS: core::num::NonZeroU32 = core::num::NonZeroU32::MIN.saturating_add(59_999);
const IDENTITY: core::num::NonZeroU32 = core::num::NonZeroU32::MIN.saturating_add(599);
