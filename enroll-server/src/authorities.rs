//! The issuing CAs: one signs LDevIDs, older ones finish what was recorded for them and sign their revocation lists.
//!
//! Which CA signs a certificate is part of its recorded intent, so that nothing changes under a request or a crash.
//! Keys come from the configuration; the store knows certificates only.

use std::sync::Arc;

use ca::{CaCertificate, CaCertificateError, Issuer};

use crate::in_force::InForce;
use crate::issuance::sha256;
use crate::store::{IssuerNumber, Store, StoreError};
use shared::UnixTime;

/// One issuing CA.
#[derive(Clone, Debug)]
pub struct Authority {
    number: IssuerNumber,
    certificate: CaCertificate,
    signer: Option<Arc<Issuer>>,
}

impl Authority {
    /// Its number in the store.
    #[must_use]
    pub const fn number(&self) -> IssuerNumber {
        self.number
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// The CA with its key; `None` where the configuration has no key for it: it signs nothing any more, and its
    /// LDevIDs are not taken.
    #[must_use]
    pub const fn signer(&self) -> Option<&Arc<Issuer>> {
        self.signer.as_ref()
    }
}

/// All issuing CAs that the store knows, one of them active.
#[derive(Clone, Debug)]
pub struct Authorities {
    active: Active,
    all: Vec<Authority>,
}

#[derive(Clone, Debug)]
struct Active {
    number: IssuerNumber,
    signer: Arc<Issuer>,
}

/// Why the CAs cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate in the store is that of no CA.
    #[error("the certificate of the issuing CA {number} in the store cannot be read")]
    Damaged {
        /// Which.
        number: IssuerNumber,
        /// What it lacks.
        source: CaCertificateError,
    },
    /// Two keys for one CA.
    #[error("the issuing CA {subject} is configured twice")]
    Twice {
        /// Its subject.
        subject: String,
    },
    /// The store does not give back what was put in.
    #[error("the store does not know the issuing CA that it was told")]
    Lost,
}

impl Authorities {
    /// Makes the CAs known to the store and reads those that it knew. `active` signs LDevIDs from now on, `previous`
    /// did before.
    ///
    /// # Errors
    /// Where the store fails, or a CA is given twice.
    pub async fn open(
        store: &dyn Store,
        active: Arc<Issuer>,
        previous: Vec<Arc<Issuer>>,
        now: UnixTime,
    ) -> Result<Self, AuthoritiesError> {
        let mut signers = vec![active];
        for issuer in previous {
            if signers.iter().any(|other| other.certificate().der() == issuer.certificate().der()) {
                return Err(AuthoritiesError::Twice { subject: issuer.certificate().subject().to_owned() });
            }
            signers.push(issuer);
        }
        // The older first, so that numbers rise with time.
        let ders = signers.iter().rev().map(|signer| signer.certificate().der());
        let known = store.add_issuers(ders.map(|der| (sha256(der), der.to_vec())).collect(), now).await?;
        let mut all = Vec::with_capacity(known.len());
        for issuer in known {
            let number = issuer.number;
            let certificate = CaCertificate::from_der(&issuer.der)
                .map_err(|source| AuthoritiesError::Damaged { number, source })?;
            let signer = signers.iter().find(|signer| signer.certificate().der() == issuer.der).cloned();
            all.push(Authority { number, certificate, signer });
        }
        let signer = signers.into_iter().next().ok_or(AuthoritiesError::Lost)?;
        let found = all.iter().find(|authority| authority.certificate.der() == signer.certificate().der());
        let active = Active { number: found.ok_or(AuthoritiesError::Lost)?.number, signer };
        Ok(Self { active, all })
    }

    /// The CA with this certificate, where its key is there.
    #[must_use]
    pub fn signer_of(&self, der: &[u8]) -> Option<Arc<Issuer>> {
        let found = self.all.iter().find(|authority| authority.certificate.der() == der);
        found.and_then(|authority| authority.signer.clone())
    }

    /// The number of the CA that signs new LDevIDs.
    #[must_use]
    pub const fn active(&self) -> IssuerNumber {
        self.active.number
    }

    /// The CA that signs new LDevIDs.
    #[must_use]
    pub const fn issuer(&self) -> &Arc<Issuer> {
        &self.active.signer
    }

    /// All of them, by number.
    #[must_use]
    pub fn all(&self) -> &[Authority] {
        &self.all
    }

    /// The one with this number.
    #[must_use]
    pub fn get(&self, number: IssuerNumber) -> Option<&Authority> {
        self.all.iter().find(|authority| authority.number == number)
    }

    /// Those that have a key.
    pub fn signers(&self) -> impl Iterator<Item = (IssuerNumber, &Arc<Issuer>)> {
        self.all.iter().filter_map(|authority| Some((authority.number, authority.signer.as_ref()?)))
    }

    /// The same with another key for the active CA: for tests.
    #[cfg(test)]
    pub(crate) fn with_active(mut self, signer: Arc<Issuer>) -> Self {
        for authority in &mut self.all {
            if authority.number == self.active.number {
                authority.signer = Some(Arc::clone(&signer));
            }
        }
        self.active.signer = signer;
        self
    }
}

/// The CAs in force, which can change while the server runs.
pub type InOffice = InForce<Authorities>;
