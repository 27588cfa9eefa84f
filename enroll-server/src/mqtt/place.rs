//! Where brokers are, and how the connection to each stands.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::link::Link;
use crate::random;
use crate::webhook::Backoff;

/// Address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What a device published as its status.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) broker: Address,
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// Pauses between two attempts to connect.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

/// How the connection to one broker stands.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The connection, if there is one.
    pub(super) link: Option<Link>,
    /// One is being opened.
    pub(super) opening: bool,
    /// When the next attempt is made, after one that failed.
    rest: Option<Instant>,
    failures: u32,
    /// Why there is none.
    problem: Option<String>,
}

impl Place {
    /// Whether a connection is to be opened now.
    pub(super) fn wants_link(&self, now: Instant) -> bool {
        self.link.is_none() && !self.opening && self.rest.is_none_or(|rest| rest <= now)
    }

    /// A connection is there.
    pub(super) fn opened(&mut self, link: Link) {
        *self = Self { link: Some(link), ..Self::default() };
    }

    /// There is none any more, or none came about.
    pub(super) fn failed(&mut self, problem: String, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.link = None;
        self.opening = false;
        self.rest = Some(now + BACKOFF.pause(self.failures, None, random::number()));
        self.problem = Some(problem);
    }

    /// Looks whether the connection has ended; gives why, if it has.
    pub(super) fn look(&mut self, now: Instant) -> Option<String> {
        let why = self.link.as_mut()?.ended()?;
        self.failed(why.clone(), now);
        Some(why)
    }

    /// Why a device of this broker cannot be told now, and when it is tried again.
    pub(super) fn postponed(&self, now: Instant) -> (String, Duration) {
        let problem = self.problem.as_deref().unwrap_or("the connection to the broker is being opened");
        let left = self.rest.map_or(Duration::ZERO, |rest| rest.saturating_duration_since(now));
        (problem.chars().take(MAX_PROBLEM).collect(), left.max(Duration::from_secs(1)))
    }
}

/// Longest problem that is kept.
const MAX_PROBLEM: usize = 200;
