//! What has to hold after every fault, in one place.
//!
//! A server that has died is brought up again at rest, in this process: what it does at a start is done, and nobody is
//! served. Then its store and its log are held against what devices, operator and witness know ([`Ledger`]).

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ca::Serial;
use enroll_server::clock::{Clock, SystemClock};
use enroll_server::config::Config;
use enroll_server::failpoint::{Hook, Plant};
use enroll_server::issuance::{Issuance, Outcome, chain};
use enroll_server::startup::{AtRest, start_at_rest};
use enroll_server::store::{Certificate, CertificateState, Store};
use enroll_server::transparency_log::{Folder, Keeper, LogKey, Source, audit};
use shared::UnixTime;
use transparency::VerifierKey;
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode as _, Error};

use super::fleet::Request;
use super::ledger::{KeyHash, Ledger};

/// What has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// The server starts again.
    Starts,
    /// What the last run left open is finished or given up.
    NothingOpen,
    /// A certificate that was answered is stored, as it was answered.
    AnsweredIsStored,
    /// A signature has its intent.
    SignedHasIntent,
    /// Each certificate has its request, and each request one certificate.
    OneForEachIntent,
    /// The same request gives the same certificate.
    SameAgain,
    /// A device has a way forward: its request is answered, now or repeated.
    WayForward,
    /// What is revoked stays revoked, and stands on the list that is published.
    StaysRevoked,
    /// Log and database agree.
    LogAgrees,
    /// What a server holds of memory, descriptors and threads does not grow.
    Flat,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// What was found.
    pub found: String,
}

impl Violation {
    /// Says that `invariant` does not hold.
    pub fn of(invariant: Invariant, found: impl fmt::Display) -> Self {
        Self { invariant, found: found.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.found)
    }
}

/// Checks a server's files against what the ledger knew at the time `upto`; the requests with the keys `repeated` are sent
/// again, twice.
///
/// # Errors
/// The first thing that does not hold.
///
/// # Panics
/// Where there is no runtime for it.
pub fn check(config: &Path, ledger: &Ledger, upto: u64, repeated: &[KeyHash]) -> Result<(), Violation> {
    check_at(config, ledger, upto, repeated, Arc::new(SystemClock))
}

/// As [`check`], by another clock.
///
/// # Errors
/// As [`check`].
///
/// # Panics
/// As [`check`].
pub fn check_at(
    config: &Path,
    ledger: &Ledger,
    upto: u64,
    repeated: &[KeyHash],
    clock: Arc<dyn Clock>,
) -> Result<(), Violation> {
    check_by((clock, Hook::default()), config, ledger, upto, repeated)
}

/// As [`check`]; the server that comes up has this defect.
pub(super) fn check_planted(
    config: &Path,
    ledger: &Ledger,
    upto: u64,
    repeated: &[KeyHash],
    plant: Option<Plant>,
) -> Result<(), Violation> {
    let hook = plant.map_or_else(Hook::default, |plant| Hook::default().with_plant(plant));
    check_by((Arc::new(SystemClock), hook), config, ledger, upto, repeated)
}

fn check_by(
    by: (Arc<dyn Clock>, Hook),
    config: &Path,
    ledger: &Ledger,
    upto: u64,
    repeated: &[KeyHash],
) -> Result<(), Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Box::pin(check_in(by, config, ledger, upto, repeated)))
}

async fn check_in(
    (clock, hook): (Arc<dyn Clock>, Hook),
    config: &Path,
    ledger: &Ledger,
    upto: u64,
    repeated: &[KeyHash],
) -> Result<(), Violation> {
    let starts = |error: &dyn core::error::Error| Violation::of(Invariant::Starts, chain(error));
    let config = Config::load(config).map_err(|error| starts(&error))?;
    let at_rest = Box::pin(start_at_rest(&config, &clock, hook)).await;
    let AtRest { issuance, mut log, .. } = at_rest.map_err(|error| starts(&error))?;
    let now = clock.now();
    let found = look(&issuance, ledger, (upto, now), repeated, &config, &mut log).await;
    issuance.store().close().await.map_err(|error| starts(&error))?;
    found
}

async fn look(
    issuance: &Issuance,
    ledger: &Ledger,
    (upto, now): (u64, UnixTime),
    repeated: &[KeyHash],
    config: &Config,
    log: &mut Keeper,
) -> Result<(), Violation> {
    let store = issuance.store().as_ref();
    let open = store.open_intents().await.map_err(failed)?;
    if !open.is_empty() {
        return Err(Violation::of(Invariant::NothingOpen, format!("{} intents are open", open.len())));
    }
    let rows = rows(store).await?;
    stored(&rows, ledger, upto)?;
    revoked(&rows, ledger, upto)?;
    listed(&rows, ledger, upto, (&config.crl.der, now))?;
    for key in repeated {
        if let Some(asked) = ledger.asked.get(key) {
            let answered = asked.answer.as_ref().filter(|(at, _)| *at <= upto);
            repeat(issuance, &asked.request, answered.map(|(_, certificate)| certificate.as_slice())).await?;
        }
    }
    one_for_each(&self::rows(store).await?, ledger)?;
    agree(store, config, log).await
}

async fn rows(store: &dyn Store) -> Result<Vec<Certificate>, Violation> {
    store.certificates(None, u32::MAX).await.map_err(failed)
}

