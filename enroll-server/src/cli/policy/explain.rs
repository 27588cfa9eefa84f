//! `policy explain`.

use std::path::Path;
use std::sync::Arc;

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use super::super::args::Global;
use super::super::failure::Failure;
use super::super::output::Output;
use crate::admin::Admin;
use crate::explanation::Explanation;
use crate::issuance::Circumstances;
use crate::policies::PolicyFiles;
use crate::store::AppraisalFilter;

/// From what was recorded, the newest last: where a terminal ends.
pub(super) async fn device(
    admin: Admin,
    device: DeviceId,
    last: u32,
    output: &Output,
) -> Result<(), Failure> {
    let filter = AppraisalFilter { device: Some(device.clone()), limit: last, ..AppraisalFilter::default() };
    let mut explained: Vec<Explanation> =
        admin.appraisals(filter).await?.iter().map(Explanation::recorded).collect();
    if explained.is_empty() {
        return Err(Failure::Nothing { what: format!("record of a request of {device}") });
    }
    explained.reverse();
    output.result(&explained, || {
        let texts: Vec<String> = explained.iter().map(Explanation::text).collect();
        texts.join("\n\n")
    });
    Ok(())
}

/// From a request itself.
pub(super) fn evidence(
    global: &Global,
    file: &Path,
    at: Option<UnixTime>,
    group: Option<GroupName>,
    policy: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let unreadable = |source| Failure::Unreadable { path: file.to_owned(), source };
    let body = std::fs::read(file).map_err(unreadable)?;
    let explanation = super::with_issuance(global, async |issuance, config| {
        let policies = match policy {
            Some(policy) => {
                let of = group.clone().unwrap_or_default();
                Some(Arc::new(PolicyFiles::of(&config.files).read_with(&of, policy)?))
            }
            None => None,
        };
        Ok(issuance.explain(&body, &Circumstances { at, group: group.clone(), policies }).await?)
    })?;
    output.result(&explanation, || explanation.text());
    Ok(())
}
