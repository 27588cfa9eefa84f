//! Notices at a start that the database is older than what was published, brings in what the log and the newest revocation
//! lists know, and stops signing until an operator has decided.
//!
//! Two heads stand outside of the database and are never ahead of it in an orderly life: the log's checkpoint, and the
//! number of the revocation list. Both are in the database before they are in a file.

use core::cmp::Reverse;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::Serial;
use ca::crl::Reason;
use shared::UnixTime;
use transparency::Checkpoint;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::load::{self, LoadError};
use super::unknown_ca::{self, UnknownCa};
use crate::authorities::{Authorities, Authority};
use crate::config::Config;
use crate::issuance::sha256;
use crate::store::{Missed, MissedList, MissedLog, Revocation, Store};
use crate::transparency_log::{Divergence, Folder, KeepError, LogKey, behind};

/// Why what was published cannot be brought in.
#[derive(Debug, thiserror::Error)]
pub enum RestoredError {
    /// The log cannot be read.
    #[error("the database is older than the log, and the log cannot be read")]
    Log(#[source] KeepError),
    /// The log is broken.
    #[error(
        "the database is older than the log, and the log's files are not whole; put them back as they were, from a mirror of the log \
         or another backup, then start again; where nobody has them, move {} away: the log goes on from what the database knows, \
         and whoever kept that checkpoint will see it",
        checkpoint.display()
    )]
    Broken {
        /// The file with the checkpoint that is out.
        checkpoint: PathBuf,
        /// What is wrong.
        source: Divergence,
    },
    /// It has certificates of CAs that came with a rollover.
    #[error(
        "the database is from before a rollover: the log has certificates of issuing CAs that neither the database nor the \
         settings know ({}); name each, with its key, in a table [[previous_ca]] of the settings, start again, and repeat the \
         rollover with it",
        UnknownCa::list(cas)
    )]
    UnknownCas {
        /// Which.
        cas: Vec<UnknownCa>,
    },
}

/// Looks, and acts where the database is older. Afterwards log and database agree.
pub(super) async fn look(
    config: &Config,
    store: &Arc<dyn Store>,
    authorities: &Authorities,
    now: UnixTime,
) -> Result<(), super::StartError> {
    let log = missed_log(config, store.as_ref()).await?;
    // What is out is read before what the database knows: another server may publish in between.
    let mut lists = published_lists(config, authorities)?;
    let known = store.generations().await?.crl;
    lists.retain(|list| list.number > known);
    if log.is_none() && lists.is_empty() {
        return Ok(());
    }
    let cas = log.as_ref().map_or_else(Vec::new, |log| unknown_ca::find(config, authorities, &log.leaves));
    if !cas.is_empty() {
        return Err(RestoredError::UnknownCas { cas }.into());
    }
    let told = store.catch_up(Missed { log, lists, known }, now).await?;
    tracing::error!("{told}; nothing is signed until an operator has decided: enroll-server audit accept");
    Ok(())
}

/// The entries that the log has and the database does not know of.
async fn missed_log(config: &Config, store: &dyn Store) -> Result<Option<MissedLog>, super::StartError> {
    let folder = Folder::new(config.transparency.folder.clone());
    // What else is wrong with the log is the keeper's to say.
    let Ok(Some(note)) = folder.checkpoint() else { return Ok(None) };
    let head = store.log_head().await?;
    let origin = super::log_origin_of(&config.tenant);
    let key = LogKey::open(&config.files.log_key, &origin, true)?;
    let Ok(published) = Checkpoint::open(&note, key.verifier()) else { return Ok(None) };
    if published.size <= head.size {
        return Ok(None);
    }
    let checkpoint = folder.checkpoint_path();
    let read = tokio::task::spawn_blocking(move || {
        behind(&folder, &key, &head, &published).map(|leaves| (head.size, leaves))
    });
    let (from, leaves) = match read.await.unwrap_or(Err(KeepError::Gone)) {
        Ok(read) => read,
        Err(KeepError::Diverged(source)) => return Err(RestoredError::Broken { checkpoint, source }.into()),
        Err(error) => return Err(RestoredError::Log(error).into()),
    };
    Ok(Some(MissedLog { from, leaves, note: String::from_utf8_lossy(&note).into_owned() }))
}

/// The revocation lists that are out, of each issuing CA the newest.
fn published_lists(config: &Config, authorities: &Authorities) -> Result<Vec<MissedList>, LoadError> {
    // The file in DER has the list of the CA that issues, that for brokers has those of all.
    let mut ders: Vec<Vec<u8>> = read(&config.crl.der)?.into_iter().collect();
    ders.extend(read(&config.crl.pem)?.iter().flat_map(|pem| ca::pem::read_crls(pem)));
    let mut lists: Vec<_> = ders.iter().filter_map(|der| list(der, authorities)).collect();
    // A crash may have left one of the files older than the other.
    lists.sort_by_key(|list| (list.issuer, Reverse(list.number)));
    lists.dedup_by_key(|list| list.issuer);
    Ok(lists)
}

/// A file that need not be there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match load::read(path) {
        Err(LoadError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// What a list says. One that is cut, or of none of ours, is replaced in a moment and says nothing of the database.
fn list(der: &[u8], authorities: &Authorities) -> Option<MissedList> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let issuer = authorities.all().iter().map(Authority::certificate).find(|certificate| {
        let is_it = |issuer: X509Certificate<'_>| list.verify_signature(issuer.public_key()).is_ok();
        list.issuer().as_raw() == certificate.subject_der()
            && X509Certificate::from_der(certificate.der()).is_ok_and(|(_, issuer)| is_it(issuer))
    })?;
    let number = list.crl_number().and_then(|number| u64::try_from(number).ok())?;
    let entries = list.iter_revoked_certificates().filter_map(|entry| {
        let serial = Serial::from_der_value(entry.raw_serial())?;
        let at = UnixTime::from_secs(u64::try_from(entry.revocation_date.timestamp()).ok()?);
        let reason = entry.reason_code().and_then(|(_, code)| Reason::from_code(code.0));
        Some((serial, Revocation { at, reason: reason.unwrap_or(Reason::Unspecified) }))
    });
    Some(MissedList { number, issuer: sha256(issuer.der()), entries: entries.collect() })
}
