//! The policies in force on this server, their candidates, and how those would have decided.

use std::collections::BTreeMap;

use axum::extract::State;
use maud::{Markup, html};

use super::Answer;
use crate::dashboard::Shared;
use crate::dashboard::layout::{self, Place};
use crate::dashboard::parts::{self, Tone, badge};
use crate::dashboard::session::SignedIn;
use crate::policies::{Comparison, compare};

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn) -> Answer {
    let reading = dashboard.access.reading(&who);
    let (in_force, problem) = reading.policies();
    let compared = compare(&reading.differences().await?, Some(&in_force));
    let content = html! {
        h1 { "Policies" }
        @if let Some(problem) = &problem {
            div.problem role="alert" {
                p { b { "The files have mistakes." } " The policies that were read before stay in force." }
                pre tabindex="0" { code { (problem) } }
            }
        }
        @for (group, policy) in in_force.set.iter() {
            section.group aria-labelledby={ "group-" (group) } {
                h2 id={ "group-" (group) } { (group) }
                p { "In force: " code.hash { (policy.digest().to_string()) } }
                (whole("The policy in force", &policy.policy().to_toml()))
                @if let Some(candidate) = policy.candidate() {
                    h3 {
                        "Candidate "
                        (badge(Tone::Info, candidate.rollout.mode.name()))
                        @if candidate.rollout.mode.name() == "enforce" { " for " (candidate.rollout.percent) " % of the devices" }
                    }
                    p { code.hash { (candidate.digest.to_string()) } }
                    (results(group.as_str(), compared.get(group.as_str())))
                    (whole("The candidate", &candidate.policy.to_toml()))
                } @else { p.far { "There is no candidate." } }
            }
        }
    };
    Ok(layout::page(&who, Place::Policies, "Policies", None, &content))
}

fn whole(what: &str, toml: &str) -> Markup {
    html! {
        details {
            summary { (what) ", whole" }
            pre tabindex="0" { code { (toml) } }
        }
    }
}

fn results(group: &str, found: Option<&Comparison>) -> Markup {
    let Some(sums) = found else { return html! { p { "No request was judged by it yet." } } };
    let row = |what: &str, rule: Option<&str>, count: u64, tone: Tone| {
        html! {
            tr {
                th scope="row" { (badge(tone, what)) }
                td { @match rule { Some(rule) => code { (rule) }, None => span.none { "none" } } }
                td.number { (parts::number(count)) }
            }
        }
    };
    let by_rule = |what: &str, rules: &BTreeMap<String, u64>, tone: Tone| {
        html! { @for (rule, count) in rules { (row(what, Some(rule), *count, tone)) } }
    };
    let rows = html! {
        (by_rule("refused only by the candidate", &sums.would_refuse, Tone::Bad))
        (by_rule("refused only by the policy in force", &sums.would_accept, Tone::Warning))
        @if sums.otherwise > 0 { (row("different in another way", None, sums.otherwise, Tone::Info)) }
        (row("the same", None, sums.same, Tone::Good))
    };
    html! {
        (parts::table(&format!("How the candidate of {group} judges"), &["Compared", "Rule", "Requests"], &rows))
        p.far { "The candidate decided " (parts::number(sums.decided)) " of them." }
    }
}
