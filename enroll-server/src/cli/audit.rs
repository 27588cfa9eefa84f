//! `audit`: verifies the log, exports it, proves what is in it.

use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use ca::Serial;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use transparency::{MAX_NOTE, VerifierKey};

use super::args::{Audit, Global, WhichLog};
use super::failure::Failure;
use super::output::Output;
use super::read_bounded;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::files;
use crate::outgoing::{Anchors, Outgoing, Target};
use crate::startup::{StartError, open_admin, open_store};
use crate::store::Store;
use crate::transparency_log::audit::{self, Finding, FindingKind, Progress};
use crate::transparency_log::{Folder, HttpSource, LogKey, Source};

/// Exit status where something is wrong with the log or the database.
const WRONG: u8 = 6;
/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(60);
/// Most findings that are printed one by one; with --json it is all of them.
const SHOWN: usize = 100;

pub(super) fn run(global: &Global, command: Audit, output: &Output) -> Result<(), Failure> {
    if matches!(command, Audit::Findings) {
        let kinds: Vec<_> = FindingKind::ALL.iter().map(|kind| [kind.name(), kind.meaning()]).collect();
        output.list(&kinds, "", ["finding", "meaning"], |[name, meaning]| {
            [(*name).to_owned(), (*meaning).to_owned()]
        });
        return Ok(());
    }
    let config = Config::load(&global.config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        match command {
            Audit::Verify { log, from, log_only } => {
                verify(&config, &log, from.as_deref(), log_only, output).await
            }
            Audit::Export { log, no_proofs, out } => {
                export(&config, &log, !no_proofs, out.as_deref(), output).await
            }
            Audit::Inclusion { serial, log } => inclusion(&config, &log, serial, output).await,
            Audit::Accept { yes } => accept(&config, yes, output).await,
            Audit::Findings => Ok(()),
        }
    })
}

/// Opens the log and its key.
fn open(config: &Config, log: &WhichLog) -> Result<(Source, VerifierKey), Failure> {
    let path = log.vkey.clone().unwrap_or_else(|| LogKey::public_path(&config.files.log_key));
    let text = String::from_utf8(read_bounded(&path, 1_024)?).unwrap_or_default();
    let key = text.trim().parse().map_err(|source| Failure::LogKey { path, source })?;
    let source = match &log.url {
        None => Source::Folder(Folder::new(config.transparency.folder.clone())),
        Some(url) => {
            let target =
                Target::parse(url).map_err(|source| Failure::Address { address: url.clone(), source })?;
            let anchors = log.ca_file.clone().unwrap_or_else(|| config.files.root_certificate.clone());
            let client = Outgoing::new(&Anchors::File(anchors), DEADLINE)
                .map_err(|error| Failure::Start(crate::startup::LoadError::from(error).into()))?;
            Source::Http(HttpSource::new(client, target))
        }
    };
    Ok((source, key))
}

async fn accept(config: &Config, yes: bool, output: &Output) -> Result<(), Failure> {
    let admin = open_admin(config, Arc::new(SystemClock)).map_err(StartError::from)?;
    let stopped = admin.signing_stopped().await?;
    if let (Some(why), true) = (&stopped, yes) {
        admin.accept_restored(why.clone()).await?;
    }
    admin.close().await?;
    let goes_on = yes || stopped.is_none();
    let value = json!({ "signing": goes_on, "found": stopped });
    output.result(&value, || match (&stopped, yes) {
        (None, _) => "There is nothing to decide: it is signed.".to_owned(),
        (Some(why), true) => format!("Accepted: {why}.\nFrom now on it is signed again."),
        (Some(why), false) => format!(
            "Nothing is signed: {why}.\nPut the newer database back if there is one; else go on with this one: \
             enroll-server audit accept --yes"
        ),
    });
    if goes_on { Ok(()) } else { Err(Failure::Told(WRONG)) }
}

async fn verify(
    config: &Config,
    log: &WhichLog,
    from: Option<&Path>,
    log_only: bool,
    output: &Output,
) -> Result<(), Failure> {
    let (source, key) = open(config, log)?;
    let earlier = from.map(|path| read_bounded(path, MAX_NOTE)).transpose()?;
    let mut bar = Bar::default();
    let mut walked = audit::walk(&source, &key, earlier.as_deref(), &mut bar, |_, _| ()).await?;
    let mut findings = core::mem::take(&mut walked.findings);
    findings.extend(walked.take_record_findings());
    // Where the log is broken, that its leaves are not in it says nothing more.
    let broken = !findings.is_empty();
    let mut waiting = None;
    if log_only || broken {
        findings.extend(walked.repeated_events());
    } else {
        let store = open_store(config)?;
        let compared = audit::compare(store.as_ref(), &walked, (&source, &key), &mut bar).await;
        store.close().await?;
        let (found, waits) = compared?;
        findings.extend(found);
        waiting = Some(waits);
    }
    bar.clear();
    let report = &walked.report;
    let value = json!({
        "good": findings.is_empty(),
        "log": report,
        "database": if waiting.is_some() { "compared" } else { "not compared" },
        "waiting": waiting,
        "findings": findings,
    });
    output.result(&value, || text(report, waiting, broken && !log_only, &findings));
    if findings.is_empty() { Ok(()) } else { Err(Failure::Told(WRONG)) }
}

