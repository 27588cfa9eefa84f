//! What an operator does: makers, devices, tokens, certificates. The command line, the admin API and programs
//! that run the server inside themselves all come through here.
//!
//! Works on the store alone, so it works while a server runs in another process: that server sees a
//! revocation within a fraction of a second.

mod attestation_keys;
mod peers;
mod reference;
mod renewals;

use core::ops::ControlFlow;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use appraisal::MakerCa;
use ca::Serial;
use ca::crl::Reason;
use shared::{DeviceId, UnixTime};
use zeroize::Zeroizing;

use crate::audit::{Caller, EventKind};
use crate::clock::Clock;
use crate::credential::TokenRequest;
use crate::inventory::{self, ImportError, ImportOptions, ImportSummary, Progress};
use crate::issuance::signing;
use crate::maker_crls::{self, CrlFile, HeldCrl, ImportCrlError};
use crate::store::{
    Action, Appraisal, AppraisalFilter, Carried, Certificate, CertificatePage, Device, DeviceFilter,
    DevicePage, DeviceState, Difference, Event, EventQuery, HeldPage, IllegalMove, ImportReport, Label,
    Labelled, ListPlace, MAX_TAGS, Maker, NewEvent, Page, Selection, Store, StoreError, Token, TokenPage,
};

pub use reference::{ReferenceError, ReferenceImport, ReferenceReport};

