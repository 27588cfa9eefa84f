//! Everything that pages show, read by the functions that the command line and the admin API read it by.

use std::sync::Arc;

use shared::{DeviceId, UnixTime};

use crate::admin::AdminError;
use crate::api::{Api, Health};
use crate::explanation::Explanation;
use crate::policies::InForce;
use crate::revocation::Revocations;
use crate::store::{
    Activity, AppraisalFilter, Certificate, Counts, Day, Device, DeviceFilter, DevicePage, Difference, Event,
    EventQuery, HeldPage, HeldRequest, ListPlace, Page, Selection, StoreError, TokenPage,
};
use crate::transparency_log::Status;

/// Looks at the server, and changes nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::dashboard) struct Reading<'a> {
    api: &'a Api,
}

/// The issuing CA.
#[derive(Debug)]
pub(in crate::dashboard) struct Issuer {
    /// Its name.
    pub(in crate::dashboard) subject: String,
    /// Its last second.
    pub(in crate::dashboard) not_after: UnixTime,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(api: &'a Api) -> Self {
        Self { api }
    }

    pub(in crate::dashboard) fn now(self) -> UnixTime {
        self.api.admin.now()
    }

    pub(in crate::dashboard) async fn counts(self) -> Result<Counts, StoreError> {
        self.api.issuance.store().counts().await
    }

    pub(in crate::dashboard) async fn endings(self) -> Result<Vec<(Day, u64)>, StoreError> {
        self.api.issuance.store().endings(self.now()).await
    }

    pub(in crate::dashboard) async fn activity(self, since: UnixTime) -> Result<Activity, StoreError> {
        self.api.issuance.store().activity(since).await
    }

    pub(in crate::dashboard) async fn health(self) -> Arc<Health> {
        self.api.health().await
    }

    pub(in crate::dashboard) fn issuer(self) -> Issuer {
        let authorities = self.api.issuance.authorities();
        let certificate = authorities.issuer().certificate();
        Issuer { subject: certificate.subject().to_owned(), not_after: certificate.validity().not_after }
    }

    pub(in crate::dashboard) fn revocations(self) -> Arc<Revocations> {
        Arc::clone(&self.api.revocations.borrow())
    }

    pub(in crate::dashboard) fn log(self) -> Status {
        self.api.log_status.borrow().clone()
    }

    pub(in crate::dashboard) async fn devices(
        self,
        filter: DeviceFilter,
        page: Page,
    ) -> Result<DevicePage, AdminError> {
        self.api.admin.devices(filter, page).await
    }

    pub(in crate::dashboard) async fn device(self, device: &DeviceId) -> Result<Device, AdminError> {
        self.api.admin.device(device).await
    }

    /// The newest certificates of a device, `limit` at most.
    pub(in crate::dashboard) async fn certificates(
        self,
        device: &DeviceId,
        limit: u32,
    ) -> Result<Vec<Certificate>, StoreError> {
        self.api.issuance.store().certificates(Some(device.clone()), limit).await
    }

    /// Why the last requests of a device were decided as they were, the newest first.
    pub(in crate::dashboard) async fn explanations(
        self,
        device: &DeviceId,
        limit: u32,
    ) -> Result<Vec<Explanation>, AdminError> {
        let filter = AppraisalFilter { device: Some(device.clone()), limit, ..AppraisalFilter::default() };
        Ok(self.api.admin.appraisals(filter).await?.iter().map(Explanation::recorded).collect())
    }

    pub(in crate::dashboard) async fn events(self, query: EventQuery) -> Result<Vec<Event>, AdminError> {
        self.api.admin.find_events(query).await
    }

    pub(in crate::dashboard) async fn held(self, page: Page) -> Result<HeldPage, AdminError> {
        self.api.admin.held(None, page).await
    }

    /// The request of a device that waits.
    pub(in crate::dashboard) async fn held_of(
        self,
        device: &DeviceId,
    ) -> Result<Option<HeldRequest>, AdminError> {
        let one = Some(Selection::One(device.clone()));
        Ok(self.api.admin.held(one, Page::first(1)).await?.requests.pop())
    }

    pub(in crate::dashboard) async fn tokens(self, page: Page<ListPlace>) -> Result<TokenPage, AdminError> {
        self.api.admin.tokens(page).await
    }

    /// The policies in force on this server, and what is wrong with their files now.
    pub(in crate::dashboard) fn policies(self) -> (Arc<InForce>, Option<String>) {
        let policies = self.api.issuance.policies();
        (policies.current(), policies.problem())
    }

    pub(in crate::dashboard) async fn differences(self) -> Result<Vec<Difference>, AdminError> {
        self.api.admin.differences().await
    }
}
