//! Holds the server's log of what it issued against its database, as `enroll-server audit verify` does.

use core::time::Duration;
use std::fs;

use enroll_server::config::Config;
use enroll_server::store::{SqlStore, SqliteOptions, Store as _};
use enroll_server::transparency_log::audit::{compare, walk};
use enroll_server::transparency_log::{Folder, LogKey, Source};
use tokio::time::{Instant, sleep};

use super::YearError;
use crate::stage::cannot_read;

/// How long the last leaves may take to come under a checkpoint, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the log says.
#[derive(Clone, Debug, Default)]
pub(super) struct Audited {
    /// Certificates in it.
    pub(super) issued: u64,
    /// What is wrong.
    pub(super) findings: Vec<String>,
}

/// Audits the log of the server with this configuration, once all its leaves are under a checkpoint.
pub(super) async fn audit(config: &Config) -> Result<Audited, YearError> {
    let path = LogKey::public_path(&config.files.log_key);
    let text = fs::read_to_string(&path).map_err(|source| cannot_read(&path, source))?;
    let Ok(key) = text.trim().parse() else {
        return Ok(Audited { findings: vec!["the log's key cannot be read".into()], issued: 0 });
    };
    let source = Source::Folder(Folder::new(config.transparency.folder.clone()));
    let until = Instant::now() + PATIENCE;
    loop {
        let mut quiet = |_: &'static str, _: u64, _: u64| ();
        let mut walked = walk(&source, &key, None, &mut quiet, |_, _| ()).await?;
        let mut findings = core::mem::take(&mut walked.findings);
        findings.extend(walked.take_record_findings());
        let mut waiting = 0;
        if findings.is_empty() {
            let store = SqlStore::sqlite(&SqliteOptions::new(&config.files.store))?;
            let compared = compare(&store, &walked, (&source, &key), &mut quiet).await;
            store.close().await?;
            let (found, waits) = compared?;
            findings.extend(found);
            waiting = waits;
        }
        if waiting > 0 && Instant::now() < until {
            sleep(Duration::from_millis(200)).await;
            continue;
        }
        let mut findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        if waiting > 0 {
            findings.push(format!("{waiting} leaves are under no checkpoint"));
        }
        return Ok(Audited { issued: walked.report.leaves.issued, findings });
    }
}
