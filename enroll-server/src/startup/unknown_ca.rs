//! Finds the CAs of a log that nobody here knows: the database is from before the rollover that brought them.
//!
//! Does not add them. A CA without its key has no revocation list, and one that is not among the CAs in force is left out of
//! the file for brokers; so an operator names it in the settings, with its key.

use core::fmt;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use transparency::Leaf;

use super::load::certificates;
use crate::authorities::{Authorities, Authority};
use crate::config::Config;
use crate::issuance::sha256;
use crate::store::Sha256;

/// An issuing CA that signed what is in the log, and is neither in the database nor in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCa {
    /// SHA-256 of its certificate.
    pub sha256: Sha256,
    /// A file of this server that holds its certificate.
    pub file: Option<PathBuf>,
}

impl UnknownCa {
    /// All of them in one sentence.
    pub(super) fn list(cas: &[Self]) -> String {
        cas.iter().map(Self::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for UnknownCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA-256 {}", hex::encode(self.sha256))?;
        match &self.file {
            Some(file) => write!(f, ", found in {}", file.display()),
            None => f.write_str(", in no file here"),
        }
    }
}

/// Those that signed certificates among `leaves`.
pub(super) fn find(config: &Config, authorities: &Authorities, leaves: &[Vec<u8>]) -> Vec<UnknownCa> {
    let known = authorities.all().iter().map(Authority::certificate).map(|ca| sha256(ca.der()));
    let known: BTreeSet<Sha256> = known.collect();
    let issuers = leaves.iter().filter_map(|leaf| match Leaf::decode(leaf) {
        Ok(Leaf::Issued { issuer, .. } | Leaf::Discarded { issuer, .. }) => Some(issuer),
        _ => None,
    });
    let unknown: BTreeSet<Sha256> = issuers.filter(|issuer| !known.contains(issuer)).collect();
    unknown.into_iter().map(|sha256| UnknownCa { sha256, file: file_of(config, &sha256) }).collect()
}

/// Where a rollover put the certificate of a CA that it made; else the file for brokers, which has those of all CAs.
fn file_of(config: &Config, wanted: &Sha256) -> Option<PathBuf> {
    let home = config.files.root_certificate.parent().unwrap_or_else(|| Path::new(""));
    let made = std::fs::read_dir(home.join("ca.d")).into_iter().flatten().flatten();
    let mut places =
        made.map(|folder| folder.path().join("issuing-ca.crt")).chain([config.files.authorities.clone()]);
    places.find(|place| certificates(place).is_ok_and(|ders| ders.iter().any(|der| sha256(der) == *wanted)))
}
