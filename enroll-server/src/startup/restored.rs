//! Notices at a start that the database is older than what was published, brings in what the log and the newest revocation
//! list know, and stops signing until an operator has decided.
//!
//! Two heads stand outside of the database and are never ahead of it in an orderly life: the log's checkpoint, and the
//! number of the revocation list. Both are in the database before they are in a file.

use std::fs;
use std::sync::Arc;

use ca::Serial;
use ca::crl::Reason;
use shared::UnixTime;
use transparency::Checkpoint;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::load::LoadError;
use crate::audit::{EventKind, LostRows};
use crate::authorities::Authorities;
use crate::config::Config;
use crate::issuance::{sha256, signing};
use crate::store::{Missed, MissedList, MissedLog, NewEvent, Revocation, Store};
use crate::transparency_log::audit::{self, AuditError, Finding};
use crate::transparency_log::{Folder, LogKey, Source};

/// Why what was published cannot be brought in.
#[derive(Debug, thiserror::Error)]
pub enum RestoredError {
    /// The log cannot be read.
    #[error("the database is older than the log, and the log cannot be read")]
    Log(#[from] AuditError),
    /// The log is broken.
    #[error(
        "the database is older than the log, and the log is broken ({0}); put its files back as they were, then start again"
    )]
    Broken(Finding),
}

/// Looks, and acts where the database is older. Afterwards log and database agree.
pub(super) async fn look(
    config: &Config,
    store: &Arc<dyn Store>,
    authorities: &Authorities,
    now: UnixTime,
) -> Result<(), super::StartError> {
    let log = missed_log(config, store.as_ref()).await?;
    let list = newest_list(config, authorities)?;
    let known = store.generations().await?.crl;
    let newer = list.filter(|list| list.number > known);
    if log.is_none() && newer.is_none() {
        return Ok(());
    }
    let leaves = log.as_ref().map_or(0, |log| log.leaves.len());
    let number = newer.as_ref().map(|list| list.number);
    let caught = store.catch_up(Missed { log, list: newer }, now).await?;
    let mut text = format!(
        "the database is older than what was published: the log has {leaves} leaves more, {}; brought in again: {} \
         certificates, {} revocations",
        number.map_or_else(
            || format!("the revocation list is not newer than {known}"),
            |number| format!("the revocation list has the number {number} and the database knows {known}")
        ),
        caught.certificates,
        caught.revocations,
    );
    if let Some((first, last)) = caught.lost {
        text = format!("{text}; {}", LostRows(first..=last));
    }
    if caught.unknown > 0 {
        text =
            format!("{text}; {} entries of the list are of certificates that nobody knows", caught.unknown);
    }
    // First the note: whoever dies in between has not begun to sign.
    signing::stop(store.as_ref(), text.clone()).await?;
    tracing::error!("{text}; nothing is signed until an operator has decided: enroll-server audit accept");
    store
        .add_event(NewEvent::new(now, EventKind::DatabaseRestored, text), core::time::Duration::ZERO)
        .await?;
    Ok(())
}

/// The entries that the log has and the database does not know of.
async fn missed_log(config: &Config, store: &dyn Store) -> Result<Option<MissedLog>, super::StartError> {
    let folder = Folder::new(config.transparency.folder.clone());
    let head = store.log_head().await?;
    // What else is wrong with the log is the keeper's to say.
    let Ok(Some(note)) = folder.checkpoint() else { return Ok(None) };
    let origin = super::log_origin_of(&config.tenant);
    let key = LogKey::open(&config.files.log_key, &origin, true)?;
    let Ok(published) = Checkpoint::open(&note, key.verifier()) else { return Ok(None) };
    if published.size <= head.size {
        return Ok(None);
    }
    let (source, mut leaves) = (Source::Folder(folder), Vec::new());
    let earlier = head.note.as_deref().map(str::as_bytes);
    let mut quiet = |_: &'static str, _: u64, _: u64| ();
    let walked = audit::walk(&source, key.verifier(), earlier, &mut quiet, |index, entry| {
        if index >= head.size {
            leaves.push(entry.to_vec());
        }
    });
    let walked = walked.await.map_err(RestoredError::from)?;
    if let Some(finding) = walked.findings.into_iter().next() {
        return Err(RestoredError::Broken(finding).into());
    }
    let note = String::from_utf8_lossy(&walked.note).into_owned();
    Ok(Some(MissedLog { from: head.size, leaves, note }))
}

/// The revocation list that is out, where the CA that issues has signed it.
fn newest_list(config: &Config, authorities: &Authorities) -> Result<Option<MissedList>, LoadError> {
    let path = &config.crl.der;
    let der = match fs::read(path) {
        Ok(der) => der,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Unreadable { path: path.clone(), source }),
    };
    let certificate = authorities.issuer().certificate();
    // A list that is cut, or another's, is replaced in a moment and says nothing of the database.
    let Ok((_, list)) = CertificateRevocationList::from_der(&der) else { return Ok(None) };
    let Ok((_, issuer)) = X509Certificate::from_der(certificate.der()) else { return Ok(None) };
    if list.issuer().as_raw() != certificate.subject_der()
        || list.verify_signature(issuer.public_key()).is_err()
    {
        return Ok(None);
    }
    let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
    let entries = list.iter_revoked_certificates().filter_map(|entry| {
        let serial = Serial::from_der_value(entry.raw_serial())?;
        let at = UnixTime::from_secs(u64::try_from(entry.revocation_date.timestamp()).ok()?);
        let reason = entry.reason_code().and_then(|(_, code)| Reason::from_code(code.0));
        Some((serial, Revocation { at, reason: reason.unwrap_or(Reason::Unspecified) }))
    });
    let issuer = sha256(certificate.der());
    Ok(number.map(|number| MissedList { number, issuer, entries: entries.collect() }))
}
