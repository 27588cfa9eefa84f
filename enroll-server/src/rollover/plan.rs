//! What a rollover is about: the certificates of the new CA and of the one it replaces, and where the new key is.

use std::path::PathBuf;

use ca::{CaCertificate, CaCertificateError};

use crate::config::{IssuingKey, Mistake, key_place};

/// The certificates of a rollover. No key is in it, only where one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The new issuing CA.
    pub issuing: CaCertificate,
    /// The new root; `None` where the root stays.
    pub root: Option<CaCertificate>,
    /// Certificates by the old root that carry those who trust only it: for the new root, or the new issuing CA.
    pub crosses: Vec<CaCertificate>,
    /// Where the new issuing CA's key is: what would stand in a table `[[previous_ca]]` of the settings.
    pub key: String,
    /// The issuing CA that is replaced.
    pub old_issuing: CaCertificate,
    /// The root in force when it began.
    pub old_root: CaCertificate,
}

/// Why a stored plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not of the form that this program writes.
    #[error("the plan of rollover {number} in the store cannot be read")]
    Form {
        /// Which rollover.
        number: u32,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A certificate in it cannot be used.
    #[error("the plan of rollover {number} in the store holds no certificate of a CA as {field}")]
    Certificate {
        /// Which rollover.
        number: u32,
        /// Which certificate.
        field: &'static str,
        /// What it lacks, where it is one.
        source: Option<CaCertificateError>,
    },
    /// Where the key is cannot be understood.
    #[error("where the key of rollover {number} is cannot be understood: {}", Mistake::list(mistakes))]
    Key {
        /// Which rollover.
        number: u32,
        /// All mistakes.
        mistakes: Vec<Mistake>,
    },
}

/// As it is stored: certificates in PEM.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    issuing: String,
    root: Option<String>,
    crosses: Vec<String>,
    key: String,
    old_issuing: String,
    old_root: String,
}

impl Plan {
    /// For the store.
    ///
    /// # Errors
    /// None in practice: texts can always be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let pem = |ca: &CaCertificate| ca::pem::certificate(ca.der());
        serde_json::to_string(&Stored {
            issuing: pem(&self.issuing),
            root: self.root.as_ref().map(pem),
            crosses: self.crosses.iter().map(pem).collect(),
            key: self.key.clone(),
            old_issuing: pem(&self.old_issuing),
            old_root: pem(&self.old_root),
        })
    }

    /// From the store.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn from_json(number: u32, text: &str) -> Result<Self, PlanError> {
        let stored: Stored =
            serde_json::from_str(text).map_err(|source| PlanError::Form { number, source })?;
        let read = |field, pem: &str| {
            let ders = ca::pem::read_certificates(pem.as_bytes());
            let der = ders.ok().and_then(|ders| ders.into_iter().next());
            let der = der.ok_or(PlanError::Certificate { number, field, source: None })?;
            CaCertificate::from_der(&der).map_err(|source| PlanError::Certificate {
                number,
                field,
                source: Some(source),
            })
        };
        Ok(Self {
            issuing: read("issuing", &stored.issuing)?,
            root: stored.root.as_deref().map(|root| read("root", root)).transpose()?,
            crosses: stored.crosses.iter().map(|cross| read("cross", cross)).collect::<Result<_, _>>()?,
            key: stored.key,
            old_issuing: read("old_issuing", &stored.old_issuing)?,
            old_root: read("old_root", &stored.old_root)?,
        })
    }

    /// Where the new key is: its file, where it is in one, and the rest.
    ///
    /// # Errors
    /// All mistakes of the text.
    pub fn place(&self, number: u32) -> Result<(PathBuf, IssuingKey), PlanError> {
        // Paths in it are absolute.
        key_place(&self.key, std::path::Path::new("/"))
            .map_err(|mistakes| PlanError::Key { number, mistakes })
    }

    /// The root above the new issuing CA.
    #[must_use]
    pub fn root_after(&self) -> &CaCertificate {
        self.root.as_ref().unwrap_or(&self.old_root)
    }
}
