//! Why a request was decided as it was: the explanation that `policy explain` prints, as HTML.

use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::parts::{self, Tone, badge};
use crate::explanation::Explanation;

pub(super) fn one(explanation: &Explanation, open: bool) -> Markup {
    html! {
        details.decision open[open] {
            summary {
                span { (explanation.asked) } " " (parts::ruled(explanation.outcome)) " "
                time datetime=(explanation.at) { (explanation.at.replace('T', " ").trim_end_matches('Z')) }
                @if let Some(rule) = &explanation.rule { " by the rule " code { (rule) } }
            }
            dl.facts {
                @if let Some(reason) = &explanation.reason { dt { "Why" } dd { (reason) } }
                @if let Some(refusal) = explanation.refusal { dt { "The device was told" } dd { code { (refusal) } } }
                @if let Some(action) = explanation.action { dt { "What to do" } dd { (action) } }
                dt { "Evidence" } dd { (parts::or_dash(explanation.kind.as_deref())) }
                @if let Some(group) = &explanation.group { dt { "Group" } dd { (group) } }
                @if let Some(policy) = &explanation.policy {
                    dt { "Policy" }
                    dd { code.hash { (policy) } @if explanation.by_candidate { ", a candidate" } }
                }
                @if let Some(other) = &explanation.other { (opinion(other, explanation.by_candidate)) }
            }
            (rules(&explanation.rules))
            @if let Some(claims) = &explanation.claims {
                details {
                    summary { "What the evidence says" }
                    pre tabindex="0" { code { (serde_json::to_string_pretty(claims).unwrap_or_default()) } }
                }
            }
        }
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn opinion(other: &Value, by_candidate: bool) -> Markup {
    html! {
        dt { @if by_candidate { "The policy in force" } @else { "The candidate" } }
        dd {
            "would have " (text(other, "outcome")) " it"
            @if let Some(rule) = other.get("rule").and_then(Value::as_str) { " by the rule " code { (rule) } }
        }
    }
}

fn rules(rules: &[Value]) -> Markup {
    let rows = html! {
        @for rule in rules {
            tr {
                th.line scope="row" { code { (text(rule, "rule")) } }
                td { (badge(tone(text(rule, "verdict")), text(rule, "verdict"))) }
                td.detail { (text(rule, "found")) }
                td.detail { (text(rule, "wanted")) }
            }
        }
    };
    html! {
        @if !rules.is_empty() { (parts::table("Rules that were looked at", &["Rule", "Verdict", "Found", "Wanted"], &rows)) }
    }
}

fn tone(verdict: &str) -> Tone {
    match verdict {
        "refused" => Tone::Bad,
        "held" => Tone::Warning,
        "passed" => Tone::Good,
        _ => Tone::Quiet,
    }
}
