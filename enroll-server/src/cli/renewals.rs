//! `device renew` and `device renewals`.

use core::time::Duration;

use serde::Serialize;
use serde_json::json;
use shared::UnixTime;
use tokio::time::Instant;

use super::args::Renew;
use super::failure::Failure;
use super::onlooker::{bar, confirmed};
use super::output::{Output, more, or_dash};
use crate::admin::Admin;
use crate::store::{Page, Selection, Turns, Wanted, WantedPage};

/// Devices of one transaction.
const PAGE: u32 = 1_000;
/// How often it is looked whether devices have renewed.
const LOOK: Duration = Duration::from_millis(500);

/// What was ordered, as JSON.
#[derive(Debug, Default, Serialize)]
struct Report {
    action: &'static str,
    done: u64,
    left: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_turn: Option<String>,
    /// Whether devices are told through MQTT, or only with their next answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt: Option<bool>,
    /// With `--wait`: how many have not renewed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

/// Wants renewals, or wants them no more. `tells` says whether the settings have `[mqtt]`.
pub(super) async fn renew(admin: &Admin, order: Renew, tells: bool, output: &Output) -> Result<(), Failure> {
    let selection = order.selection();
    if selection == Selection::All
        && !order.yes
        && !order.cancel
        && !confirmed("Have every device renew its certificate?")
    {
        return Err(Failure::Unconfirmed { what: "--all means every device" });
    }
    if order.cancel {
        let done = all_pages(admin, &selection, None).await?;
        let report = Report { action: "cancel", done: done.done, left: done.left, ..Report::default() };
        output.result(&report, || format!("{} renewals are not wanted any more.", report.done));
        return Ok(());
    }
    let turns = Turns { begin: admin.now(), before: 0, rate: Some(order.rate) };
    let done = match &selection {
        Selection::One(device) => admin.want_renewal(device).await?,
        _ => all_pages(admin, &selection, Some(turns)).await?,
    };
    let waiting = match order.wait {
        Some(limit) => Some(wait(admin, &selection, done.done, limit).await?),
        None => None,
    };
    let report = Report {
        action: "renew",
        done: done.done,
        left: done.left,
        rate: Some(order.rate.to_string()),
        last_turn: done.last_turn.map(|turn| turn.to_string()),
        mqtt: Some(tells),
        waiting,
    };
    output.result(&report, || text(&report));
    // The result says how many have not renewed.
    if waiting.is_some_and(|waiting| waiting > 0) { Err(Failure::Told(1)) } else { Ok(()) }
}

fn text(report: &Report) -> String {
    let mut text = format!("{} devices are to renew", report.done);
    if let (Some(last), true) = (&report.last_turn, report.done > 1) {
        text += &format!(", {} at most; the last one's turn is {last}", or_dash(report.rate.as_ref()));
    }
    text += ".";
    if report.left > 0 {
        text += &format!(" {} have no certificate in force and are left out.", report.left);
    }
    match report.waiting {
        Some(0) => text += "\nAll have renewed.",
        Some(waiting) => text += &format!("\n{waiting} have not renewed yet; see: device renewals"),
        None if report.mqtt == Some(false) => {
            text +=
                "\nThe settings have no [mqtt]: devices learn of it with their next answer from this server.";
        }
        None => text += "\nHow far it is: device renewals",
    }
    text
}

/// Orders page by page; `turns` is `None` where the renewals are not wanted any more.
async fn all_pages(admin: &Admin, selection: &Selection, turns: Option<Turns>) -> Result<Wanted, Failure> {
    let bar = bar(admin.count_devices(selection).await?, "devices");
    let (mut page, mut sum) = (Page::first(PAGE), Wanted::default());
    loop {
        let done = match turns {
            Some(turns) => {
                let turns = Turns { before: sum.done, ..turns };
                admin.want_renewals(selection.clone(), turns, page).await?
            }
            None => admin.unwant_renewals(selection.clone(), page).await?,
        };
        sum.done += done.done;
        sum.left += done.left;
        sum.last_turn = done.last_turn.or(sum.last_turn);
        bar.set_position(sum.done + sum.left);
        match done.next {
            Some(next) => page = Page { after: Some(next), limit: PAGE },
            None => break,
        }
    }
    bar.finish_and_clear();
    Ok(sum)
}

/// Waits until nothing is wanted of the selection any more. Gives how many renewals still are.
async fn wait(admin: &Admin, selection: &Selection, of: u64, limit: Duration) -> Result<u64, Failure> {
    let bar = bar(Some(of), "renewed");
    let begun = Instant::now();
    loop {
        let left = count(admin, selection).await?;
        bar.set_position(of.saturating_sub(left));
        if left == 0 || begun.elapsed() >= limit {
            bar.finish_and_clear();
            return Ok(left);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn count(admin: &Admin, selection: &Selection) -> Result<u64, Failure> {
    let (mut page, mut count) = (Page::first(PAGE), 0);
    loop {
        let found = admin.wanted_renewals(Some(selection.clone()), page).await?;
        count += found.renewals.len() as u64;
        match found.next {
            Some(next) => page = Page { after: Some(next), limit: PAGE },
            None => return Ok(count),
        }
    }
}

/// Lists what is wanted.
pub(super) fn list(page: &WantedPage, now: UnixTime, output: &Output) {
    let value = json!({ "renewals": page.renewals, "next": page.next.as_ref().map(ToString::to_string) });
    output.table(
        &value,
        &page.renewals,
        "No renewal is wanted.",
        ["Device", "Group", "Wanted", "By", "Turn", "Told", "Times", "Again", "Problem"],
        |renewal| {
            [
                renewal.device.to_string(),
                renewal.group.to_string(),
                renewal.since.to_string(),
                renewal.actor.clone(),
                renewal.turn.to_string(),
                or_dash(renewal.told),
                renewal.attempts.to_string(),
                if renewal.due <= now { "now".to_owned() } else { renewal.due.to_string() },
                or_dash(renewal.problem.as_ref()),
            ]
        },
        more(page.next.as_ref()),
    );
}
