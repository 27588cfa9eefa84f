//! What can be done to a device, for those who may.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use ca::crl::Reason;
use maud::{Markup, html};
use shared::DeviceId;

use super::named;
use crate::dashboard::access::{Administrator, Operator};
use crate::dashboard::form::Checked;
use crate::dashboard::pages::to;
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Role, Shared, parts};
use crate::store::{Device, DeviceState, HeldRequest, Move};

/// The field with the serial number of the request that was looked at.
pub(in crate::dashboard::pages) const SEEN: &str = "request";
const REASON: &str = "reason";
const CONFIRM: &str = "confirm";
/// The field that says where the form was.
const FROM: &str = "from";
/// Its value in the queue of approvals.
const QUEUE: &str = "queue";

/// What was done, by its name in the address.
pub(in crate::dashboard::pages) const SENTENCES: &[(&str, &str)] = &[
    ("approved", "Approved. The device gets its certificate when it asks again."),
    ("denied", "Refused. The device stays refused until it is approved."),
    ("suspended", "Suspended. Its certificates are on hold."),
    ("resumed", "Back in service."),
    ("renewing", "A renewal is wanted. It takes place when the device comes."),
    ("revoked", "Revoked, with all its certificates."),
    ("retired", "Retired."),
];

/// The forms that fit the device's state and the role.
pub(super) fn panel(who: &SignedIn, row: &Device, held: Option<&HeldRequest>) -> Markup {
    let device = row.device.as_str();
    let can = |step: Move| row.state.moves().any(|there| there == step);
    let path = |action: &str| format!("/devices/{device}/{action}");
    let simple = |action: &str, label: &str| parts::form(who, &path(action), &html! { button { (label) } });
    html! {
        section.panel aria-labelledby="actions" {
            h2 #actions { "What can be done" }
            @if who.role() < Role::Operator { p.far { "Your role is viewer: you can look at everything." } }
            @else {
                @if let Some(held) = held { (decide(who, held, "device")) }
                @else if can(Move::Approve) && !row.approved && row.state == DeviceState::Registered {
                    (simple("approve", "Approve its next enrollment"))
                }
                @if row.state == DeviceState::Enrolled { (simple("renew", "Ask for a renewal")) }
                @if can(Move::Suspend) && row.state != DeviceState::Suspended { (simple("suspend", "Suspend")) }
                @if can(Move::Resume) { (simple("resume", "Resume")) }
                @if who.role() >= Role::Admin {
                    @if can(Move::Revoke) && row.state != DeviceState::Revoked { (revocation(who, device, &path("revoke"))) }
                    @if can(Move::Retire) && row.state != DeviceState::Retired {
                        details {
                            summary { "Retire…" }
                            (parts::form(who, &path("retire"), &html! {
                                p { "Ends its life: its certificates are revoked, its identifier stays taken." }
                                (confirmation(device, "retire"))
                                button.danger { "Retire for good" }
                            }))
                        }
                    }
                }
            }
        }
    }
}

fn revocation(who: &SignedIn, device: &str, path: &str) -> Markup {
    html! {
        details {
            summary { "Revoke…" }
            (parts::form(who, path, &html! {
                p { "Revokes the device and all its certificates, for good." }
                label for="revoke-reason" { "Reason" }
                select #revoke-reason name=(REASON) {
                    @for reason in Reason::ALL.into_iter().filter(|reason| reason.is_final()) {
                        option value=(reason.name()) { (reason.name()) }
                    }
                }
                (confirmation(device, "revoke"))
                button.danger { "Revoke for good" }
            }))
        }
    }
}

fn confirmation(device: &str, action: &str) -> Markup {
    let id = format!("{action}-confirm");
    html! {
        label for=(id) { "Type " code { (device) } " to confirm" }
        input id=(id) name=(CONFIRM) required autocomplete="off" autocapitalize="none" spellcheck="false";
    }
}