/// Why an operator's request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The file holds no CA certificate that can endorse IDevIDs.
    #[error("this is no CA certificate of a maker: {problem}")]
    NotAMaker {
        /// What is wrong with it.
        problem: String,
    },
    /// The maker's revocation list was not taken in.
    #[error("the revocation list was not taken in")]
    Crl(#[from] ImportCrlError),
    /// The file holds no certificate that a batch can be added by.
    #[error("this is no certificate of a batch: {problem}")]
    NotABatch {
        /// What is wrong with it.
        problem: String,
    },
    /// The file holds no certificate that can be revoked by itself.
    #[error("nothing was revoked: {problem}")]
    NotAPeer {
        /// What is wrong with it.
        problem: String,
    },
    /// The inventory file has mistakes; nothing was imported.
    #[error("nothing was imported")]
    Inventory(#[from] inventory::BadRow),
    /// The file of attestation keys has mistakes; nothing was registered.
    #[error("nothing was registered")]
    AttestationKeys(#[from] crate::attestation_keys::EntryError),
    /// A maker's name fits more than one.
    #[error("several makers are called '{name}'; give the fingerprint of the one you mean")]
    SeveralMakers {
        /// The name.
        name: String,
    },
    /// There is no such thing.
    #[error("there is no {what} '{name}'")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The device is in a state in which that cannot be done.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    /// The request that was decided on does not wait any more.
    #[error("{device} does not wait with the request {serial} any more; look at the queue again")]
    Replaced {
        /// The device.
        device: DeviceId,
        /// The request that was decided on.
        serial: Serial,
    },
    /// The device would have too many tags.
    #[error("{device} would have more than {MAX_TAGS} tags; nothing was changed")]
    TooManyTags {
        /// The device.
        device: DeviceId,
    },
    /// The device has no certificate in force that could be renewed.
    #[error("{device} is {}: it has no certificate in force to renew", state.name())]
    NothingToRenew {
        /// The device.
        device: DeviceId,
        /// How it stands.
        state: DeviceState,
    },
    /// A revocation is for good, and this reason is not.
    #[error("certificate-hold is no reason to revoke: suspend the device instead")]
    NotFinal,
    /// Reference values or a release key were not taken.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new one-time token.
#[derive(Debug)]
pub struct NewToken {
    /// What a list shows of it.
    pub token: Token,
    /// Its text: the secret, shown once and never kept.
    pub text: Zeroizing<String>,
}

/// The operator's hand on one store.
#[derive(Clone, Debug)]
pub struct Admin {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// Most events in one list.
pub const MAX_EVENTS: u32 = 100_000;
/// Most certificates in one list.
const MAX_LIST: u32 = 1_000_000;

impl Admin {
    /// Works on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The same hand for changes that `caller` causes: the events say so.
    #[must_use]
    pub fn acting_as(&self, caller: impl Into<Caller>) -> Self {
        Self { store: self.store.acting_as(caller.into()), clock: Arc::clone(&self.clock) }
    }

    /// The time by the clock of this hand.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// The store that it works on.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Trusts the maker CA in `pem`, under the common name of its subject; a maker that is there already stays as
    /// it is.
    ///
    /// # Errors
    /// Where `pem` holds no CA certificate, or the store fails.
    pub async fn add_maker(&self, pem: &str) -> Result<Maker, AdminError> {
        self.add_maker_as(pem, None).await
    }

    /// As [`add_maker`](Self::add_maker), under the name that policies call it by.
    ///
    /// # Errors
    /// As [`add_maker`](Self::add_maker), and where the name is no good.
    pub async fn add_maker_as(&self, pem: &str, name: Option<&str>) -> Result<Maker, AdminError> {
        let not_a_maker = |problem: String| AdminError::NotAMaker { problem };
        let list =
            ca::pem::read_certificates(pem.as_bytes()).map_err(|error| not_a_maker(error.to_string()))?;
        let [der] = list.as_slice() else {
            return Err(not_a_maker(format!("expected one certificate, found {}", list.len())));
        };
        let name = name.map_or_else(|| common_name(der), |name| Some(name.to_owned()));
        let name = name.ok_or_else(|| not_a_maker("its subject has no common name; give a name".into()))?;
        let checked = MakerCa::new(&name, der).map_err(|error| not_a_maker(error.to_string()))?;
        let now = self.clock.now();
        let sha256 = checked.maker().fingerprint;
        Ok(self.store.add_maker(Maker { name, sha256, added: now, der: der.clone() }).await?)
    }

    /// All makers.
    ///
    /// # Errors
    /// Where the store fails, as for all below.
    pub async fn makers(&self) -> Result<Vec<Maker>, AdminError> {
        Ok(self.store.makers().await?)
    }

    /// Takes in the revocation list of a maker, given by its name or by the SHA-256 of its CA; `chain` are files
    /// with certificates of CAs below the maker's, where one of those issued the list.
    ///
    /// # Errors
    /// Where there is no such maker, or the list cannot be believed, is not in force or older than the one held.
    pub async fn import_maker_crl(
        &self,
        maker: &str,
        crl: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<HeldCrl, AdminError> {
        maker_crls::import(&self.store, maker, CrlFile { crl, chain }, self.clock.now()).await
    }

    /// The makers' revocation lists that are held.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn maker_crls(&self) -> Result<Vec<HeldCrl>, AdminError> {
        maker_crls::list(&self.store, self.clock.now()).await
    }

    /// Imports an inventory file with the header `device,model,idevid_sha256`: all of it or nothing. What is
    /// known already is never overwritten.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub async fn import_devices(&self, csv: &str) -> Result<ImportReport, AdminError> {
        let entries = inventory::parse(csv)?;
        Ok(self.store.import(entries, self.clock.now()).await?)
    }

    /// Imports an inventory file of any length; see [`inventory`]. `watch` hears how far it is and can end it; the
    /// file is read on the calling thread.
    ///
    /// # Errors
    /// Says what is wrong with the file, or where it stopped.
    pub async fn import_file(
        &self,
        path: &Path,
        options: &ImportOptions,
        watch: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
    ) -> Result<ImportSummary, ImportError> {
        inventory::run(self.store.as_ref(), self.clock.now(), path, options, watch).await
    }

    /// One page of the devices that `filter` finds, by identifier.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn devices(&self, filter: DeviceFilter, page: Page) -> Result<DevicePage, AdminError> {
        Ok(self.store.devices(filter, page).await?)
    }

    /// One page of the requests that wait for approval, by device.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn held(&self, selection: Option<Selection>, page: Page) -> Result<HeldPage, AdminError> {
        Ok(self.store.held(selection, page).await?)
    }

    /// Changes the group or the tags of one page of a selection.
    ///
    /// # Errors
    /// Where the one device is not there, or would have too many tags.
    pub async fn label(
        &self,
        selection: Selection,
        label: Label,
        page: Page,
    ) -> Result<Labelled, AdminError> {
        let one = selection.device().cloned();
        let labelled = self.store.label(selection, label, page, self.clock.now()).await?;
        match one {
            Some(device) if labelled.seen == 0 => Err(not_found("device", device)),
            Some(device) if !labelled.full.is_empty() => Err(AdminError::TooManyTags { device }),
            _ => Ok(labelled),
        }
    }

    /// One device.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn device(&self, device: &DeviceId) -> Result<Device, AdminError> {
        self.store.device(device).await?.ok_or_else(|| not_found("device", device))
    }

    /// Approves the held request of a device and no other; where none is held, its next enrollment.
    ///
    /// # Errors
    /// Where there is no such device, or it is out of service.
    pub async fn approve(&self, device: &DeviceId) -> Result<(), AdminError> {
        self.act_on(device, Action::Approve).await.map(|_| ())
    }

    /// Revokes a device and all its certificates, for good. Returns how many certificates that were.
    ///
    /// # Errors
    /// Where there is no such device, it is retired, or the reason is not for good.
    pub async fn revoke(&self, device: &DeviceId, reason: Reason) -> Result<u64, AdminError> {
        Ok(self.act_on(device, Action::Revoke(reason)).await?.certificates)
    }

    /// Carries out an action for one device.
    ///
    /// # Errors
    /// Where there is no such device, or its state does not allow it.
    pub async fn act_on(&self, device: &DeviceId, action: Action) -> Result<Carried, AdminError> {
        self.decide(device, None, action).await
    }

    /// As [`act_on`](Self::act_on), as long as the request `seen` is the one that waits, and no other that came in its place.
    ///
    /// # Errors
    /// As [`act_on`](Self::act_on), and where that request does not wait any more.
    pub async fn decide(
        &self,
        device: &DeviceId,
        seen: Option<Serial>,
        action: Action,
    ) -> Result<Carried, AdminError> {
        let selection = match seen {
            Some(serial) => Selection::Request(device.clone(), serial),
            None => Selection::One(device.clone()),
        };
        let mut carried = self.act(selection, action, Page::first(1)).await?;
        if let Some(illegal) = carried.illegal.pop() {
            return Err(illegal.into());
        }
        if carried.done > 0 {
            return Ok(carried);
        }
        let Device { device, .. } = self.device(device).await?;
        Err(match seen {
            Some(serial) => AdminError::Replaced { device, serial },
            None => not_found("device", device),
        })
    }

    /// Carries out an action for one page of a selection; devices for which it is illegal are left as they are
    /// and named.
    ///
    /// # Errors
    /// Where the action is none, or the store fails.
    pub async fn act(&self, selection: Selection, action: Action, page: Page) -> Result<Carried, AdminError> {
        if matches!(action, Action::Revoke(reason) if !reason.is_final()) {
            return Err(AdminError::NotFinal);
        }
        Ok(self.store.act(selection, action, page, self.clock.now()).await?)
    }

    /// Makes a one-time token, for one device or for any.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn create_token(
        &self,
        device: Option<&DeviceId>,
        lifetime: Duration,
    ) -> Result<NewToken, AdminError> {
        let request = TokenRequest { device: device.cloned(), group: None, lifetime, short: false };
        let mut made = self.create_tokens(&request, 1).await?;
        made.pop().ok_or(AdminError::Random)
    }

    /// One page of the tokens, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tokens(&self, page: Page<ListPlace>) -> Result<TokenPage, AdminError> {
        Ok(self.store.tokens(page).await?)
    }

    /// Revokes a token: if it was not used, it never will be.
    ///
    /// # Errors
    /// Where there is no such token.
    pub async fn revoke_token(&self, id: &str) -> Result<(), AdminError> {
        let found = self.store.revoke_token(id.to_owned(), self.clock.now()).await?;
        if found { Ok(()) } else { Err(not_found("token", id)) }
    }

    /// Certificates, newest first: of one device or of all.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn certificates(&self, device: Option<&DeviceId>) -> Result<Vec<Certificate>, AdminError> {
        Ok(self.store.certificates(device.cloned(), MAX_LIST).await?)
    }

    /// One page of the certificates of one device or of all, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn certificate_page(
        &self,
        device: Option<DeviceId>,
        page: Page<ListPlace>,
    ) -> Result<CertificatePage, AdminError> {
        Ok(self.store.certificate_page(device, page).await?)
    }

    /// One certificate.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn certificate(&self, serial: Serial) -> Result<Certificate, AdminError> {
        self.store.certificate(serial).await?.ok_or_else(|| not_found("certificate", serial))
    }

    /// The last `count` events, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn events(&self, count: u32) -> Result<Vec<Event>, AdminError> {
        self.find_events(EventQuery::last(count)).await
    }

    /// Events that fit the query, in its order; [`MAX_EVENTS`] at most.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn find_events(&self, query: EventQuery) -> Result<Vec<Event>, AdminError> {
        let limit = query.limit.min(MAX_EVENTS);
        Ok(self.store.events(EventQuery { limit, ..query }).await?)
    }

    /// Records of appraisals, newest first.
    ///
    /// # Errors
    /// Where the store fails, as for the next four.
    pub async fn appraisals(&self, filter: AppraisalFilter) -> Result<Vec<Appraisal>, AdminError> {
        Ok(self.store.appraisals(filter).await?)
    }

    /// How many records there are.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn count_appraisals(&self, filter: AppraisalFilter) -> Result<u64, AdminError> {
        Ok(self.store.count_appraisals(filter).await?)
    }

    /// To which ends policies and candidates came.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn differences(&self) -> Result<Vec<Difference>, AdminError> {
        Ok(self.store.differences().await?)
    }

    /// What a server left under a name.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn note(&self, name: &str) -> Result<Option<String>, AdminError> {
        Ok(self.store.note(name).await?)
    }

    /// Why nothing is signed, where an older database was put in place and nobody has decided yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn signing_stopped(&self) -> Result<Option<String>, AdminError> {
        Ok(signing::stopped(self.store.as_ref()).await?)
    }

    /// Decides to go on with a database that was older than what was published: from now on it is signed again.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn accept_restored(&self, why: String) -> Result<(), AdminError> {
        // First the event: nothing is signed again of which the trail does not say who decided it.
        let event = NewEvent::new(self.now(), EventKind::DatabaseAccepted, why);
        self.store.add_event(event, Duration::ZERO).await?;
        Ok(signing::go_on(self.store.as_ref()).await?)
    }

    /// Closes the store: what is queued is finished first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn close(&self) -> Result<(), AdminError> {
        Ok(self.store.close().await?)
    }
}

pub(crate) fn not_found(what: &'static str, name: impl ToString) -> AdminError {
    AdminError::NotFound { what, name: name.to_string() }
}

fn common_name(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}
