//! `policy replay`.

use core::time::Duration;
use std::io::{self, IsTerminal as _};

use appraisal::GroupName;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::failure::Failure;
use super::super::output::{Output, or_dash};
use crate::admin::Admin;
use crate::policies::{InForce, Replay, Verdict};
use crate::store::AppraisalFilter;

/// Records that are read at once.
const PAGE: u32 = 500;
/// Exit status where something would change.
const CHANGES: u8 = 5;

pub(super) async fn run(
    admin: Admin,
    since: Duration,
    with: InForce,
    group: Option<GroupName>,
    output: &Output,
) -> Result<(), Failure> {
    let imported = admin.imported_reference_values().await?;
    let with = InForce { reference_values: with.reference_values.with(imported), ..with };
    // The policy of the group default is the base of all: it is put before everyone's requests.
    let group = group.filter(|group| !group.is_default());
    let since = admin.now().before(since);
    let mut filter =
        AppraisalFilter { since, group: group.clone(), limit: PAGE, ..AppraisalFilter::default() };
    let bar = progress(admin.count_appraisals(filter.clone()).await?);
    let mut replay = Replay::default();
    loop {
        let page = admin.appraisals(filter.clone()).await?;
        let Some(oldest) = page.last() else { break };
        filter.before = Some(oldest.number);
        for record in &page {
            replay.add(record, &with, group.as_ref());
        }
        bar.inc(u64::try_from(page.len()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    output.result(&replay, || text(&replay));
    if replay.changes.is_empty() { Ok(()) } else { Err(Failure::Told(CHANGES)) }
}

fn progress(length: u64) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} requests, {eta} left");
    ProgressBar::with_draw_target(Some(length), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn text(replay: &Replay) -> String {
    let mut text = String::new();
    if !replay.changes.is_empty() {
        let mut table = Table::new();
        let header = ["At", "Device", "Group", "For", "Was", "Would be", "Why"];
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
        for change in &replay.changes {
            table.add_row([
                change.at.clone(),
                change.device.clone(),
                change.group.clone(),
                change.asked.to_owned(),
                verdict(&change.before),
                verdict(&change.after),
                or_dash(change.after.reason.as_ref().or(change.before.reason.as_ref())),
            ]);
        }
        text += &format!("{table}\n");
    }
    let Replay {
        looked_at, passed_over, unchanged, unknown, now_refused, now_accepted, now_otherwise, ..
    } = replay;
    text += &format!(
        "{looked_at} requests: {now_refused} would be refused now, {now_accepted} accepted now, \
         {now_otherwise} otherwise changed, {unchanged} as before.\n\
         {passed_over} are not for this policy to decide; {unknown} were of a kind of evidence that was not \
         accepted, would be now, and was never looked at."
    );
    text
}

fn verdict(verdict: &Verdict) -> String {
    match &verdict.rule {
        Some(rule) => format!("{} ({rule})", verdict.outcome.name()),
        None => verdict.outcome.name().to_owned(),
    }
}
