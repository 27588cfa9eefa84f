//! What pages can get at: reading for whoever is signed in, acting for whoever has the role and sent a form of theirs.
//!
//! The parts of the server are private to this file. A page gets a [`Reading`], which changes nothing, or an
//! [`Acting`], which is made of three proofs: a session, its role, and a form that was checked.

use core::fmt;
use core::marker::PhantomData;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use ca::Serial;
use ca::crl::Reason;
use shared::DeviceId;

use super::form::Checked;
use super::session::SignedIn;
use super::{Refusal, Role};
use crate::admin::{Admin, NewToken};
use crate::api::Api;
use crate::audit::{Caller, Door};
use crate::credential::TokenRequest;
use crate::store::{Action, Session, Sessions, Store, StoreError};

mod reading;

pub(super) use reading::Reading;

/// The way to the parts of the server.
#[derive(Debug)]
pub(super) struct Access {
    api: Arc<Api>,
}

impl Access {
    pub(super) const fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    /// The sessions themselves: there is nobody yet when they are asked for.
    pub(super) fn sessions(&self) -> &dyn Sessions {
        let store: &dyn Store = self.api.issuance.store().as_ref();
        store
    }

    /// The same for changes that `caller` causes.
    pub(super) fn sessions_as(&self, caller: Caller) -> Arc<dyn Store> {
        self.api.issuance.store().acting_as(caller)
    }

    /// For whoever is signed in: every role may look.
    pub(super) fn reading(&self, _who: &SignedIn) -> Reading<'_> {
        Reading::new(&self.api)
    }

    /// For whoever has the role, and sent a form of theirs.
    pub(super) fn acting<R: Level>(&self, who: &SignedIn, form: &Checked) -> Result<Acting<R>, Refusal> {
        if who.role() < R::ROLE {
            return Err(Refusal::Role { needed: R::ROLE });
        }
        let admin = self.api.admin.acting_as(form.caller(who));
        Ok(Acting { admin, session: who.id().to_owned(), level: PhantomData })
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.api.metrics.served("dashboard", outcome);
    }

    /// Counts an attempt to sign in with a credential that is none.
    pub(super) fn guessed(&self, from: Option<SocketAddr>) {
        self.api.refusals.guesses().count(Door::Dashboard, from);
    }
}

/// A role, as a type.
pub(super) trait Level {
    /// The least role that is enough.
    const ROLE: Role;
}

/// Whoever is signed in.
#[derive(Debug)]
pub(super) enum Anyone {}
/// An operator or more.
#[derive(Debug)]
pub(super) enum Operator {}
/// An administrator.
#[derive(Debug)]
pub(super) enum Administrator {}

impl Level for Anyone {
    const ROLE: Role = Role::Viewer;
}
impl Level for Operator {
    const ROLE: Role = Role::Operator;
}
impl Level for Administrator {
    const ROLE: Role = Role::Admin;
}

/// The operator's hand, in the name of someone who may use it: what it does stands in the audit trail with their name.
pub(super) struct Acting<R> {
    admin: Admin,
    session: String,
    level: PhantomData<R>,
}

impl<R> fmt::Debug for Acting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acting").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Acting<Anyone> {
    /// Ends the session that it acts in.
    pub(super) async fn sign_out(self) -> Result<(), StoreError> {
        let now = self.admin.now();
        self.admin.store().end_sessions(Some(self.session), now).await.map(drop)
    }
}

/// The request that a form is about, if it names one.
fn serial(seen: Option<&str>) -> Result<Option<Serial>, Refusal> {
    seen.map(str::parse)
        .transpose()
        .map_err(|_unreadable| Refusal::Malformed("the form names no request".to_owned()))
}

impl Acting<Operator> {
    /// Approves the held request `serial` of a device; where none is named, its next enrollment.
    pub(super) async fn approve(&self, device: &DeviceId, seen: Option<&str>) -> Result<(), Refusal> {
        Ok(self.admin.decide(device, serial(seen)?, Action::Approve).await.map(drop)?)
    }

    /// Denies the held request `serial` of a device.
    pub(super) async fn deny(&self, device: &DeviceId, seen: Option<&str>, why: &str) -> Result<(), Refusal> {
        let action = Action::deny(why).map_err(|error| Refusal::Malformed(error.to_string()))?;
        Ok(self.admin.decide(device, serial(seen)?, action).await.map(drop)?)
    }

    /// Takes a device out of service for a time.
    pub(super) async fn suspend(&self, device: &DeviceId) -> Result<(), Refusal> {
        Ok(self.admin.act_on(device, Action::Suspend).await.map(drop)?)
    }

    /// Back into service.
    pub(super) async fn resume(&self, device: &DeviceId) -> Result<(), Refusal> {
        Ok(self.admin.act_on(device, Action::Resume).await.map(drop)?)
    }

    /// Wants a renewal of a device.
    pub(super) async fn renew(&self, device: &DeviceId) -> Result<(), Refusal> {
        Ok(self.admin.want_renewal(device).await.map(drop)?)
    }
}

impl Acting<Administrator> {
    /// Revokes a device for good.
    pub(super) async fn revoke(&self, device: &DeviceId, reason: Reason) -> Result<(), Refusal> {
        Ok(self.admin.revoke(device, reason).await.map(drop)?)
    }

    /// Ends a device's life.
    pub(super) async fn retire(&self, device: &DeviceId) -> Result<(), Refusal> {
        Ok(self.admin.act_on(device, Action::Retire).await.map(drop)?)
    }

    /// Makes a one-time token.
    pub(super) async fn create_token(&self, request: &TokenRequest) -> Result<NewToken, Refusal> {
        self.admin.create_tokens(request, 1).await?.pop().ok_or(Refusal::Random)
    }

    /// Withdraws a token.
    pub(super) async fn revoke_token(&self, id: &str) -> Result<(), Refusal> {
        Ok(self.admin.revoke_token(id).await?)
    }
}

/// A session that is to be opened by certificate.
pub(super) fn session_of(
    administrator: &crate::config::Administrator,
    new: crate::store::NewSession,
    now: shared::UnixTime,
) -> Session {
    Session {
        sha256: new.sha256,
        id: new.id,
        label: administrator.name.clone(),
        role: administrator.role,
        certificate: Some(administrator.sha256),
        created: now,
        seen: now,
        expires: now.after(new.lifetime),
    }
}

/// How far back the overview looks.
pub(super) const LATELY: Duration = Duration::from_secs(86_400);
