//! The fleet at a glance.

use axum::extract::State;
use maud::{Markup, html};
use shared::{Reject, UnixTime};

use super::Answer;
use crate::api::Health;
use crate::dashboard::Shared;
use crate::dashboard::access::{LATELY, Reading};
use crate::dashboard::chart::{Bar, Words, bars};
use crate::dashboard::layout::{self, Place};
use crate::dashboard::parts::{self, Tone, badge};
use crate::dashboard::session::SignedIn;
use crate::store::{Activity, Counts, Day, DeviceState, Hour};
use crate::transparency_log::Status;

/// How many days the chart of endings has.
const DAYS: u64 = 30;
/// How many of them ask for a look: a device that renews in time never comes so close to the end of a certificate that
/// lives longer than six weeks: it renews with a sixth of its life left at least.
const SOON: u64 = 7;
/// How many hours the chart of certificates issued has.
const HOURS: u64 = 24;

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn) -> Answer {
    let reading = dashboard.access.reading(&who);
    let now = reading.now();
    let counts = reading.counts().await?;
    let endings = reading.endings().await?;
    let activity = reading.activity(now.before(LATELY)).await?;
    let health = reading.health().await;
    let content = html! {
        div.head { h1 { "Overview" } p.far { "As of " (parts::time(now)) } }
        (devices(&counts))
        (checks(reading, &health, now))
        div.pair { (ahead(&endings, now)) (issued(&activity, now)) }
        (refusals(&activity))
    };
    Ok(layout::page(&who, Place::Overview, "Overview", None, &content))
}

fn devices(counts: &Counts) -> Markup {
    let of = |state: DeviceState| {
        counts.devices.iter().find(|(found, _)| *found == state).map_or(0, |(_, number)| *number)
    };
    let total: u64 = counts.devices.iter().map(|(_, number)| number).sum();
    html! {
        section aria-labelledby="devices" {
            h2 #devices { "Devices " span.far { (parts::number(total)) " in all" } }
            ul.tiles {
                @for state in DeviceState::ALL {
                    @let place = if state == DeviceState::Held {
                        "/approvals".to_owned()
                    } else {
                        parts::address("/devices", &[("state", Some(state.name()))])
                    };
                    li {
                        a href=(place) {
                            span.count { (parts::number(of(state))) }
                            " "
                            (parts::device_state(state))
                        }
                    }
                }
            }
        }
    }
}

fn checks(reading: Reading<'_>, health: &Health, now: UnixTime) -> Markup {
    let (issuer, list) = (reading.issuer(), reading.revocations());
    let detail = |name: &str| match name {
        "issuing CA" => {
            html! { span.name { (issuer.subject) } " ends " (parts::time_from(issuer.not_after, now)) }
        }
        "revocation list" => html! {
            "Number " (list.number) ", " (parts::number(list.len() as u64)) " revoked, good until "
            (parts::time_from(list.next_update, now))
        },
        "log" => match reading.log() {
            Status::Good { size } => html! { "Checkpoint of " (parts::number(size)) " leaves" },
            _ => html! {},
        },
        _ => html! { "Takes what is written" },
    };
    let row = |name: &str, found: &Result<(), String>, detail: &Markup| {
        html! {
            tr {
                th scope="row" { (name) }
                @match found {
                    Ok(()) => { td { (badge(Tone::Good, "ok")) } td { (detail) } }
                    Err(why) => { td { (badge(Tone::Bad, "problem")) } td { (why) } }
                }
            }
        }
    };
    let rows = html! {
        (row("signing", &health.signing, &html! { "Certificates and lists are signed" }))
        @for (name, found) in &health.checks { (row(name, found, &detail(name))) }
    };
    html! {
        section aria-labelledby="health" {
            h2 #health { "Health of this server" }
            (parts::table("Health of this server", &["What", "State", "Detail"], &rows))
        }
    }
}

fn ahead(endings: &[(Day, u64)], now: UnixTime) -> Markup {
    let today = Day::of(now);
    let on = |day: Day| endings.iter().find(|(found, _)| *found == day).map_or(0, |(_, number)| *number);
    let within = |days: u64| -> u64 {
        let of = |(day, number): &(Day, u64)| if *day < today.after(days) { *number } else { 0 };
        endings.iter().map(of).sum()
    };
    let list: Vec<Bar> = (0..DAYS)
        .map(|ahead| {
            let day = today.after(ahead);
            Bar { label: parts::day(day.begin()), value: on(day), marked: ahead < SOON }
        })
        .collect();
    let later = endings.iter().map(|(_, number)| number).sum::<u64>() - within(DAYS);
    let (soon, all) = (parts::number(within(SOON)), parts::number(within(DAYS)));
    let told =
        format!("Certificates that end in the next {DAYS} days: {all}, {soon} of them in the next {SOON}");
    html! {
        section aria-labelledby="ahead" {
            h2 #ahead { "Certificates that end" }
            p.sum {
                b { (soon) } " in " (SOON) " days, " b { (all) } " in " (DAYS) " days, "
                b { (parts::number(later)) } " later"
            }
            (bars("ahead-chart", &Words { told: &told, of: "Day", counted: "Certificates" }, &list))
            p.far {
                "A device renews in the last third of its certificate's life. Those that are marked end within "
                (SOON) " days: where certificates live longer than six weeks, these devices are off, or cannot reach this "
                "server."
            }
        }
    }
}

fn issued(activity: &Activity, now: UnixTime) -> Markup {
    let this = Hour::of(now);
    let on = |hour: Hour| {
        activity.issued.iter().find(|(found, _)| *found == hour).map_or(0, |(_, number)| *number)
    };
    let list: Vec<Bar> = (0..HOURS)
        .rev()
        .map(|ago| {
            let hour = this.before(ago);
            let (year, month, day, hours, ..) = hour.begin().to_civil();
            let label = format!("{year:04}-{month:02}-{day:02} {hours:02}:00");
            Bar { label, value: on(hour), marked: false }
        })
        .collect();
    let total = parts::number(list.iter().map(|bar| bar.value).sum());
    let told = format!("Certificates issued in the last {HOURS} hours: {total}");
    html! {
        section aria-labelledby="issued" {
            h2 #issued { "Certificates issued by the hour" }
            p.sum { b { (total) } " in " (HOURS) " hours, enrollments and renewals" }
            (bars("issued-chart", &Words { told: &told, of: "Hour", counted: "Certificates" }, &list))
            @if activity.issued_cut { p.far { "There were more than are counted: the first hours are too small." } }
        }
    }
}

fn refusals(activity: &Activity) -> Markup {
    let action = |name: &str| {
        Reject::ALL.iter().find(|reject| reject.name() == name).map(|reject| reject.operator_action())
    };
    let rows = html! {
        @for (name, number) in &activity.refused {
            tr {
                th scope="row" { code { (name) } }
                td.number { (parts::number(*number)) }
                td { (action(name).unwrap_or_default()) }
            }
        }
    };
    html! {
        section aria-labelledby="refusals" {
            h2 #refusals { "Refusals in the last 24 hours" }
            @if activity.refused.is_empty() { p { "There were none." } }
            @else { (parts::table("Refusals in the last 24 hours", &["Reason", "Requests", "What to do"], &rows)) }
        }
    }
}
