//! The issuing CAs as the store knows them.

use shared::UnixTime;

use super::Sha256;

/// The short number of an issuing CA in the store. 1 is the first one that the store saw.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct IssuerNumber(u32);

impl IssuerNumber {
    /// To be called by a store, with a number that it gave.
    pub(in crate::store) const fn given(number: u32) -> Self {
        Self(number)
    }

    /// The number of the first CA of a store: for tests.
    #[cfg(test)]
    pub(crate) const fn first() -> Self {
        Self(1)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl core::fmt::Display for IssuerNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// An issuing CA that issued, issues or is about to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIssuer {
    /// Its number.
    pub number: IssuerNumber,
    /// SHA-256 of its certificate.
    pub sha256: Sha256,
    /// Its certificate in DER.
    pub der: Vec<u8>,
    /// Since when the store knows it.
    pub added: UnixTime,
}