/// The forms that decide about a request that waits.
pub(in crate::dashboard::pages) fn decide(who: &SignedIn, held: &HeldRequest, from: &str) -> Markup {
    let device = held.device.as_str();
    let (serial, id) = (held.serial.to_string(), format!("why-{device}"));
    let hidden = html! {
        input type="hidden" name=(SEEN) value=(serial);
        input type="hidden" name=(FROM) value=(from);
    };
    html! {
        @if held.approved { p { "Approved: the device gets its certificate when it asks again." } }
        @else {
            (parts::form(who, &format!("/devices/{device}/approve"), &html! {
                (hidden) button.primary { "Approve" span.unseen { " " (device) } }
            }))
        }
        (parts::form(who, &format!("/devices/{device}/deny"), &html! {
            (hidden)
            label for=(id) { "Why it is refused" span.unseen { ": " (device) } }
            div.joined {
                input id=(id) name=(REASON) required maxlength="200" autocomplete="off";
                button { "Refuse" span.unseen { " " (device) } }
            }
        }))
    }
}

/// Where the form was, to lead back to it.
fn back(form: &Checked, device: &DeviceId, done: &str) -> Response {
    if form.fields().get(FROM) == Some(QUEUE) {
        to("/approvals", done)
    } else {
        to(&format!("/devices/{device}"), done)
    }
}

pub(in crate::dashboard) async fn approve(
    State(dashboard): Shared,
    who: SignedIn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (device, form) = (named(&name)?, Checked::read(&dashboard, &who, request, &[SEEN, FROM]).await?);
    let acting = dashboard.access.acting::<Operator>(&who, &form)?;
    acting.approve(&device, form.fields().get(SEEN)).await?;
    Ok(back(&form, &device, "approved"))
}

pub(in crate::dashboard) async fn deny(
    State(dashboard): Shared,
    who: SignedIn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (device, form) =
        (named(&name)?, Checked::read(&dashboard, &who, request, &[SEEN, FROM, REASON]).await?);
    let acting = dashboard.access.acting::<Operator>(&who, &form)?;
    acting.deny(&device, form.fields().get(SEEN), form.fields().wanted(REASON)?).await?;
    Ok(back(&form, &device, "denied"))
}

/// Actions of an operator that take nothing but the device.
macro_rules! simple {
    ($($action:ident => $done:literal;)+) => {
        $(
            pub(in crate::dashboard) async fn $action(
                State(dashboard): Shared,
                who: SignedIn,
                Path(name): Path<String>,
                request: Request,
            ) -> Result<Response, Refusal> {
                let (device, form) = (named(&name)?, Checked::read(&dashboard, &who, request, &[]).await?);
                dashboard.access.acting::<Operator>(&who, &form)?.$action(&device).await?;
                Ok(back(&form, &device, $done))
            }
        )+
    };
}

simple! {
    suspend => "suspended";
    resume => "resumed";
    renew => "renewing";
}

pub(in crate::dashboard) async fn revoke(
    State(dashboard): Shared,
    who: SignedIn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (device, form) = (named(&name)?, Checked::read(&dashboard, &who, request, &[REASON, CONFIRM]).await?);
    let acting = dashboard.access.acting::<Administrator>(&who, &form)?;
    confirmed(&form, &device)?;
    let reason = Reason::from_name(form.fields().wanted(REASON)?);
    let reason = reason.ok_or_else(|| Refusal::Malformed("there is no such reason".to_owned()))?;
    acting.revoke(&device, reason).await?;
    Ok(back(&form, &device, "revoked"))
}

pub(in crate::dashboard) async fn retire(
    State(dashboard): Shared,
    who: SignedIn,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (device, form) = (named(&name)?, Checked::read(&dashboard, &who, request, &[CONFIRM]).await?);
    let acting = dashboard.access.acting::<Administrator>(&who, &form)?;
    confirmed(&form, &device)?;
    acting.retire(&device).await?;
    Ok(back(&form, &device, "retired"))
}

fn confirmed(form: &Checked, device: &DeviceId) -> Result<(), Refusal> {
    if form.fields().get(CONFIRM) == Some(device.as_str()) {
        return Ok(());
    }
    Err(Refusal::Malformed(format!("to confirm, {device} has to be typed")))
}
