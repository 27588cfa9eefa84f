//! One-time tokens: listed for everyone, made and withdrawn by administrators.

use core::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use shared::UnixTime;

use super::{Answer, DONE, query, to, told};
use crate::admin::NewToken;
use crate::credential::TokenRequest;
use crate::dashboard::access::Administrator;
use crate::dashboard::form::Checked;
use crate::dashboard::layout::{self, Place};
use crate::dashboard::parts::{self, Tone, badge};
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Role, Shared};
use crate::store::{ListPlace, Page, Token, TokenPage};

/// Tokens of one page.
const PAGE: u32 = 100;
/// Most hours that a token is good for, as at the command line.
const MAX_HOURS: u64 = 8_760;
const SENTENCES: &[(&str, &str)] = &[("withdrawn", "Withdrawn. Nobody enrolls with it any more.")];

const AFTER: &str = "after";
const DEVICE: &str = "device";
const GROUP: &str = "group";
const HOURS: &str = "hours";
const SHORT: &str = "short";

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn, address: Uri) -> Answer {
    let fields = query(&address, &[DONE, AFTER])?;
    let after = fields.parsed::<ListPlace>(AFTER)?;
    let first = after.as_ref().map(|_| Place::Tokens.path());
    let reading = dashboard.access.reading(&who);
    let now = reading.now();
    let TokenPage { tokens, next } = reading.tokens(Page { after, limit: PAGE }).await?;
    let at = |next: ListPlace| parts::address(Place::Tokens.path(), &[(AFTER, Some(&next.to_string()))]);
    let next = next.map(at);
    let content = html! {
        h1 { "Tokens" }
        p.far { "For devices without an identity of their own. Each lets one device in, once." }
        @if who.role() >= Role::Admin { (new(&who)) }
        @if tokens.is_empty() { p { "There are no tokens." } } @else { (list(&who, &tokens, now)) }
        (parts::paging(first, next.as_deref()))
    };
    Ok(layout::page(&who, Place::Tokens, "Tokens", told(&fields, SENTENCES), &content))
}

fn new(who: &SignedIn) -> Markup {
    html! {
        section.panel aria-labelledby="new" {
            h2 #new { "Make a token" }
            form.search method="post" action="/tokens" {
                input type="hidden" name=(crate::dashboard::form::TOKEN) value=(who.form_token().as_str());
                div {
                    label for="token-device" { "Device " span.far { "(any, if empty)" } }
                    input #token-device name=(DEVICE) maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                div {
                    label for="token-group" { "Group " span.far { "(any, if empty)" } }
                    input #token-group name=(GROUP) maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                div {
                    label for="token-hours" { "Good for hours" }
                    input #token-hours type="number" name=(HOURS) value="24" min="1" max=(MAX_HOURS) required;
                }
                div.check {
                    input #token-short type="checkbox" name=(SHORT) value="yes";
                    label for="token-short" { "Short, to be typed" }
                }
                button.primary { "Make a token" }
            }
        }
    }
}

fn list(who: &SignedIn, tokens: &[Token], now: UnixTime) -> Markup {
    let is_admin = who.role() >= Role::Admin;
    let rows = html! {
        @for token in tokens {
            @let (tone, state) = standing(token, now);
            tr {
                th scope="row" { code { (token.id) } }
                td {
                    (badge(tone, state))
                    @if let Some(device) = &token.used_by { " by " (parts::device_link(device.as_str())) }
                }
                td { @match &token.device { Some(device) => (parts::device_link(device.as_str())), None => "any" } }
                td { @match &token.group { Some(group) => (group.to_string()), None => "any" } }
                td { (parts::time(token.created)) }
                td { (parts::time_from(token.expires, now)) }
                @if is_admin {
                    td {
                        @if state == GOOD {
                            (parts::form(who, &format!("/tokens/{}/withdraw", token.id), &html! {
                                button { "Withdraw" span.unseen { " token " (token.id) } }
                            }))
                        }
                    }
                }
            }
        }
    };
    let head = ["Token", "State", "Device", "Group", "Made", "Until", "Withdraw"];
    let (all, without) = (&head[..], head.split_last().map_or(&head[..], |(_, without)| without));
    parts::table("Tokens, the newest first", if is_admin { all } else { without }, &rows)
}

const GOOD: &str = "good";

fn standing(token: &Token, now: UnixTime) -> (Tone, &'static str) {
    match token.used_by {
        Some(_) => (Tone::Quiet, "used"),
        None if token.revoked => (Tone::Quiet, "withdrawn"),
        None if now > token.expires => (Tone::Quiet, "expired"),
        None => (Tone::Good, GOOD),
    }
}

/// Makes a token. The page that shows its text is the answer itself: the text stands in no address.
pub(in crate::dashboard) async fn make(State(dashboard): Shared, who: SignedIn, request: Request) -> Answer {
    let form = Checked::read(&dashboard, &who, request, &[DEVICE, GROUP, HOURS, SHORT]).await?;
    let acting = dashboard.access.acting::<Administrator>(&who, &form)?;
    let fields = form.fields();
    let device = fields.get(DEVICE).map(shared::DeviceId::new).transpose();
    let hours = fields.parsed::<u64>(HOURS)?.filter(|hours| (1..=MAX_HOURS).contains(hours));
    let hours = hours.ok_or_else(|| Refusal::Malformed(format!("{HOURS}: expected 1 to {MAX_HOURS}")))?;
    let request = TokenRequest {
        device: device.map_err(|error| Refusal::Malformed(format!("{DEVICE}: {error}")))?,
        group: fields.parsed(GROUP)?,
        lifetime: Duration::from_secs(hours * 3_600),
        short: fields.get(SHORT).is_some(),
    };
    let made = acting.create_token(&request).await?;
    Ok(layout::page(&who, Place::Tokens, "A new token", None, &shown(&made)))
}

fn shown(made: &NewToken) -> Markup {
    html! {
        div.narrow {
            h1 { "A new token" }
            p { "This is its text. It is not shown again, and kept nowhere." }
            pre.secret tabindex="0" { code { (made.text.as_str()) } }
            dl.facts {
                dt { "Token" } dd { code { (made.token.id) } }
                dt { "Device" } dd { @match &made.token.device { Some(device) => (device.as_str()), None => "any" } }
                dt { "Group" } dd { @match &made.token.group { Some(group) => (group.to_string()), None => "any" } }
                dt { "Until" } dd { (parts::time(made.token.expires)) }
            }
            p { a href="/tokens" { "To all tokens" } }
        }
    }
}

/// Withdraws a token.
pub(in crate::dashboard) async fn withdraw(
    State(dashboard): Shared,
    who: SignedIn,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let form = Checked::read(&dashboard, &who, request, &[]).await?;
    dashboard.access.acting::<Administrator>(&who, &form)?.revoke_token(&token).await?;
    Ok(to("/tokens", "withdrawn"))
}
