//! The list of devices: looked for by any identity, by state and by group.

use axum::extract::State;
use axum::http::Uri;
use maud::{Markup, html};
use shared::DeviceId;

use super::{Answer, query};
use crate::dashboard::fields::Fields;
use crate::dashboard::layout::{self, Place};
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Shared, parts};
use crate::store::{Device, DeviceFilter, DeviceState, Page};

/// Devices of one page.
const PAGE: u32 = 50;

const FIND: &str = "find";
const STATE: &str = "state";
const GROUP: &str = "group";
const TAG: &str = "tag";
const AFTER: &str = "after";

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn, address: Uri) -> Answer {
    let fields = query(&address, &[FIND, STATE, GROUP, TAG, AFTER])?;
    let (filter, page) = read(&fields)?;
    let is_first = page.after.is_none();
    let reading = dashboard.access.reading(&who);
    let found = reading.devices(filter, page).await?;
    let (policies, _) = reading.policies();
    let groups: Vec<String> = policies.set.iter().map(|(group, _)| group.to_string()).collect();
    let here = |after: Option<&str>| {
        let same = [FIND, STATE, GROUP, TAG].map(|name| (name, fields.get(name)));
        parts::address(Place::Devices.path(), &[&same[..], &[(AFTER, after)]].concat())
    };
    let first = (!is_first).then(|| here(None));
    let next = found.next.as_ref().map(|next| here(Some(next.as_str())));
    let content = html! {
        h1 { "Devices" }
        (search(&fields, &groups))
        @if found.devices.is_empty() { p { "There are no such devices." } }
        @else { (list(&found.devices)) }
        (parts::paging(first.as_deref(), next.as_deref()))
    };
    Ok(layout::page(&who, Place::Devices, "Devices", None, &content))
}

fn read(fields: &Fields) -> Result<(DeviceFilter, Page), Refusal> {
    let state = fields.get(STATE).map(|name| {
        let unknown = || Refusal::Malformed("there is no such state".to_owned());
        DeviceState::from_name(name).ok_or_else(unknown)
    });
    let after = fields.get(AFTER).map(DeviceId::new).transpose();
    let filter = DeviceFilter {
        state: state.transpose()?,
        group: fields.parsed(GROUP)?,
        model: None,
        tags: fields.parsed(TAG)?.into_iter().collect(),
        prefix: None,
        find: fields.parsed(FIND)?,
        expires_before: None,
    };
    let after = after.map_err(|error| Refusal::Malformed(format!("{AFTER}: {error}")))?;
    Ok((filter, Page { after, limit: PAGE }))
}

fn search(fields: &Fields, groups: &[String]) -> Markup {
    let state = fields.get(STATE);
    html! {
        form.search method="get" action="/devices" role="search" {
            div.wide-field {
                label for="find" { "Find" }
                input #find type="search" name=(FIND) value=[fields.get(FIND)] maxlength="64" autocomplete="off"
                    aria-describedby="find-help";
                span #find-help .far { "Identifier, model, group, tag, or the beginning of a serial number or hash" }
            }
            div {
                label for="state" { "State" }
                select #state name=(STATE) {
                    option value="" { "any" }
                    @for there in DeviceState::ALL {
                        option value=(there.name()) selected[state == Some(there.name())] { (there.name()) }
                    }
                }
            }
            div {
                label for="group" { "Group" }
                input #group name=(GROUP) value=[fields.get(GROUP)] list="groups" maxlength="64" autocomplete="off";
                datalist #groups { @for group in groups { option value=(group) {} } }
            }
            div {
                label for="tag" { "Tag" }
                input #tag name=(TAG) value=[fields.get(TAG)] maxlength="64" autocomplete="off";
            }
            button { "Search" }
        }
    }
}

fn list(devices: &[Device]) -> Markup {
    let rows = html! {
        @for device in devices {
            tr {
                th scope="row" { (parts::device_link(device.device.as_str())) }
                td { (parts::device_state(device.state)) }
                td { (device.group.to_string()) }
                td { (parts::or_dash(device.model.as_deref())) }
                td { @for tag in &device.tags { span.tag { (tag.as_str()) } " " } }
                td { (parts::time(device.changed)) }
            }
        }
    };
    parts::table("Devices", &["Device", "State", "Group", "Model", "Tags", "Since"], &rows)
}