/// What was answered, and what was signed, is in the store.
fn stored(rows: &[Certificate], ledger: &Ledger, upto: u64) -> Result<(), Violation> {
    let ders: BTreeSet<&[u8]> = rows.iter().filter_map(|row| row.der.as_deref()).collect();
    if let Some((request, _)) = ledger.answers(upto).find(|(_, certificate)| !ders.contains(certificate)) {
        let found = format!("{} was given a certificate that is not in the store", request.device);
        return Err(Violation::of(Invariant::AnsweredIsStored, found));
    }
    let serials: BTreeSet<_> = rows.iter().map(|row| row.serial).collect();
    match ledger.signed.iter().find(|(at, serial)| *at <= upto && !serials.contains(serial)) {
        Some((_, serial)) => {
            Err(Violation::of(Invariant::SignedHasIntent, format!("{serial} was signed and has no intent")))
        }
        None => Ok(()),
    }
}

fn revoked(rows: &[Certificate], ledger: &Ledger, upto: u64) -> Result<(), Violation> {
    for (_, device) in ledger.revoked.iter().filter(|(at, _)| *at <= upto) {
        let in_force = rows.iter().find(|row| row.device == *device && row.state == CertificateState::Issued);
        if let Some(row) = in_force {
            let found = format!("{} of {device}, which is revoked, is in force", row.serial);
            return Err(Violation::of(Invariant::StaysRevoked, found));
        }
    }
    Ok(())
}

/// The list that is published, which is all that a broker sees, has every certificate of every revoked device that would be
/// in force.
fn listed(
    rows: &[Certificate],
    ledger: &Ledger,
    upto: u64,
    (list, now): (&Path, UnixTime),
) -> Result<(), Violation> {
    let devices: BTreeSet<_> =
        ledger.revoked.iter().filter(|(at, _)| *at <= upto).map(|(_, device)| device).collect();
    let theirs =
        |row: &&Certificate| devices.contains(&row.device) && row.der.is_some() && row.not_after > now;
    let serials: Vec<Serial> = rows.iter().filter(theirs).map(|row| row.serial).collect();
    if serials.is_empty() {
        return Ok(());
    }
    let wrong = |found: String| Violation::of(Invariant::StaysRevoked, found);
    let der = fs::read(list).map_err(|error| wrong(format!("no list: {error}")))?;
    match left_out(&der, &serials) {
        Ok(None) => Ok(()),
        Ok(Some(serial)) => Err(wrong(format!("{serial}, of a device that is revoked, is not on the list"))),
        Err(error) => Err(wrong(format!("no list: {error}"))),
    }
}

/// The first of `serials` that a revocation list in DER leaves out.
///
/// # Errors
/// Where it is no revocation list.
pub fn left_out(list: &[u8], serials: &[Serial]) -> Result<Option<Serial>, Error> {
    let list = CertificateList::from_der(list)?;
    let entries = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
    let entries: BTreeSet<&[u8]> = entries.iter().map(|entry| entry.serial_number.as_bytes()).collect();
    Ok(serials.iter().find(|serial| !entries.contains(serial.to_der_value().as_slice())).copied())
}

/// Sends a request again, and once more.
async fn repeat(issuance: &Issuance, request: &Request, answered: Option<&[u8]>) -> Result<(), Violation> {
    let mut before = answered.map(<[u8]>::to_vec);
    for _ in 0..2 {
        let outcome = request.send(issuance).await;
        let Ok(Outcome::Granted(granted)) = outcome else {
            let found = format!("{} is not given its certificate: {outcome:?}", request.device);
            return Err(Violation::of(Invariant::WayForward, found));
        };
        if before.as_deref().is_some_and(|before| before != granted.der()) {
            let found = format!("{} is given another certificate for the same request", request.device);
            return Err(Violation::of(Invariant::SameAgain, found));
        }
        before = Some(granted.der().to_vec());
    }
    Ok(())
}

/// Every certificate was asked for, and no request has two.
fn one_for_each(rows: &[Certificate], ledger: &Ledger) -> Result<(), Violation> {
    let mut by_key: BTreeMap<KeyHash, u32> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.der.is_some()) {
        *by_key.entry(row.key_sha256).or_default() += 1;
    }
    let wrong = by_key.iter().find(|(key, count)| **count > 1 || !ledger.asked.contains_key(*key));
    match wrong {
        Some((key, count)) => {
            let found = format!("{count} certificates for the key {}", hex::encode(key));
            Err(Violation::of(Invariant::OneForEachIntent, found))
        }
        None => Ok(()),
    }
}

/// Brings the log up to date, audits it, and compares it with the database.
async fn agree(store: &dyn Store, config: &Config, log: &mut Keeper) -> Result<(), Violation> {
    let wrong = |error: &dyn core::error::Error| Violation::of(Invariant::LogAgrees, chain(error));
    while log.round().await.map_err(|error| wrong(&error))? {}
    let key =
        fs::read_to_string(LogKey::public_path(&config.files.log_key)).map_err(|error| wrong(&error))?;
    let key: VerifierKey =
        key.trim().parse().map_err(|_| Violation::of(Invariant::LogAgrees, "the log's public key is cut"))?;
    let source = Source::Folder(Folder::new(config.transparency.folder.clone()));
    let mut quiet = |_: &'static str, _: u64, _: u64| ();
    let walked = audit::walk(&source, &key, None, &mut quiet, |_, _| ()).await;
    let mut walked = walked.map_err(|error| wrong(&error))?;
    let mut findings = core::mem::take(&mut walked.findings);
    findings.extend(walked.take_record_findings());
    let compared = audit::compare(store, &walked, (&source, &key), &mut quiet).await;
    findings.extend(compared.map_err(|error| wrong(&error))?.0);
    match findings.first() {
        Some(finding) => {
            Err(Violation::of(Invariant::LogAgrees, format!("{} findings: {finding}", findings.len())))
        }
        None => Ok(()),
    }
}

fn failed(error: impl core::error::Error) -> Violation {
    Violation::of(Invariant::Starts, chain(&error))
}
