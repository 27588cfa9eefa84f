//! `device import`: with a bar where somebody looks on.

use core::ops::ControlFlow;
use std::io::{IsTerminal as _, stderr};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Failure;
use super::output::Output;
use crate::admin::Admin;
use crate::inventory::{ImportOptions, ImportSummary, Progress};

/// Imports a file.
pub(super) async fn run(
    admin: &Admin,
    file: &Path,
    options: &ImportOptions,
    output: &Output,
) -> Result<(), Failure> {
    let bar = if stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut watch = |progress: Progress| {
        bar.set_length(progress.of);
        bar.set_message(progress.step);
        bar.set_position(progress.bytes);
        ControlFlow::Continue(())
    };
    let done = admin.import_file(file, options, &mut watch).await;
    bar.finish_and_clear();
    let summary = done?;
    output.result(&summary, || text(&summary, options));
    Ok(())
}

fn text(summary: &ImportSummary, options: &ImportOptions) -> String {
    let counts = &summary.counts;
    let mut text = String::new();
    if summary.dry_run {
        text += "Nothing was changed. An import would give: ";
    }
    if let Some(line) = summary.resumed_after {
        text += &format!("Went on after line {line}. In all: ");
    }
    text += &format!(
        "{} added, {} completed, {} unchanged, {} conflicting, {} bad.",
        counts.added, counts.completed, counts.unchanged, counts.conflicting, counts.bad
    );
    if !summary.first.is_empty() {
        text += "\nNot imported:";
        for bad in &summary.first {
            text += &format!("\n  {bad}");
        }
        let more = (counts.conflicting + counts.bad).saturating_sub(summary.first.len() as u64);
        if more > 0 {
            let hint = if options.report.is_some() { "see the report" } else { "name all with --report" };
            text += &format!("\n  and {more} more: {hint}");
        }
    }
    text
}
