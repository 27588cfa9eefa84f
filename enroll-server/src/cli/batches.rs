//! `batch`.

use core::time::Duration;

use serde_json::json;

use super::args::Batch;
use super::failure::Failure;
use super::keys::{state, used};
use super::output::{Output, more, or_dash};
use super::read;
use crate::admin::Admin;
use crate::clock::{Clock as _, SystemClock};
use crate::credential::BatchRequest;
use crate::store::CredentialKind;

const KINDS: &[CredentialKind] = &[CredentialKind::Batch];

pub(super) async fn run(admin: Admin, command: Batch, output: &Output) -> Result<(), Failure> {
    match command {
        Batch::Add { file, group, hold, quota, expires_days } => {
            let lifetime = expires_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let request = BatchRequest { group, hold, quota, lifetime };
            let batch = admin.add_batch(&read(&file)?, request).await?;
            output.result(&batch, || {
                let bound = match (batch.hold, batch.quota) {
                    (true, None) => "each device waits for approval".to_owned(),
                    (true, Some(quota)) => format!("{quota} devices at most, each waits for approval"),
                    (false, quota) => format!("{} devices at most", quota.unwrap_or_default()),
                };
                format!("Added batch {} for group {}: {bound}.", batch.id, batch.name)
            });
        }
        Batch::List(part) => {
            let (now, page) = (SystemClock.now(), admin.credentials(KINDS, part.page()).await?);
            output.table(
                &json!({ "batches": page.credentials, "next": page.next.as_ref().map(ToString::to_string) }),
                &page.credentials,
                "There are no batches.",
                ["Batch", "Group", "State", "Devices", "Approval", "Created", "Expires"],
                |batch| {
                    [
                        batch.id.clone(),
                        or_dash(batch.group.as_ref()),
                        state(batch, now).to_owned(),
                        used(batch),
                        if batch.hold { "each" } else { "none" }.to_owned(),
                        batch.created.to_string(),
                        or_dash(batch.expires),
                    ]
                },
                more(page.next.as_ref()),
            );
        }
        Batch::Revoke { id } => {
            admin.revoke_credential(&id, KINDS).await?;
            output.result(&json!({ "revoked": id }), || format!("Batch {id} is revoked."));
        }
    }
    Ok(())
}
