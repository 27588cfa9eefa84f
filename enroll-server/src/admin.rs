//! What an operator does: makers, devices, tokens, certificates. The command line, the admin API and programs
//! that run the server inside themselves all come through here.
//!
//! Works on the store alone, so it works while a server runs in another process: that server sees a
//! revocation within a fraction of a second.

use core::time::Duration;
use std::path::PathBuf;

use shared::DeviceId;
use zeroize::Zeroizing;

use crate::store::{
    Certificate, Device, Event, ImportReport, Maker, RevocationReason, Serial, StoreError, Token,
};

/// Why an operator's request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds no CA certificate that can endorse IDevIDs.
    #[error("this is no CA certificate of a maker: {problem}")]
    NotAMaker {
        /// What is wrong with it.
        problem: String,
    },
    /// The inventory file has mistakes; nothing was imported.
    #[error("the inventory was not imported; line {line}: {problem}")]
    Inventory {
        /// Line of the first mistake, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// There is no such thing.
    #[error("there is no {what} '{name}'")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The device was revoked; that is for good.
    #[error("the device '{device}' was revoked, which is for good")]
    Revoked {
        /// The device.
        device: DeviceId,
    },
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
    /// Its public name.
    pub id: String,
    /// Its text: the secret, shown once and never kept.
    pub text: Zeroizing<String>,
}

/// The operator's hand on one store.
#[derive(Clone, Debug)]
pub struct Admin;

#[expect(unused_variables, reason = "bodies follow with the store")]
impl Admin {
    /// Trusts the maker CA in `pem`; a maker that is there already stays as it is.
    ///
    /// # Errors
    /// Where `pem` holds no CA certificate, or the store fails.
    pub async fn add_maker(&self, pem: &str) -> Result<Maker, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// All makers.
    ///
    /// # Errors
    /// Where the store fails, as for all below.
    pub async fn makers(&self) -> Result<Vec<Maker>, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// Imports an inventory file with the header `device,model,idevid_sha256`: all of it or nothing.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub async fn import_devices(&self, csv: &str) -> Result<ImportReport, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// All devices, by identifier.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn devices(&self) -> Result<Vec<Device>, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// One device.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn device(&self, device: &DeviceId) -> Result<Device, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// Approves the next enrollment of a device, held or not.
    ///
    /// # Errors
    /// Where there is no such device, or it was revoked.
    pub async fn approve(&self, device: &DeviceId) -> Result<(), AdminError> {
        Err(StoreError::Busy.into())
    }

    /// Revokes a device and all its certificates, for good. Returns how many certificates that were.
    ///
    /// # Errors
    /// Where there is no such device.
    pub async fn revoke(&self, device: &DeviceId, reason: RevocationReason) -> Result<usize, AdminError> {
        Err(StoreError::Busy.into())
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
        Err(StoreError::Busy.into())
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tokens(&self) -> Result<Vec<Token>, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// Revokes a token that was not used.
    ///
    /// # Errors
    /// Where there is no such token.
    pub async fn revoke_token(&self, id: &str) -> Result<(), AdminError> {
        Err(StoreError::Busy.into())
    }

    /// Certificates, newest first: of one device or of all.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn certificates(&self, device: Option<&DeviceId>) -> Result<Vec<Certificate>, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// One certificate.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn certificate(&self, serial: &Serial) -> Result<Certificate, AdminError> {
        Err(StoreError::Busy.into())
    }

    /// The last `count` events, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn events(&self, count: u32) -> Result<Vec<Event>, AdminError> {
        Err(StoreError::Busy.into())
    }
}
