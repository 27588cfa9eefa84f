//! Sign-ins to the dashboard: one-time links, and the sessions that come of them. What is secret of them is not here,
//! only its SHA-256.

use core::time::Duration;

use shared::UnixTime;

use super::{Reply, Sha256};
use crate::dashboard::Role;
use crate::written::{OptionalHex, Text};

/// The store as those see it who sign in.
///
/// To implement: as for [`Store`](super::Store).
pub trait Sessions: Send + Sync {
    /// Adds a link, and drops those that have ended.
    fn add_link(&self, link: Link, now: UnixTime) -> Reply<'_, ()>;

    /// The link with this hash, used or not, while it has not ended.
    fn link(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, Option<Link>>;

    /// Uses a link up and opens the session that it is for, with its label and role, in one transaction. One that was
    /// used before is noted in the trail, once.
    fn redeem_link(&self, link: Sha256, session: NewSession, now: UnixTime) -> Reply<'_, Redeemed>;

    /// Opens a session, and drops those that have ended.
    fn open_session(&self, session: Session, now: UnixTime) -> Reply<'_, ()>;

    /// The session with this hash, while it has not ended.
    fn session(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, Option<Session>>;

    /// Notes that a session was used.
    fn touch_session(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, ()>;

    /// All sessions that have not ended, the last one used first.
    fn sessions(&self, now: UnixTime) -> Reply<'_, Vec<Session>>;

    /// Ends the session of this public name, or all of them together with all links that were not used. Gives how many
    /// sessions and links that were.
    fn end_sessions(&self, id: Option<String>, now: UnixTime) -> Reply<'_, u64>;
}

/// A one-time link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of its secret.
    pub sha256: Sha256,
    /// Whom it was made for, as the trail will name them.
    pub label: String,
    /// What they may do.
    pub role: Role,
    /// When it was made.
    pub created: UnixTime,
    /// Until when it is good.
    pub expires: UnixTime,
    /// Whether it was used.
    pub used: bool,
}

/// A session that a link is to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// SHA-256 of its secret.
    pub sha256: Sha256,
    /// Its public name, for the trail and for signing it out.
    pub id: String,
    /// How long it lasts at most.
    pub lifetime: Duration,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Session {
    /// SHA-256 of its secret.
    #[serde(skip)]
    pub sha256: Sha256,
    /// Its public name, for the trail and for signing it out.
    pub id: String,
    /// Whose it is.
    pub label: String,
    /// What they may do. Where there is a certificate, the settings say it.
    #[serde(with = "Text::<Role>")]
    pub role: Role,
    /// SHA-256 of the client certificate that it was opened with.
    #[serde(with = "OptionalHex")]
    pub certificate: Option<Sha256>,
    /// When it was opened.
    #[serde(with = "Text::<UnixTime>")]
    pub created: UnixTime,
    /// When it was used last, to the minute.
    #[serde(with = "Text::<UnixTime>")]
    pub seen: UnixTime,
    /// When it ends, used or not.
    #[serde(with = "Text::<UnixTime>")]
    pub expires: UnixTime,
}

/// What became of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It opened this session.
    Opened(Session),
    /// It was used before.
    UsedBefore,
    /// There is none, or it has ended.
    Unknown,
}
