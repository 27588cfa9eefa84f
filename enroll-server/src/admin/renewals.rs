//! Renewals that an operator wants.

use shared::DeviceId;

use super::{Admin, AdminError, not_found};
use crate::store::{Page, Selection, Turns, Wanted, WantedPage};

impl Admin {
    /// Wants a renewal of one device, now.
    ///
    /// # Errors
    /// Where there is no such device, or it has no certificate in force.
    pub async fn want_renewal(&self, device: &DeviceId) -> Result<Wanted, AdminError> {
        let turns = Turns { begin: self.now(), before: 0, rate: None };
        let wanted = self.want_renewals(Selection::One(device.clone()), turns, Page::first(1)).await?;
        if wanted.done > 0 {
            return Ok(wanted);
        }
        let state = self.device(device).await?.state;
        Err(AdminError::NothingToRenew { device: device.clone(), state })
    }

    /// Wants a renewal of each device in one page of a selection, each in its turn. Devices without a certificate in
    /// force are left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn want_renewals(
        &self,
        selection: Selection,
        turns: Turns,
        page: Page,
    ) -> Result<Wanted, AdminError> {
        Ok(self.store.want_renewals(selection, turns, page, self.now()).await?)
    }

    /// Wants no renewal any more of the devices in one page of a selection.
    ///
    /// # Errors
    /// Where the one device is not there, or the store fails.
    pub async fn unwant_renewals(&self, selection: Selection, page: Page) -> Result<Wanted, AdminError> {
        let one = selection.device().cloned();
        let wanted = self.store.unwant_renewals(selection, page, self.now()).await?;
        match one {
            Some(device) if wanted.done + wanted.left == 0 => Err(not_found("device", device)),
            _ => Ok(wanted),
        }
    }

    /// One page of the renewals that are wanted, by device.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn wanted_renewals(
        &self,
        selection: Option<Selection>,
        page: Page,
    ) -> Result<WantedPage, AdminError> {
        Ok(self.store.wanted_renewals(selection, page).await?)
    }

    /// How many devices a group has, or all groups together; for a progress bar.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn count_devices(&self, selection: &Selection) -> Result<Option<u64>, AdminError> {
        let groups = self.store.groups().await?;
        Ok(match selection {
            Selection::Group(group) => {
                groups.iter().find(|(name, _)| name == group.as_str()).map(|(_, count)| *count)
            }
            Selection::All => Some(groups.iter().map(|(_, count)| *count).sum()),
            Selection::One(_) | Selection::Request(..) => Some(1),
            Selection::Tag(_) => None,
        })
    }
}