fn text(report: &audit::LogReport, waiting: Option<u64>, skipped: bool, findings: &[Finding]) -> String {
    let leaves = report.leaves;
    let mut lines = vec![format!(
        "{}: {} leaves ({} issued, {} revoked, {} given up, {} events), root {}",
        report.origin,
        report.size,
        leaves.issued,
        leaves.revoked,
        leaves.discarded,
        leaves.events,
        report.root
    )];
    if let Some(consistency) = &report.consistency {
        lines.push(format!(
            "extends the checkpoint over {} leaves: proved by {} hashes",
            consistency.from,
            consistency.proof.len()
        ));
    }
    if let Some(waiting) = waiting {
        lines.push(format!("compared with the database; {waiting} leaves wait for the next checkpoint"));
    }
    lines.extend(findings.iter().take(SHOWN).map(|finding| format!("WRONG  {finding}")));
    if findings.len() > SHOWN {
        lines.push(format!("and {} more; --json has all", findings.len() - SHOWN));
    }
    if skipped {
        lines.push("The log itself is broken, so it was not compared with the database.".to_owned());
    }
    lines.push(if findings.is_empty() {
        "Nothing is wrong.".to_owned()
    } else {
        format!("{} things are wrong.", findings.len())
    });
    lines.join("\n")
}

async fn export(
    config: &Config,
    log: &WhichLog,
    with_proofs: bool,
    path: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let (source, key) = open(config, log)?;
    let (store, mut bar) = (open_store(config)?, Bar::default());
    let Some(path) = path else {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = audit::export(&source, &key, store.as_ref(), with_proofs, &mut out, &mut bar).await;
        store.close().await?;
        bar.clear();
        return match written {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(audit::ExportError::Unwritable(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written.map(drop)?),
        };
    };
    let unwritable = |source| Failure::Unwritable { path: path.to_owned(), source };
    // Before all the work, and once more when the file gets its name.
    if fs::symlink_metadata(path).is_ok() {
        return Err(unwritable(io::ErrorKind::AlreadyExists.into()));
    }
    let unfinished = files::unfinished(path);
    let file = OpenOptions::new().write(true).create_new(true).open(&unfinished).map_err(unwritable)?;
    let mut out = BufWriter::new(&file);
    let written = audit::export(&source, &key, store.as_ref(), with_proofs, &mut out, &mut bar).await;
    drop(out);
    let closed = store.close().await;
    bar.clear();
    let written = written.map_err(Failure::from).and_then(|lines| {
        closed?;
        file.sync_all().map_err(unwritable)?;
        Ok(lines)
    });
    let lines = files::finish(&unfinished, path, written, unwritable)?;
    let value = json!({ "lines": lines, "file": path });
    output.result(&value, || format!("{lines} lines written to {}", path.display()));
    Ok(())
}

async fn inclusion(config: &Config, log: &WhichLog, serial: Serial, output: &Output) -> Result<(), Failure> {
    let (source, key) = open(config, log)?;
    let store: Arc<dyn Store> = open_store(config)?;
    let proved = audit::prove(store.as_ref(), &source, &key, serial).await;
    store.close().await?;
    let logged = proved?;
    let value = json!({
        "serial": serial.to_string(),
        "index": logged.proof.index,
        "leaf": hex::encode(&logged.entry),
        "leaf_hash": transparency::leaf_hash(&logged.entry).to_base64(),
        "proof": logged.proof.to_string(),
    });
    output.result(&value, || logged.proof.to_string().trim_end().to_owned());
    Ok(())
}

/// A progress bar, where somebody looks on and it takes long enough to be seen.
#[derive(Default)]
struct Bar(Option<(&'static str, ProgressBar)>);

impl Bar {
    fn clear(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn at(&mut self, what: &'static str, done: u64, all: u64) {
        if !io::stderr().is_terminal() {
            return;
        }
        if self.0.as_ref().is_none_or(|(name, _)| *name != what) {
            self.clear();
            let bar = ProgressBar::new(all);
            if let Ok(style) = ProgressStyle::with_template("{msg:22} {bar:40} {pos}/{len} {eta}") {
                bar.set_style(style);
            }
            bar.set_message(what);
            self.0 = Some((what, bar));
        }
        if let Some((_, bar)) = &self.0 {
            bar.set_length(all);
            bar.set_position(done);
        }
    }
}
