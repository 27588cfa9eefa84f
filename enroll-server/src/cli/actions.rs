//! What an operator does to one device or to many: actions, groups, tags.

use serde_json::json;

use super::args::{ForGood, Which};
use super::failure::Failure;
use super::onlooker::{bar, confirmed};
use super::output::Output;
use crate::admin::Admin;
use crate::store::{Action, Label, Page, Selection};

/// Devices of one transaction.
const PAGE: u32 = 1_000;
/// Most devices that are named in an answer.
const NAMED: usize = 100;

/// Carries out what cannot be taken back: somebody has to confirm it where it is for many.
pub(super) async fn act_for_good(
    admin: &Admin,
    which: ForGood,
    action: Action,
    output: &Output,
) -> Result<(), Failure> {
    let (selection, yes) = which.selection();
    let many = match &selection {
        Some(Selection::Group(group)) => Some(format!("the group {group}")),
        Some(Selection::Tag(tag)) => Some(format!("the tag {tag}")),
        _ => None,
    };
    if let (Some(many), Some(selection), false) = (many, &selection, yes) {
        let devices = match admin.count_devices(selection).await? {
            Some(count) => format!("all {count} devices"),
            None => "all devices".to_owned(),
        };
        if !confirmed(&format!("{} {devices} of {many}? It cannot be taken back.", action.step().name())) {
            return Err(Failure::Unconfirmed { what: "this is for many devices and cannot be taken back" });
        }
    }
    act(admin, selection, action, output).await
}

/// Carries out `action` for all of a selection, page by page.
pub(super) async fn act(
    admin: &Admin,
    selection: Option<Selection>,
    action: Action,
    output: &Output,
) -> Result<(), Failure> {
    let Some(selection) = selection else { return Ok(()) };
    let name = action.step().name();
    if let Some(device) = selection.device() {
        let seen = if let Selection::Request(_, serial) = &selection { Some(*serial) } else { None };
        let carried = admin.decide(device, seen, action).await?;
        let state = carried.state.map_or("", crate::store::DeviceState::name);
        let certificates = carried.certificates;
        let value = json!({ "action": name, "device": device.as_str(), "state": state, "certificates": certificates });
        output.result(&value, || format!("{device}: {name}; it is {state} now.{}", revoked(certificates)));
        return Ok(());
    }
    let count = match action {
        // Those that wait, and no other.
        Action::Approve | Action::Deny(_) => None,
        _ => admin.count_devices(&selection).await?,
    };
    let bar = bar(count, name);
    let (mut page, mut done, mut certificates) = (Page::first(PAGE), 0, 0);
    let (mut illegal, mut named) = (0_u64, Vec::new());
    loop {
        let carried = match admin.act(selection.clone(), action.clone(), page).await {
            Ok(carried) => carried,
            Err(error) if done == 0 => return Err(error.into()),
            Err(error) => return Err(Failure::HalfWay { done, error: Box::new(error) }),
        };
        done += carried.done;
        certificates += carried.certificates;
        illegal += carried.illegal.len() as u64;
        bar.set_position(done + illegal);
        let room = NAMED.saturating_sub(named.len());
        named.extend(carried.illegal.into_iter().take(room));
        match carried.next {
            Some(next) => page = Page { after: Some(next), limit: PAGE },
            None => break,
        }
    }
    bar.finish_and_clear();
    let value = json!({
        "action": name, "done": done, "certificates": certificates, "illegal": illegal, "named": named,
    });
    output.result(&value, || {
        let mut text = format!("{name}: {done} devices.{}", revoked(certificates));
        if illegal > 0 {
            text += &format!("\nNot allowed for {illegal} devices, which are as they were:");
            for one in &named {
                text += &format!("\n  {one}");
            }
        }
        text
    });
    Ok(())
}

fn revoked(certificates: u64) -> String {
    if certificates == 0 { String::new() } else { format!(" Revoked {certificates} certificates.") }
}

/// Changes the labels of all of a selection, page by page.
pub(super) async fn label(admin: &Admin, which: Which, label: Label, output: &Output) -> Result<(), Failure> {
    let Some(selection) = which.selection() else { return Ok(()) };
    let (mut page, mut seen, mut changed, mut full) = (Page::first(PAGE), 0, 0, Vec::new());
    loop {
        let labelled = admin.label(selection.clone(), label.clone(), page).await?;
        seen += labelled.seen;
        changed += labelled.changed;
        full.extend(labelled.full);
        match labelled.next {
            Some(next) => page = Page { after: Some(next), limit: PAGE },
            None => break,
        }
    }
    output.result(&json!({ "devices": seen, "changed": changed, "full": full }), || {
        let mut text = format!("{changed} of {seen} devices changed.");
        if !full.is_empty() {
            text += &format!("\nNot changed, because they would have too many tags: {}", full.join(", "));
        }
        text
    });
    Ok(())
}
