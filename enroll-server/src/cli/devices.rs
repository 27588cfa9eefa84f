//! `device`.

use serde_json::json;

use super::actions::{act, act_for_good, label};
use super::args::{Device, TagCommand, page};
use super::failure::Failure;
use super::output::{Output, more, or_dash};
use super::{export, import, renewals};
use crate::admin::Admin;
use crate::inventory::{CHUNK, ImportOptions};
use crate::store::{Action, Certificate, Device as Row, DevicePage, HeldPage, Label, Selection, Tag};

pub(super) async fn run(admin: Admin, command: Device, tells: bool, output: &Output) -> Result<(), Failure> {
    match command {
        Device::Import { file, dry_run, skip_bad, resume, report } => {
            let options = ImportOptions { dry_run, skip_bad, resume, report, chunk: CHUNK };
            import::run(&admin, &file, &options, output).await?;
        }
        Device::Export { format, output, filter } => {
            export::run(&admin, format, output.as_deref(), filter.read()).await?;
        }
        Device::List { filter, after, limit } => {
            list(&admin.devices(filter.read(), page(after, limit)).await?, output);
        }
        Device::Show { device } => {
            let row = admin.device(&device).await?;
            let certificates = admin.certificates(Some(&device)).await?;
            show(&row, &certificates, output);
        }
        Device::Queue { group, tag, after, limit } => {
            let selection = group.map(Selection::Group).or_else(|| tag.map(Selection::Tag));
            queue(&admin.held(selection, page(after, limit)).await?, output);
        }
        Device::Approve(request) => act(&admin, request.selection(), Action::Approve, output).await?,
        Device::Deny { request, reason } => {
            act(&admin, request.selection(), Action::Deny(reason), output).await?;
        }
        Device::Suspend { which } => act(&admin, which.selection(), Action::Suspend, output).await?,
        Device::Resume { which } => act(&admin, which.selection(), Action::Resume, output).await?,
        Device::Revoke { which, reason } => {
            act_for_good(&admin, which, Action::Revoke(reason), output).await?;
        }
        Device::Retire(which) => act_for_good(&admin, which, Action::Retire, output).await?,
        Device::Return(which) => act_for_good(&admin, which, Action::Return, output).await?,
        Device::Transfer { which, to } => act_for_good(&admin, which, Action::Transfer(to), output).await?,
        Device::Renew(order) => renewals::renew(&admin, order, tells, output).await?,
        Device::Renewals { group, tag, after, limit } => {
            let selection = group.map(Selection::Group).or_else(|| tag.map(Selection::Tag));
            let wanted = admin.wanted_renewals(selection, page(after, limit)).await?;
            renewals::list(&wanted, admin.now(), output);
        }
        Device::SetGroup { into, which } => label(&admin, which, Label::Group(into), output).await?,
        Device::Tag(TagCommand::Add { tags, which }) => {
            label(&admin, which, Label::add(tags.0), output).await?;
        }
        Device::Tag(TagCommand::Remove { tags, which }) => {
            label(&admin, which, Label::remove(tags.0), output).await?;
        }
    }
    Ok(())
}

fn list(page: &DevicePage, output: &Output) {
    output.table(
        page,
        &page.devices,
        "There are no such devices.",
        ["Device", "State", "Group", "Model", "Tags", "Added"],
        |device| {
            [
                device.device.to_string(),
                device.state.name().to_owned(),
                device.group.to_string(),
                or_dash(device.model.as_ref()),
                tags(&device.tags),
                device.added.to_string(),
            ]
        },
        more(page.next.as_ref()),
    );
}

fn queue(page: &HeldPage, output: &Output) {
    let shown = |request: &crate::store::HeldRequest, name: &str| {
        or_dash(request.shown.get(name).and_then(serde_json::Value::as_str))
    };
    output.table(
        page,
        &page.requests,
        "Nothing waits for approval.",
        [
            "Device", "Group", "Evidence", "Maker", "Model", "Software", "Held by", "Since", "Approved",
            "Serial",
        ],
        |request| {
            let claims = request.shown.get("claims");
            let software = claims.and_then(|claims| claims.get("software_version"));
            [
                request.device.to_string(),
                request.group.to_string(),
                shown(request, "kind"),
                shown(request, "maker"),
                shown(request, "model"),
                or_dash(software.and_then(serde_json::Value::as_str)),
                shown(request, "rule"),
                request.since.to_string(),
                if request.approved { "yes".to_owned() } else { "no".to_owned() },
                request.serial.to_string(),
            ]
        },
        more(page.next.as_ref()),
    );
}

fn tags(tags: &[Tag]) -> String {
    let list: Vec<_> = tags.iter().map(Tag::as_str).collect();
    or_dash((!list.is_empty()).then(|| list.join(" ")))
}

fn show(row: &Row, certificates: &[Certificate], output: &Output) {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("certificates".to_owned(), json!(certificates));
    }
    output.result(&value, || {
        let key = row.idevid_sha256.map(hex::encode);
        let mut text = format!(
            "Device:     {}\nState:      {} since {}\nGroup:      {}\nTags:       {}\nModel:      {}\n\
             IDevID key: {}\nApproved:   {}\nDenied:     {}\nAdded:      {}",
            row.device,
            row.state.name(),
            row.changed,
            row.group,
            tags(&row.tags),
            or_dash(row.model.as_ref()),
            or_dash(key),
            if row.approved { "yes" } else { "no" },
            or_dash(row.denied.as_ref()),
            row.added
        );
        for certificate in certificates {
            text += &format!(
                "\nCertificate {} {} until {}",
                certificate.serial,
                certificate.state.name(),
                certificate.not_after
            );
        }
        text
    });
}
